//! HTTP/1.1 (RFC 9112), to clients and to endpoints.
//!
//! hyper drives each connection by a task of its own, and a request, its body and its answer go to that task and back through
//! channels: wake-ups, and a place in memory for each channel. Here whoever asks an endpoint drives its connection, within the task
//! of the client's, and a body is read by whoever wants it. What costs is then what a request needs: heads understood
//! ([`httparse`]) and written, bytes passed on from where they were read to.
//!
//! An idle connection to an endpoint is nobody's: whether it has been closed is looked at when it is taken, without a system call,
//! as the runtime has been told by then.

pub(super) mod client;
pub(super) mod endpoint;

mod framing;
mod outgoing;
mod source;
mod wakers;

use wakers::wake;
