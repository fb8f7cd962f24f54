use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw_tls::RawAccept;

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
}

/// One listener: HTTP/1.1 and HTTP/2 on one port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawListener {
    /// Address and port, such as `0.0.0.0:8080` or `[::]:8080`.
    pub(super) address: Option<At<String>>,
    /// Networks of load balancers that tell where a connection comes from, by the PROXY protocol, version 1 or 2.
    /// Their connections must begin so; others' are not asked. Default: none.
    pub(super) proxy_protocol_from: Option<Vec<At<String>>>,
    /// TLS. Default: none is spoken, and HTTP/2 is by prior knowledge.
    pub(super) tls: Option<At<RawAccept>>,
}

/// The admin interface.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAdmin {
    /// Address and port; only a loopback address is allowed. Default: `127.0.0.1:7070`.
    pub(super) address: Option<At<String>>,
    /// A Unix socket; a relative path lies in the state directory. Default: `admin.sock`.
    pub(super) socket: Option<At<String>>,
}

/// The state directory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawState {
    /// A directory that only one Switchback uses. Default: `/var/lib/switchback`.
    pub(super) directory: Option<At<String>>,
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
}
