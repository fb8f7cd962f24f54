//! What weight is in force for a service, and why. Pure: a state machine that is told what happened and says
//! what is to be done.
//!
//! The weight in force is decided by the first that applies: a [`Hold`] (weight 0), a person's [`Override`],
//! the configuration file. One [`Word`] stands above the file at any time; a revert puts a hold in the place
//! of whatever was said before, and only a person's release ends it.
//!
//! *Toward Helios: act, then write it down. Toward Kubernetes: write it down, then act.* A crash at any
//! moment therefore never leaves more weight on Kubernetes than the record allows: see [`State::Rising`].

mod machine;
mod word;

pub use machine::{Effect, Event, Record, Refusal, Rollout, State};
pub use word::{Actor, Hold, Override, Word};
