//! HTTP/1.1 to endpoints (RFC 9112): one request at a time, and the next over the same connection.
//!
//! hyper drives a connection by a task of its own, and a request and its answer go to that task and back through channels: four
//! wake-ups, and a place in memory for each channel. Here whoever asks drives the connection, within its own task. What costs is
//! then what the request itself needs: its head written, its answer's head understood ([`httparse`]), bytes passed on.
//!
//! An idle connection is nobody's: whether its endpoint has closed it is looked at when it is taken, without a system call, as
//! the runtime has been told by then.

mod asked;
mod body;
mod connection;
mod framing;
mod head;
mod outgoing;

pub(super) use asked::Unasked;
pub(super) use body::Body;
pub(super) use connection::{Broken, Http1};
