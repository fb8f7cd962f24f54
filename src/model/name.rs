use std::fmt;
use std::sync::Arc;

/// A service's name: lower-case letters, digits, `-`, `_` and `.`, beginning and ending with a letter or
/// digit, at most 63 bytes. It is also the name of the service's file, so it can never leave its folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Why a text is not a service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// There is nothing there.
    #[error("a service's name cannot be empty")]
    Empty,
    /// Longer than a DNS label.
    #[error("a service's name has at most {} bytes", ServiceName::MOST_BYTES)]
    TooLong,
    /// A character that does not belong.
    #[error(
        "a service's name has lower-case letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
    )]
    Character,
}

impl ServiceName {
    /// The longest name: what a DNS label, and so a Kubernetes Service, can carry.
    pub const MOST_BYTES: usize = 63;

    /// Checks and keeps a name.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(NameFault::Empty);
        };
        if bytes.len() > Self::MOST_BYTES {
            return Err(NameFault::TooLong);
        }
        let inner = bytes.iter().all(|&b| plain(b) || matches!(b, b'-' | b'_' | b'.'));
        if !(inner && plain(*first) && plain(*last)) {
            return Err(NameFault::Character);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as text that can be kept without copying it.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for bad in ["", "..", "../x", "a/b", "A", "-a", "a-", ".a", "a.", "ä", &"x".repeat(64)] {
            assert!(ServiceName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "playlist", "play-list_2.v1", "0"] {
            assert!(ServiceName::parse(good).is_ok(), "{good:?}");
        }
    }
}
