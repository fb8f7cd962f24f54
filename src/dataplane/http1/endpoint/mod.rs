//! One request at a time to an endpoint, and the next over the same connection.

mod asked;
mod body;
mod connection;
mod head;

pub(in crate::dataplane) use asked::Asked;
pub(in crate::dataplane) use body::Body;
pub(in crate::dataplane) use connection::Http1;
