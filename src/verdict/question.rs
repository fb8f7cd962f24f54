use super::rule::{Rule, Tolerance};

/// What the judge asks about every request. Each question is a comparison of two proportions: the share of
/// requests that vote *bad* on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Did it fail?
    Failure,
    /// Was there no answer after the stall time, ten times what Helios' slowest take? Whoever hangs does not
    /// fail before its timeout, and clients that wait for it ask nothing more. Asked of both sides at the same
    /// age, so that those who came in the same moments are compared.
    Stall,
    /// Did the answer take longer than half of Helios' answers do?
    Slow50,
    /// Are answers slower all in all? The classes of age between Helios' quantiles are counted, each request
    /// when it is as old as the last cut.
    Slower,
    /// Longer than ninety-nine in a hundred?
    Slow99,
    /// Longer than one and a half times that? What few requests do, many do when the slowest few get much
    /// slower, which the other three see late.
    Far,
    /// Longer than three times that?
    Farther,
}

impl Question {
    /// Every question, in the order of [`Question::index`].
    pub const ALL: [Question; 7] = [
        Question::Failure,
        Question::Stall,
        Question::Slow50,
        Question::Slower,
        Question::Slow99,
        Question::Far,
        Question::Farther,
    ];

    /// The questions that are answered when a request reaches an age, and not when it ends.
    pub const AGED: [Question; 5] =
        [Question::Stall, Question::Slow50, Question::Slow99, Question::Far, Question::Farther];

    /// The questions that are answered by a share of bad votes.
    pub const SHARES: [Question; 6] = [
        Question::Failure,
        Question::Stall,
        Question::Slow50,
        Question::Slow99,
        Question::Far,
        Question::Farther,
    ];

    /// The questions about latency.
    pub const LATENCY: [Question; 4] = [Question::Slow50, Question::Slow99, Question::Far, Question::Farther];

    /// The question's place in [`Question::AGED`], if it is one of those.
    pub(super) const fn aged(self) -> Option<usize> {
        match self {
            Question::Stall => Some(0),
            Question::Slow50 => Some(1),
            Question::Slow99 => Some(2),
            Question::Far => Some(3),
            Question::Farther => Some(4),
            Question::Failure | Question::Slower => None,
        }
    }

    /// The question's place in [`Question::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word for records and machine-readable answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Question::Failure => "failure",
            Question::Stall => "stall",
            Question::Slow50 => "slow50",
            Question::Slower => "slower",
            Question::Slow99 => "slow99",
            Question::Far => "far",
            Question::Farther => "farther",
        }
    }

    /// What a bad vote means, as the start of a sentence.
    pub const fn in_words(self) -> &'static str {
        match self {
            Question::Failure => "failures",
            Question::Stall => "requests that hang",
            Question::Slow50 => "answers slower than Helios' median",
            Question::Slower => "answers slower all in all",
            Question::Slow99 => "answers slower than 99 in 100 of Helios'",
            Question::Far => "answers far slower than 99 in 100 of Helios'",
            Question::Farther => "answers three times slower than 99 in 100 of Helios'",
        }
    }

    /// The share of bad votes that Helios is taken to have before it has been seen.
    pub const fn prior_rate(self) -> f64 {
        match self {
            Question::Failure | Question::Stall => 0.001,
            Question::Slow50 | Question::Slower => 0.5,
            Question::Slow99 => 0.01,
            Question::Far => 0.002,
            Question::Farther => 0.0005,
        }
    }

    /// The share of the promise that this question may use up.
    pub const fn weight(self) -> f64 {
        match self {
            Question::Failure => 0.45,
            Question::Far => 0.15,
            Question::Slower => 0.12,
            Question::Farther => 0.1,
            Question::Stall => 0.08,
            Question::Slow50 | Question::Slow99 => 0.05,
        }
    }

    /// How much larger Kubernetes' share of bad votes may be. For the quantiles it may not be larger at all:
    /// there the tolerance lies in the threshold, which is later for Kubernetes. If Kubernetes is at most
    /// 1.15 times slower, then P(K > 1.15·T) ≤ P(H > T) for every T, whatever the distributions.
    pub fn tolerance(self, rule: &Rule) -> Tolerance {
        match self {
            Question::Failure | Question::Stall => rule.failures,
            Question::Slow50 | Question::Slower | Question::Slow99 => Tolerance { ratio: 1.0, delta: 0.0 },
            Question::Far | Question::Farther => Tolerance::default(),
        }
    }
}

/// One value for each of [`Question::AGED`], in that order.
pub(super) type PerAge<T> = [T; Question::AGED.len()];

/// One value for each question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerQuestion<T>(pub [T; 7]);

impl<T> PerQuestion<T> {
    /// Makes each question's value from the question.
    pub fn from_fn(make: impl FnMut(Question) -> T) -> Self {
        Self(Question::ALL.map(make))
    }
}

impl<T> std::ops::Index<Question> for PerQuestion<T> {
    type Output = T;

    fn index(&self, question: Question) -> &T {
        &self.0[question.index()]
    }
}

impl<T> std::ops::IndexMut<Question> for PerQuestion<T> {
    fn index_mut(&mut self, question: Question) -> &mut T {
        &mut self.0[question.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_age_are_in_their_places() {
        for question in Question::ALL {
            let place = Question::AGED.iter().position(|aged| *aged == question);
            assert_eq!(question.aged(), place, "{question:?}");
        }
    }
}
