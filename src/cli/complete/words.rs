use std::ffi::{OsStr, OsString};

/// Words as somebody typed them, of those that bash makes of them: it takes `127.0.0.1:7070` for three, and `--team=x` too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) typed: Vec<OsString>,
    /// The place of the one that is to be completed.
    pub(super) index: usize,
    /// What bash holds to be words of their own before it.
    pub(super) before: OsString,
}

impl Words {
    pub(super) fn joined(parts: Vec<OsString>, index: usize) -> Self {
        let mut joined = Self { typed: Vec::new(), index: parts.len(), before: OsString::new() };
        let mut is_open = false;
        for (place, part) in parts.into_iter().enumerate() {
            let is_mark = is_mark(&part);
            match joined.typed.last_mut() {
                Some(last) if is_open || (is_mark && place > 1) => {
                    if place == index {
                        joined.before.clone_from(last);
                    }
                    last.push(&part);
                }
                Some(_) | None => joined.typed.push(part),
            }
            if place == index {
                joined.index = joined.typed.len() - 1;
            }
            // Nothing can follow on the word that is being typed: behind it there was a blank.
            is_open = is_mark && place < index;
        }
        joined
    }
}

/// What bash splits at, which nobody types as a word.
fn is_mark(part: &OsStr) -> bool {
    !part.is_empty() && part.as_encoded_bytes().iter().all(|byte| b":=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_has_torn_apart_is_put_together() {
        for (parts, index, words, at, before) in [
            ("switchback status pl", 2, "switchback status pl", 2, ""),
            (
                "switchback --admin 127.0.0.1 : 7070 status pl",
                6,
                "switchback --admin 127.0.0.1:7070 status pl",
                4,
                "",
            ),
            (
                "switchback --admin https : //a.test : 7070 status",
                7,
                "switchback --admin https://a.test:7070 status",
                3,
                "",
            ),
            ("switchback revert --team = pl", 4, "switchback revert --team=pl", 2, "--team="),
            (
                "switchback --admin = unix : /x revert --team = pl",
                9,
                "switchback --admin=unix:/x revert --team=pl",
                3,
                "--team=",
            ),
        ] {
            let split = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            let wanted = Words { typed: split(words), index: at, before: before.into() };
            assert_eq!(Words::joined(split(parts), index), wanted, "{parts}");
        }
    }

    #[test]
    fn a_value_that_is_begun_with_its_mark_belongs_to_its_option() {
        let parts = ["switchback", "revert", "--team", "="].map(OsString::from).to_vec();
        let joined = Words::joined(parts, 3);
        assert_eq!((joined.typed[2].to_str(), joined.before.to_str()), (Some("--team="), Some("--team")));
    }
}
