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
    /// A ramp, by its plan.
    Ramp,
    /// The fleet guard: several services were taken back at once.
    Guard,
    /// A person, by the name that the system knows them by.
    Person(Arc<str>),
}

/// What a person, or the judge, has said of a service. It stands above its ramp and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing: the ramp decides, or the file where there is none.
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

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Judge => f.write_str("judge"),
            Actor::Caution => f.write_str("caution"),
            Actor::Ramp => f.write_str("ramp"),
            Actor::Guard => f.write_str("fleet guard"),
            Actor::Person(name) => f.write_str(name),
        }
    }
}
