//! What people and plans do with a service's weight, from the first percent to the last, and what is kept of it.

mod approvals;
mod calendar;
mod guard;
mod history;
mod migration;
mod promise;
mod ramps;
mod reverts;
mod scope;
mod waits;
mod world;
