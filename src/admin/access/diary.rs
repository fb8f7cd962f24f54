use std::sync::Arc;

use crate::model::Millis;

/// What the history is told of failures. Pure: the time is given.
///
/// Whoever may ask at all could fill the history by failing: so it has at most ten of them a minute, and one line that sums up
/// the rest.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// When this minute began; `None` before the first failure of one.
    began: Option<Millis>,
    written: usize,
    more: Option<Line>,
}

/// A line for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) from: Arc<str>,
    pub(super) details: Arc<str>,
    pub(super) times: u64,
}

/// Failures of a minute that have each their line.
const MOST_LINES: usize = 10;
const MINUTE: Millis = Millis(60_000);

impl Diary {
    /// Takes in a failure, and says what is to be written now.
    pub(super) fn failed(&mut self, from: Arc<str>, details: Arc<str>, now: Millis) -> Vec<Line> {
        let mut lines: Vec<Line> = self.look(now).into_iter().collect();
        self.began.get_or_insert(now);
        if self.written < MOST_LINES {
            self.written += 1;
            lines.push(Line { from, details, times: 1 });
        } else {
            self.add(from, &details);
        }
        lines
    }

    /// What is to be written because a minute has ended.
    pub(super) fn look(&mut self, now: Millis) -> Option<Line> {
        if self.began.is_none_or(|began| now.since(began) < MINUTE) {
            return None;
        }
        (self.began, self.written) = (None, 0);
        self.more.take()
    }

    fn add(&mut self, from: Arc<str>, details: &str) {
        let details = format!("more failures; the last: {details}").into();
        let (from, times) = match self.more.take() {
            None => (from, 1),
            Some(more) if more.from == from => (from, more.times + 1),
            Some(more) => ("several addresses".into(), more.times + 1),
        };
        self.more = Some(Line { from, details, times });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_ten_lines_and_one_that_sums_up_the_rest() {
        let mut diary = Diary::default();
        let mut fail = |from: &str, what: &str, now| diary.failed(from.into(), what.into(), Millis(now));
        for number in 0..10 {
            let lines = fail("a", &number.to_string(), number);
            assert_eq!(lines, [Line { from: "a".into(), details: number.to_string().into(), times: 1 }]);
        }
        assert!(fail("a", "x", 100).is_empty() && fail("b", "y", 59_999).is_empty());
        assert_eq!(diary.look(Millis(59_999)), None);
        let sum = diary.look(Millis(60_000)).unwrap();
        assert_eq!((&*sum.from, sum.times), ("several addresses", 2));
        assert_eq!(&*sum.details, "more failures; the last: y");
        assert_eq!(diary.look(Millis(200_000)), None, "it is told once");
        assert_eq!(diary.failed("c".into(), "z".into(), Millis(300_000)).len(), 1, "a new minute begins");
    }

    #[test]
    fn no_failure_is_lost_and_no_minute_has_more_than_eleven_lines() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut diary, mut now, mut lines, mut failures) = (Diary::default(), 0, Vec::new(), 0);
        for _ in 0..5_000 {
            now += if rng.u32(0..50) == 0 { 40_000 } else { rng.u64(0..2_000) };
            failures += 1;
            let written = diary.failed("a".into(), "x".into(), Millis(now));
            lines.extend(written.into_iter().map(|line| (now, line.times)));
            lines.extend(diary.look(Millis(now)).map(|line| (now, line.times)));
        }
        lines.extend(diary.look(Millis(now + 60_000)).map(|line| (now + 60_000, line.times)));
        assert_eq!(lines.iter().map(|(_, times)| times).sum::<u64>(), failures);
        // Any minute touches at most two of the diary's.
        for window in lines.windows(23) {
            assert!(window[22].0 - window[0].0 > 60_000);
        }
    }
}
