//! What weight is in force for a service, and why. Pure: a state machine that is told what happened and says
//! what is to be done.
//!
//! The weight in force is decided by the first that applies: a [`Hold`] (weight 0), a person's [`Override`], a running
//! [`Ramp`], the configuration file. All of it is one value, [`Said`], that is kept as one [`Record`]. A revert puts a
//! hold in the place of whatever was said before and ends the ramp; only a person's release ends the hold, or, where
//! a service's plan says so, a new start of the ramp after the judge had ended it ([`Again`]).
//!
//! *Toward Helios: act, then write it down. Toward Kubernetes: write it down, then act.* A crash at any
//! moment therefore never leaves more weight on Kubernetes than the record allows: see [`State::Rising`], and `allowance` for
//! what holds while it is not known which record the disk has. What lets a
//! ramp climb is toward Kubernetes, also where the weight stays the same for now.
//!
//! A ramp's next step is taken when [`waits()`] has nothing that it waits for.

mod allowance;
mod calendar;
mod machine;
mod plan;
mod said;
mod waits;
mod word;

pub use calendar::{Freeze, Hours, Span, Zone};
pub use machine::{Chosen, Effect, Event, Record, Refusal, Rollout, State};
pub use plan::{Again, Plan, Step};
pub use said::{Cut, Going, Ramp, Said};
pub use waits::{Judged, Room, Says, Seen, Wait, waits};
pub use word::{Actor, Hold, Override, Word};
