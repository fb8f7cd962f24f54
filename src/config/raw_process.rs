use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw_ramp::{RawApprovals, RawGuard, RawRamps};
use super::raw_sources::{RawCluster, RawHelios};
use super::raw_tls::RawAccept;
use super::raw_webhooks::RawWebhook;

/// Switchback's own settings: `switchback.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProcess {
    /// Threads that serve requests, 1 to 256. Default: as many as the CPU quota allows.
    pub(super) workers: Option<At<i64>>,
    /// Where clients connect, each with a name that services refer to.
    pub(super) listeners: Option<BTreeMap<String, At<RawListener>>>,
    /// Where people and programs look and steer.
    pub(super) admin: Option<RawAdmin>,
    /// What must survive a restart: holds and overrides.
    pub(super) state: Option<RawState>,
    /// A line for every request that belongs to a service. Default: none is written.
    pub(super) access_log: Option<At<RawAccessLog>>,
    /// How Switchback ends.
    pub(super) shutdown: Option<RawShutdown>,
    /// Bounds of the whole process.
    pub(super) limits: Option<RawLimits>,
    /// The masters of Helios, for sources that name none.
    pub(super) helios: Option<At<RawHelios>>,
    /// Kubernetes clusters, each with a name that services refer to.
    pub(super) clusters: Option<BTreeMap<String, At<RawCluster>>>,
    /// What holds for all ramps. A change needs no restart.
    pub(super) ramps: Option<RawRamps>,
    /// What takes a second person. A change needs no restart.
    pub(super) approvals: Option<RawApprovals>,
    /// When several services are taken back at once. A change needs no restart.
    pub(super) fleet_guard: Option<RawGuard>,
    /// Who is told what happens, each with a name. A change needs no restart.
    pub(super) webhooks: Option<BTreeMap<At<String>, RawWebhook>>,
}

/// One listener: HTTP/1.1 and HTTP/2 on one port, or one Unix socket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawListener {
    /// Address and port, such as `0.0.0.0:8080` or `[::]:8080`, or a Unix socket, such as `unix:/run/switchback.sock`.
    pub(super) address: Option<At<String>>,
    /// Who may connect to a Unix socket: the permissions of its file, in octal. Default: `0660`, its owner and group.
    pub(super) mode: Option<At<String>>,
    /// Networks of load balancers that tell where a connection comes from, by the PROXY protocol, version 1 or 2;
    /// `unix` is whoever connects to a Unix socket.
    /// Their connections must begin so; others' are not asked. Default: none.
    pub(super) proxy_protocol_from: Option<Vec<At<String>>>,
    /// Networks of proxies that are believed when they say, in `X-Forwarded-For` and its like, where a request comes
    /// from; `unix` is whoever connects to a Unix socket. What anybody else says of it is replaced. Default: none.
    pub(super) trusted_proxies: Option<Vec<At<String>>>,
    /// What a client may take up.
    pub(super) limits: Option<RawListenerLimits>,
    /// TLS. Default: none is spoken, and HTTP/2 is by prior knowledge.
    pub(super) tls: Option<At<RawAccept>>,
}

/// What a client of a listener may take up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawListenerLimits {
    /// Connections; past this no more are accepted until some close. Default: as many as the process may have.
    pub(super) connections: Option<At<i64>>,
    /// Connections of one client address, or of one IPv6 network of 64 bits; what is more is closed at once. Default:
    /// any number, as a load balancer is one client.
    pub(super) connections_per_client: Option<At<i64>>,
    /// How long a request's head may take, from the beginning of the connection or from its first byte; and agreeing on
    /// TLS. Default: `10s`.
    pub(super) head: Option<At<String>>,
    /// How long a connection is kept from one answer to the next request. Default: `75s`.
    pub(super) idle: Option<At<String>>,
    /// How long a client may take nothing of an answer that is sent to it. Default: `1m`.
    pub(super) stalled: Option<At<String>>,
    /// The least bytes a second: a client that has sent a body, or taken an answer, at less than this for as long as
    /// `stalled` is let go. Default: `240B`.
    pub(super) slowest: Option<At<String>>,
    /// The size of a request's head: `8KiB` to `1MiB`. Default: `64KiB`.
    pub(super) header_bytes: Option<At<String>>,
    /// Headers of a request: 16 to 10000. Default: 100.
    pub(super) headers: Option<At<i64>>,
    /// The length of a request's path and query: at most `63KiB`. Default: `16KiB`.
    pub(super) uri_bytes: Option<At<String>>,
    /// Requests at once on an HTTP/2 connection: 1 to 10000. Default: 250.
    pub(super) streams: Option<At<i64>>,
    /// Requests on a connection until it is closed, so that clients spread over workers anew. Default: 100000.
    pub(super) requests: Option<At<i64>>,
    /// Requests of an HTTP/2 connection that the client may have given up before an answer began, past which it is
    /// closed if they are most of them. Default: 500.
    pub(super) cancelled: Option<At<i64>>,
}

/// The admin interface.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAdmin {
    /// Address and port; other than a loopback address it takes both `tls` and `rights`. Default: `127.0.0.1:7070`.
    pub(super) address: Option<At<String>>,
    /// A Unix socket; a relative path lies in the state directory. Default: `admin.sock`.
    pub(super) socket: Option<At<String>>,
    /// Who may connect to the socket: the permissions of its file, in octal. Default: `0600`, its owner.
    pub(super) socket_mode: Option<At<String>>,
    /// The file of who may do what; a relative path begins in the configuration's folder. It is followed by itself: a change
    /// is in force within a second, whatever is wrong with other files. Default: whoever reaches the interface may do
    /// everything.
    pub(super) rights: Option<At<String>>,
    /// TLS on the address, with the keys of a listener's. HTTP/1.1 is spoken. Default: none.
    pub(super) tls: Option<At<RawAccept>>,
}

/// The state directory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawState {
    /// A directory that only one Switchback uses. Default: `/var/lib/switchback`.
    pub(super) directory: Option<At<String>>,
    /// How much the history of who did what may take up there: `16MiB` to `16GiB`; past it the oldest goes. Default: `256MiB`.
    pub(super) history: Option<At<String>>,
}

/// The access log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAccessLog {
    /// The file that lines of JSON are added to; a relative path begins where Switchback is started. It is opened
    /// anew on SIGHUP, and when it was renamed or removed.
    pub(super) file: Option<At<String>>,
}

/// Shutdown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawShutdown {
    /// How long requests in flight may take to end after SIGTERM. Default: `30s`.
    pub(super) deadline: Option<At<String>>,
}

/// Process-wide bounds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLimits {
    /// Connections from clients; past this no more are accepted until some close. Default: 20000.
    pub(super) connections: Option<At<i64>>,
    /// Requests in flight, of all services together; past this they are answered 503. Default: 100000.
    pub(super) in_flight: Option<At<i64>>,
}
