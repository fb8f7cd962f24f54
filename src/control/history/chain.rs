use aws_lc_rs::digest::{SHA256, digest};

use super::entry::{Draft, HistoryEntry};

/// The end of a history: what the next entry is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The number of the last entry.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: String,
}

/// Why a line is not what it was when it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// It is no entry.
    #[error("is no entry")]
    NoEntry,
    /// Its bytes are others.
    #[error("has been changed: its hash is another")]
    Changed,
    /// The one before it is missing, or another.
    #[error("does not follow the entry before: some are missing, or have been exchanged")]
    Unlinked,
}

impl Link {
    /// Before the first entry.
    pub(super) fn origin() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }

    /// The line of the next entry, and the link to it. A line is the SHA-256 of an entry, a blank, and the entry; an entry
    /// names the hash of the one before. So who changes a byte of one must change all that follow.
    pub(super) fn next(&self, what: Draft, at_unix_ms: u64) -> (String, Link) {
        let seq = self.seq + 1;
        let entry = HistoryEntry { seq, at_unix_ms, what, prev: self.hash.clone() };
        // Numbers and texts: serde_json has nothing to refuse here.
        let json = serde_json::to_string(&entry).unwrap_or_default();
        let hash = sha256(json.as_bytes());
        (format!("{hash} {json}\n"), Link { seq, hash })
    }

    /// Reads the line that follows. Without a link it may be any: the first that was not rotated away.
    pub(super) fn follow(before: Option<&Link>, text: &str) -> Result<(HistoryEntry, Link), Broken> {
        let (hash, json) = text.split_once(' ').ok_or(Broken::NoEntry)?;
        if sha256(json.as_bytes()) != hash {
            return Err(Broken::Changed);
        }
        let entry: HistoryEntry = serde_json::from_str(json).map_err(|_| Broken::NoEntry)?;
        if before.is_some_and(|before| entry.prev != before.hash || entry.seq != before.seq + 1) {
            return Err(Broken::Unlinked);
        }
        let link = Link { seq: entry.seq, hash: hash.to_owned() };
        Ok((entry, link))
    }

    /// The link to a line of which it is not known whether it is whole: as far as it tells.
    pub(super) fn to_damaged(line: &str, seq: u64) -> Self {
        let hash = line.split_once(' ').map_or("", |(hash, _)| hash);
        Self { seq, hash: hash.to_owned() }
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    digest(&SHA256, bytes).as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::entry::Deed;
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        let mut link = Link::origin();
        (0..count)
            .map(|place| {
                let mut draft = Draft::done(Deed::WeightSet);
                draft.reason = Some(format!("reason {place}"));
                draft.after_percent = Some(12.34);
                let (text, next) = link.next(draft, 1_000 + place as u64);
                link = next;
                text.trim_end().to_owned()
            })
            .collect()
    }

    fn first_fault(lines: &[String]) -> Option<(usize, Broken)> {
        let mut link = Some(Link::origin());
        for (place, line) in lines.iter().enumerate() {
            match Link::follow(link.as_ref(), line) {
                Ok((_, next)) => link = Some(next),
                Err(broken) => return Some((place, broken)),
            }
        }
        None
    }

    #[test]
    fn one_flipped_byte_anywhere_is_found_where_it_is() {
        let good = lines(3);
        assert_eq!(first_fault(&good), None);
        let mut rng = fastrand::Rng::with_seed(1);
        for place in 0..3 {
            for at in 0..good[place].len() {
                let mut bytes = good[place].clone().into_bytes();
                bytes[at] ^= 1 << rng.u8(0..7);
                let mut bad = good.clone();
                bad[place] = String::from_utf8_lossy(&bytes).into_owned();
                let (found, _) = first_fault(&bad).expect("it is found");
                assert_eq!(found, place, "byte {at} of line {place}");
            }
        }
    }

    #[test]
    fn a_line_that_is_missing_twice_or_elsewhere_is_found() {
        let good = lines(4);
        let taken = [0, 1, 3].map(|place| good[place].clone());
        assert_eq!(first_fault(&taken), Some((2, Broken::Unlinked)));
        let twice = [0, 1, 1, 2, 3].map(|place| good[place].clone());
        assert_eq!(first_fault(&twice), Some((2, Broken::Unlinked)));
        let exchanged = [0, 2, 1, 3].map(|place| good[place].clone());
        assert_eq!(first_fault(&exchanged), Some((1, Broken::Unlinked)));
    }

    #[test]
    fn sha256_is_that_of_the_standard() {
        // FIPS 180-4, "abc".
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
