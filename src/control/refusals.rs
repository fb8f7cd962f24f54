use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Caller, Millis};

/// What the history is told of questions that people may not ask. Pure.
///
/// Whoever may ask at all could otherwise wash out of the history what was done, by asking for what is not theirs again and again; a
/// dashboard with an old name would do so without malice. So of each person it has ten of them a minute, and one line that
/// sums up the rest. What was to be changed, and was refused, is always told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When this minute began; `None` before the first refusal of one.
    began: Option<Millis>,
    by: BTreeMap<Arc<str>, Counted>,
}

#[derive(Debug)]
struct Counted {
    times: u64,
    caller: Caller,
}

/// Questions that were refused, and that the history does not have one by one.
#[derive(Debug)]
pub(super) struct More {
    pub(super) caller: Caller,
    pub(super) times: u64,
}

/// Refusals of a minute that have each their line, for each person.
const MOST_LINES: u64 = 10;
/// People that are told apart.
const MOST_PEOPLE: usize = 256;
const MINUTE: Millis = Millis(60_000);

impl Refusals {
    /// Somebody may not ask what they asked; tells whether the history is to have it.
    pub(super) fn note(&mut self, caller: &Caller, now: Millis) -> bool {
        self.began.get_or_insert(now);
        if self.by.len() == MOST_PEOPLE && !self.by.contains_key(&caller.name) {
            return false;
        }
        let counted = self
            .by
            .entry(caller.name.clone())
            .or_insert_with(|| Counted { times: 0, caller: caller.clone() });
        counted.times += 1;
        counted.times <= MOST_LINES
    }

    /// What is to be told because a minute has ended.
    pub(super) fn tick(&mut self, now: Millis) -> Vec<More> {
        if self.began.is_none_or(|began| now.since(began) < MINUTE) {
            return Vec::new();
        }
        self.began = None;
        let counted = std::mem::take(&mut self.by).into_values();
        let more = counted.filter(|counted| counted.times > MOST_LINES);
        more.map(|Counted { times, caller }| More { caller, times: times - MOST_LINES }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Rights, Via};

    fn caller(name: &str) -> Caller {
        Caller { name: name.into(), via: Via::Token, from: "unix".into(), rights: Rights(Vec::new()) }
    }

    #[test]
    fn each_person_has_ten_lines_a_minute_and_one_that_sums_up_the_rest() {
        let mut refusals = Refusals::default();
        let told = (0..500).filter(|at| refusals.note(&caller("loop"), Millis(*at))).count();
        assert_eq!(told, 10);
        assert!(refusals.note(&caller("anna"), Millis(500)), "others are told of");
        assert!(refusals.tick(Millis(59_999)).is_empty());
        let more = refusals.tick(Millis(60_000));
        assert_eq!(more.len(), 1);
        assert_eq!((&*more[0].caller.name, more[0].times), ("loop", 490));
        assert!(refusals.tick(Millis(200_000)).is_empty(), "it is told once");
        assert!(refusals.note(&caller("loop"), Millis(200_001)));
    }

    #[test]
    fn people_are_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..1_000 {
            refusals.note(&caller(&number.to_string()), Millis(0));
        }
        assert_eq!(refusals.by.len(), MOST_PEOPLE);
    }
}
