//! The words that everyone shares, as types that cannot be wrong.
//!
//! Nothing here knows about sockets, files, clocks or configuration: these are the nouns of the whole
//! program, and every other module may use them.

mod endpoint;
mod failures;
mod grpc;
mod name;
mod outcome;
mod rights;
mod route;
mod side;
mod time;
mod weight;

pub use endpoint::{Address, Endpoint};
pub use failures::{Failures, Statuses};
pub use grpc::{Dialect, GrpcCode, GrpcCodes, GrpcMethods, grpc_timeout, grpc_timeout_value};
pub use name::{NameFault, ServiceName};
pub use outcome::{Cause, Fault, Outcome};
pub use rights::{Caller, Grant, Rights, Role, Scope, Via};
pub use route::{Route, RouteKey};
pub use side::{PerSide, Side};
pub use time::{Micros, Millis, UnixMicros, UnixMillis};
pub use weight::Weight;
