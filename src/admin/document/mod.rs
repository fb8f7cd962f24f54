//! The OpenAPI document of the API.
//!
//! [`routes`](super::routes) is one list for the router and for the document, so neither has what the other has not. A handler
//! says what it answers itself; what is answered in front of all of them is said here, once.

mod beginning;
mod finish;
mod problems;
mod served;

pub(super) use beginning::beginning;
pub(super) use served::takes_no_parameters;
pub(crate) use served::text;

#[cfg(test)]
mod tests;
