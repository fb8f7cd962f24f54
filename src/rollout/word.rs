use std::fmt;
use std::sync::Arc;

use crate::model::{UnixMillis, Weight};

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The judge, on evidence.
    Judge,
    /// Switchback itself, in doubt: a record that it could not read.
    Caution,
    /// A person, by the name that the system knows them by.
    Person(Arc<str>),
}

/// What stands above the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing does: the file decides.
    File,
    /// A person said so.
    Override(Override),
    /// The service was taken back.
    Held(Hold),
}

/// What a revert leaves behind: weight 0 until a person releases it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who took the service back.
    pub by: Actor,
    /// Why.
    pub reason: Arc<str>,
    /// Since when.
    pub since: UnixMillis,
    /// The weight before.
    pub before: Weight,
}

/// A weight that a person set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The weight.
    pub weight: Weight,
    /// Who set it.
    pub by: Actor,
    /// Why.
    pub reason: Arc<str>,
    /// Since when.
    pub since: UnixMillis,
    /// When it ends by itself, if it does.
    pub until: Option<UnixMillis>,
}

impl Word {
    /// The weight in force under this word.
    pub fn weight(&self, file: Weight) -> Weight {
        match self {
            Word::File => file,
            Word::Override(over) => over.weight,
            Word::Held(_) => Weight::ZERO,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Judge => f.write_str("judge"),
            Actor::Caution => f.write_str("caution"),
            Actor::Person(name) => f.write_str(name),
        }
    }
}
