use crate::model::Weight;

use super::said::Said;

/// How much the disk allows Kubernetes, where it is not known which of several records it has.
///
/// While a record is being written, or could not be, the disk has it or the one before. What is in force is never more than
/// any of them allows, so whichever a crash leaves, nobody had more than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// The least weight that one of them says.
    least: Option<Weight>,
    /// Whether one of them leaves it to the file.
    by_file: bool,
}

impl Allowance {
    /// The disk has this.
    pub(super) fn of(said: &Said) -> Self {
        let mut allowance = Self { least: None, by_file: false };
        allowance.may_be(said);
        allowance
    }

    /// The disk may also have this.
    pub(super) fn may_be(&mut self, said: &Said) {
        match said.decided() {
            Some(weight) => self.least = Some(self.least.map_or(weight, |least| least.min(weight))),
            None => self.by_file = true,
        }
    }

    /// What it allows under a file.
    pub(super) fn under(self, file: Weight) -> Weight {
        match self.least {
            Some(least) if self.by_file => least.min(file),
            Some(least) => least,
            None => file,
        }
    }
}
