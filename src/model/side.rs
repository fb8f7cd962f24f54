use std::fmt;

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The platform that is being left, and the one that every doubt resolves to.
    Helios,
    /// The platform that is being moved to.
    Kubernetes,
}

impl Side {
    /// Both sides, Helios first.
    pub const ALL: [Side; 2] = [Side::Helios, Side::Kubernetes];

    /// The side's name as configuration, metrics and people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Helios => "helios",
            Side::Kubernetes => "kubernetes",
        }
    }

    /// The side's name as a sentence writes it.
    pub const fn title(self) -> &'static str {
        match self {
            Side::Helios => "Helios",
            Side::Kubernetes => "Kubernetes",
        }
    }

    /// Reads a side's name; upper and lower case are alike.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerSide<T> {
    /// Helios' value.
    pub helios: T,
    /// Kubernetes' value.
    pub kubernetes: T,
}

impl<T> PerSide<T> {
    /// Makes each side's value from the side.
    pub fn from_fn(mut make: impl FnMut(Side) -> T) -> Self {
        Self { helios: make(Side::Helios), kubernetes: make(Side::Kubernetes) }
    }

    /// Applies `change` to each side's value.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> PerSide<U> {
        PerSide { helios: change(self.helios), kubernetes: change(self.kubernetes) }
    }

    /// Both values by reference.
    pub fn as_ref(&self) -> PerSide<&T> {
        PerSide { helios: &self.helios, kubernetes: &self.kubernetes }
    }

    /// The sides and their values, Helios first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Side, &mut T)> {
        [(Side::Helios, &mut self.helios), (Side::Kubernetes, &mut self.kubernetes)].into_iter()
    }

    /// Both, Helios first.
    pub fn iter(&self) -> impl Iterator<Item = (Side, &T)> {
        [(Side::Helios, &self.helios), (Side::Kubernetes, &self.kubernetes)].into_iter()
    }
}

impl<T> std::ops::Index<Side> for PerSide<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Helios => &self.helios,
            Side::Kubernetes => &self.kubernetes,
        }
    }
}

impl<T> std::ops::IndexMut<Side> for PerSide<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Helios => &mut self.helios,
            Side::Kubernetes => &mut self.kubernetes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for side in Side::ALL {
            assert_eq!(Side::parse(side.as_str()), Some(side));
            assert_eq!(Side::parse(side.title()), Some(side));
        }
        assert_eq!(Side::parse("k8s"), None);
    }
}
