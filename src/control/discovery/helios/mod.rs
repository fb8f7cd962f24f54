//! What a Helios master says of the services that it runs.
//!
//! One conversation serves all services of the process that share a Helios. Every few seconds it asks any one of the masters
//! for all hosts, and for what runs on them: masters offer nothing better, no revision and no watch. What a task's job
//! contains besides is full of secrets, is never read, and stands in no error.
//!
//! The host's own view is asked for, and not the job's: a job that is undeployed vanishes from the latter at once, while its
//! container still works off what it has begun.
//!
//! ```text
//! Masters ─ask─▶ bytes ─wire─▶ Picture ─bridged by the one before─▶ classify ─▶ Looks
//!     └──────── Addresses of masters and of agents' hosts ──┘
//! ```

mod addresses;
mod classify;
mod connection;
mod masters;
mod picture;
mod poll;
mod wire;

pub(super) use poll::run;
