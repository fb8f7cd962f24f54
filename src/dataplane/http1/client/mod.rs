//! Requests of a client, one behind the other.

mod body;
mod head;
mod link;
mod served;

pub(in crate::dataplane) use body::Body;
pub(in crate::dataplane) use link::Link;
pub(in crate::dataplane) use served::{HeadBounds, Served};
