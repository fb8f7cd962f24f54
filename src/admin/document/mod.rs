//! The OpenAPI document of the API.
//!
//! [`routes`](super::routes) is one list for the router and for the document, so neither has what the other has not. A handler
//! says what it answers itself; what is answered in front of all of them is said here, once.

mod beginning;
mod finish;
mod problems;
mod served;

pub(super) use beginning::beginning;
pub(crate) use served::text;
pub(super) use served::{calls, takes_no_parameters};

#[cfg(test)]
mod tests;
