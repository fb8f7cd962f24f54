//! HTTP/2 (RFC 9113), to clients and to endpoints.
//!
//! What both ends of a connection know of it is a [`session::Session`]: streams, windows, and an outbox. Whoever drives the connection
//! reads what has come, calls those whom it concerns, and writes what all of them have put into the outbox in one go. To a client that
//! is the connection's own task, in which its requests are answered, too; to an endpoint it is a task beside those of the clients that
//! share the connection.
//!
//! The tables of HPACK ([`hpack`]) are kept understood: an authority or a path that comes again is not read again.

pub(super) mod client;
pub(super) mod endpoint;

mod body;
mod coming;
mod duplex;
mod frame;
mod heads;
mod hpack;
mod outbox;
mod outgoing;
mod reading;
mod session;
mod stream;

pub(super) use body::Body;
pub(super) use duplex::Duplex;
pub(super) use session::Bounds;
