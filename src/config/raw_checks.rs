use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;

/// What endpoints are asked, again and again, to find out whether they are well.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCheck {
    /// How they are asked. Default: `http` if there is a `path`.
    pub(super) kind: Option<At<RawCheckKind>>,
    /// With `http`: the path, perhaps with a query. Default: `/`.
    pub(super) path: Option<At<String>>,
    /// With `http`: the host that is asked for. Default: the side's `host`, or else the first of the service's hosts that is
    /// no pattern, or else the endpoint's address.
    pub(super) host: Option<At<String>>,
    /// With `http`: the statuses of an endpoint that is well, such as `204`, `2xx` or `200-299`. Default: `["2xx", "3xx"]`.
    pub(super) statuses: Option<At<Vec<At<String>>>>,
    /// With `grpc`: the service that is asked after. Default: `""`, which is the whole server.
    pub(super) service: Option<At<String>>,
    /// The port that is asked: 1 to 65535. Default: the endpoint's own.
    pub(super) port: Option<At<i64>>,
    /// How often each endpoint is asked: `1s` to `5m`. Default: `5s`.
    pub(super) every: Option<At<String>>,
    /// How long it may take to answer, at most as long as `every`. Default: `1s`.
    pub(super) timeout: Option<At<String>>,
    /// Good answers in a row after which an endpoint that was ill is well: 1 to 100. Default: 2.
    pub(super) rise: Option<At<i64>>,
    /// Bad ones in a row after which an endpoint that was well is ill: 1 to 100. Default: 3.
    pub(super) fall: Option<At<i64>>,
}

/// How endpoints are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawCheckKind {
    /// A GET, which must be answered with one of `statuses`.
    Http,
    /// A call of `grpc.health.v1.Health/Check`, which must be answered with `SERVING`.
    Grpc,
    /// A connection, over TLS where the side speaks it.
    Tcp,
}
