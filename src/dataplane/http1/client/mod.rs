//! Requests of a client, one behind the other.

mod head;
mod link;
mod served;
mod upload;

pub(in crate::dataplane) use link::Link;
pub(in crate::dataplane) use served::{Bounds, Served};
pub(in crate::dataplane) use upload::Upload;
