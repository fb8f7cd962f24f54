//! Connections to endpoints, each shared by many requests.

mod asked;
mod connection;

pub(in crate::dataplane) use asked::Asked;
pub(in crate::dataplane) use connection::Http2;
