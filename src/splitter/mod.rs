//! Chooses the side for one request. Pure: no clock, no I/O, no logging; randomness is an argument.
//!
//! Three things decide, in this order: a trusted caller's [`Force`], the user's [`Point`] if the service is
//! sticky, and otherwise a [`Dealer`], which deals requests out so that even a short run has its exact share.
//!
//! While a service is calibrated, its requests on Helios are labelled as one of two [`Halves`]. That moves nobody.

mod choose;
mod dealer;
mod force;
mod halves;
mod plan;
mod sticky;

pub use choose::{Choice, Why, choose};
pub use dealer::Dealer;
pub use force::Force;
pub use halves::{Half, Halves};
pub use plan::Plan;
pub use sticky::{Point, Sticky};
