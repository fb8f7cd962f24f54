//! What follows from what has happened. Pure: no clock, no I/O, no logging.
//!
//! | file | what |
//! |---|---|
//! | `take_in` | one event, and all that is to be done |
//! | `tick` | time passes, and workers have counted: the judge, ramps |
//! | `endpoints` | what sources and checks say |
//! | `configure` | another configuration, other certificates |
//! | `ask` | what people ask, and whether they may |
//! | `steer` | what people change |
//! | `second_person` | what waits for another's approval |
//! | `fall` | services are taken back, by whomever |
//! | `turn` | one service's rollout takes in an event: what is published, written, told |

mod ask;
mod configure;
mod endpoints;
mod fall;
mod second_person;
mod steer;
mod take_in;
mod tick;
mod turn;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod story;

pub(super) use take_in::{Todo, step};
