use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::Counted;

/// What requests may take at most, by scenario. It is kept in the repository.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Bounds(BTreeMap<String, Bound>);

/// What a request of one scenario may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bound {
    instructions: f64,
    allocations: f64,
}

/// What is bounded is this much more than was counted: counts differ by some parts of a thousand, and by a little more
/// between two machines' C libraries.
const ROOM: f64 = 1.03;
/// A part of an allocation: those of what is not done for each request.
const ALLOCATIONS_ROOM: f64 = 0.25;
/// Who stays below a bound by more than this may lower it.
const LOOSE: f64 = 0.95;

impl Bounds {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("there are no bounds in {}: `--write` makes them", file.display()))?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Bounds a scenario by what was counted.
    pub(super) fn set(&mut self, scenario: &str, counted: &Counted) {
        let bound = Bound {
            instructions: (counted.each * ROOM).ceil(),
            allocations: ((counted.allocations + ALLOCATIONS_ROOM) * 100.0).round() / 100.0,
        };
        self.0.insert(scenario.to_owned(), bound);
    }

    /// What is to be said of what was counted: an error if it is too much.
    pub(super) fn check(&self, scenario: &str, counted: &Counted) -> anyhow::Result<Option<String>> {
        let bound = self.0.get(scenario).with_context(|| format!("{scenario} has no bound"))?;
        within(scenario, "instructions", counted.each, bound.instructions)?;
        within(scenario, "allocations", counted.allocations, bound.allocations)?;
        let is_loose = counted.each < bound.instructions * LOOSE;
        Ok(is_loose.then(|| {
            format!(
                "{scenario}: {:.0} instructions; the bound of {:.0} can be lowered",
                counted.each, bound.instructions
            )
        }))
    }
}

fn within(scenario: &str, what: &str, counted: f64, bound: f64) -> anyhow::Result<()> {
    ensure!(counted <= bound, "{scenario}: {counted:.2} {what} a request, and the bound is {bound:.2}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(each: f64, allocations: f64) -> Counted {
        Counted { each, allocations, ..Counted::default() }
    }

    #[test]
    fn what_was_counted_is_within_its_own_bound_and_more_is_not() {
        let mut bounds = Bounds::default();
        bounds.set("h1-64", &counted(10_000.0, 9.0));
        assert_eq!(bounds.check("h1-64", &counted(10_200.0, 9.2)).unwrap(), None);
        assert!(bounds.check("h1-64", &counted(10_400.0, 9.0)).is_err());
        assert!(bounds.check("h1-64", &counted(10_000.0, 9.5)).is_err());
        assert!(bounds.check("h1-64", &counted(9_000.0, 9.0)).unwrap().is_some(), "it can be lowered");
        assert!(bounds.check("tls-h1", &counted(1.0, 1.0)).is_err(), "it has none");
    }

    #[test]
    fn bounds_are_read_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bounds.json");
        let mut bounds = Bounds::default();
        bounds.set("grpc", &counted(12_345.0, 3.3));
        bounds.write(&file).unwrap();
        assert_eq!(Bounds::read(&file).unwrap().0, bounds.0);
        assert!(Bounds::read(&folder.path().join("none")).is_err());
    }
}
