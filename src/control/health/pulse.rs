use std::mem::discriminant;

use super::Found;

/// Whether an endpoint is well, by the checks that there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pulse {
    /// There was none yet: it is taken for well, and the first one decides.
    #[default]
    Unknown,
    Well {
        /// Checks in a row that were bad since.
        bad: u8,
    },
    Ill {
        /// Checks in a row that were good since.
        good: u8,
    },
}

impl Pulse {
    /// What it is after one more check.
    #[must_use]
    pub(super) fn after(self, found: &Found, rise: u8, fall: u8) -> Self {
        match (self, found) {
            (Self::Unknown | Self::Well { .. }, Ok(())) => Self::Well { bad: 0 },
            (Self::Unknown | Self::Ill { .. }, Err(_)) => Self::Ill { good: 0 },
            (Self::Well { bad }, Err(_)) if bad + 1 >= fall => Self::Ill { good: 0 },
            (Self::Well { bad }, Err(_)) => Self::Well { bad: bad + 1 },
            (Self::Ill { good }, Ok(())) if good + 1 >= rise => Self::Well { bad: 0 },
            (Self::Ill { good }, Ok(())) => Self::Ill { good: good + 1 },
        }
    }

    /// Whether that is news.
    pub(super) fn differs(self, before: Self) -> bool {
        discriminant(&self) != discriminant(&before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told by checks, `+` for a good one: `.` for nothing, `W` and `I` for what it is from then on.
    fn told(checks: &str, rise: u8, fall: u8) -> String {
        let mut pulse = Pulse::default();
        let mut told = String::new();
        for check in checks.chars() {
            let found = if check == '+' { Ok(()) } else { Err("bad".into()) };
            let after = pulse.after(&found, rise, fall);
            told.push(match after {
                _ if !after.differs(pulse) => '.',
                Pulse::Well { .. } => 'W',
                Pulse::Ill { .. } => 'I',
                Pulse::Unknown => '?',
            });
            pulse = after;
        }
        told
    }

    #[test]
    fn it_takes_some_in_a_row_to_change() {
        for (rise, fall, checks, expected) in [
            (2, 3, "+---++", "W..I.W"),
            (2, 3, "+--+--+---", "W........I"),
            (2, 3, "-+-+-++---", "I.....W..I"),
            (1, 1, "+-+-", "WIWI"),
            (3, 1, "+-++-+++", "WI.....W"),
            (2, 2, "++++--------++", "W....I.......W"),
        ] {
            assert_eq!(told(checks, rise, fall), expected, "{checks} with {rise} and {fall}");
        }
    }

    #[test]
    fn the_first_check_decides_alone() {
        assert_eq!(told("+", 100, 100), "W");
        assert_eq!(told("-", 100, 100), "I");
    }

    #[test]
    fn it_counts_as_far_as_can_be_configured() {
        let bad = "-".repeat(100);
        assert_eq!(told(&format!("+{bad}"), 1, 100), format!("W{}I", ".".repeat(99)));
        let good = "+".repeat(100);
        assert_eq!(told(&format!("-{good}"), 100, 1), format!("I{}W", ".".repeat(99)));
    }
}
