//! The HTTP API by which people and programs look and steer, over TCP, with TLS or without, and on a Unix socket.
//!
//! | method and path | what |
//! |---|---|
//! | `GET /v1/process` | the process: configuration, workers, holds |
//! | `GET /v1/services`, `GET /v1/services/NAME` | services with weight, rates and verdict |
//! | `PUT /v1/services/NAME/weight` | sets the weight; `DELETE` ends an override |
//! | `POST /v1/services/NAME/release` | ends a hold |
//! | `POST /v1/revert` | takes services back |
//! | `GET /v1/services/NAME/receipt` | the last revert's receipt |
//! | `GET /v1/services/NAME/sensitivity` | how soon trouble would be seen |
//! | `POST /v1/services/NAME/calibration` | compares Helios with itself; `GET` tells how it goes, `DELETE` ends it |
//! | `GET /v1/events` | announcements, one JSON object a line, as they come |
//! | `GET /metrics`, `GET /healthz`, `GET /readyz` | for Prometheus and for who starts and stops Switchback |
//!
//! What is refused is answered with Problem Details (RFC 9457). Who asks is found out in `access`, before anything of a
//! request is read but its head; what they may is decided by control. Without TLS only requests are served whose `Host` is a
//! loopback name: a web page that a person happens to have open cannot reach it by having a name of its own resolve to
//! 127.0.0.1.
//!
//! ```text
//! listen: socket, TLS ─▶ refuse_strangers ─▶ authenticate ─▶ take_in: the body ─▶ a place ─▶ handler ─▶ control
//! ```

mod access;
mod address;
mod calibration;
mod caller;
mod change;
pub(crate) mod client;
mod csv;
mod listen;
mod look;
mod peer;
mod problem;
mod read;
mod routes;
mod serve;
mod webhooks;
pub(crate) mod wire;

pub use routes::calls;
pub(crate) use serve::{AdminSeed, start};
