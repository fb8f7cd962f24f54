use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw_checks::RawCheck;
use super::raw_headers::{RawHeaders, RawRewrite, RawTrace};
use super::raw_ramp::{RawApprovals, RawRamp};
use super::raw_sources::RawSource;
use super::raw_tls::RawConnect;

/// Everything about one service: `services/NAME.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawService {
    /// The team that owns the service.
    pub(super) team: Option<At<String>>,
    /// The person who answers for its migration. A migration needs one.
    pub(super) owner: Option<At<String>>,
    /// Where people of the team are reached when it is taken back, such as `#playlist-oncall`. A migration needs it.
    pub(super) contact: Option<At<String>>,
    /// How far the service's migration is, for the ledger only. Default: `experiment`.
    pub(super) phase: Option<At<RawPhase>>,
    /// Which requests are the service's.
    #[serde(rename = "match")]
    pub(super) matches: Option<At<RawMatch>>,
    /// How requests are split.
    pub(super) split: Option<RawSplit>,
    /// The Helios side; without it the service is on Kubernetes only.
    pub(super) helios: Option<At<RawSide>>,
    /// The Kubernetes side; without it the service is on Helios only.
    pub(super) kubernetes: Option<At<RawSide>>,
    /// How long things may take.
    pub(super) timeouts: Option<RawTimeouts>,
    /// What becomes of long-lived streams when the service is taken back, and when Switchback shuts down.
    pub(super) streams: Option<RawStreams>,
    /// Which answers count as failures of the side that gave them.
    pub(super) failures: Option<RawFailures>,
    /// What Helios answers in place of Kubernetes.
    pub(super) rescue: Option<RawRescue>,
    /// What its requests may take up.
    pub(super) limits: Option<RawServiceLimits>,
    /// What is changed in the headers of requests and answers.
    pub(super) headers: Option<RawHeaders>,
    /// What is changed in what requests ask for.
    pub(super) rewrite: Option<RawRewrite>,
    /// Traces.
    pub(super) trace: Option<RawTrace>,
    /// Endpoints that do much worse than their side's others, and are let out for a while.
    pub(super) ejection: Option<RawEjection>,
    /// When the service is taken back.
    pub(super) judge: Option<RawJudge>,
    /// How the weight is raised, step by step.
    pub(super) ramp: Option<RawRamp>,
    /// What takes a second person.
    pub(super) approvals: Option<RawApprovals>,
}

/// Endpoints that do much worse than their side's others.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEjection {
    /// At most this percentage of a side's endpoints is let out at once; 0 for none. Default: 50.
    pub(super) most: Option<At<i64>>,
}

/// What a service's requests may take up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawServiceLimits {
    /// The size of a request's body, such as `10MiB`. Default: any, as bodies stream through.
    pub(super) body: Option<At<String>>,
    /// Requests in flight, over all workers: 1 to 1000000. Default: any number.
    pub(super) in_flight: Option<At<i64>>,
    /// Requests that wait for a place among those in flight, of the service or a side: 0 to 1000000. Default: 1000.
    pub(super) queue: Option<At<i64>>,
    /// How long they wait. Default: `1s`.
    pub(super) queue_wait: Option<At<String>>,
    /// Requests a second, over all workers: 1 to 10000000. Default: any number.
    pub(super) rate: Option<At<i64>>,
    /// Requests at once, after a pause. Default: as many as in a second.
    pub(super) burst: Option<At<i64>>,
}

/// A migration's phase.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawPhase {
    /// One to three services try it.
    Experiment,
    /// Volunteers.
    Alpha,
    /// Self-service.
    Beta,
    /// Everybody; new services start on Kubernetes.
    General,
}

/// Hosts and paths.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMatch {
    /// The listeners that the service is reached by. Default: all.
    pub(super) listeners: Option<Vec<At<String>>>,
    /// Host names without a port: exact, `*.example.net` for everything below, or `*` for every host.
    pub(super) hosts: Option<At<Vec<At<String>>>>,
    /// Path prefixes, whole segments; the longest that matches wins. Default: `/`.
    pub(super) paths: Option<At<Vec<At<String>>>>,
}

/// Weight, stickiness and force.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSplit {
    /// Percent of requests that go to Kubernetes: 0 to 100 in steps of 0.01. Default: 0.
    pub(super) kubernetes: Option<At<f64>>,
    /// What keeps a user on one side. Default: nothing does.
    pub(super) sticky: Option<At<RawSticky>>,
    /// Who may name the side. Default: nobody.
    pub(super) force: Option<At<RawForce>>,
    /// What keeps requests on one endpoint of their side, as caches like it. Default: nothing does.
    pub(super) affinity: Option<At<RawAffinity>>,
}

/// Which requests go to one endpoint: those that have the same of exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAffinity {
    /// The value of this request header.
    pub(super) header: Option<At<String>>,
    /// The value of this cookie.
    pub(super) cookie: Option<At<String>>,
    /// The client's address.
    pub(super) client_address: Option<At<bool>>,
    /// The path, without its query.
    pub(super) path: Option<At<bool>>,
}

/// What identifies a user: exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSticky {
    /// The value of this request header.
    pub(super) header: Option<At<String>>,
    /// The value of this cookie.
    pub(super) cookie: Option<At<String>>,
    /// The client's address.
    pub(super) client_address: Option<At<bool>>,
}

/// A header by which trusted callers choose the side.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawForce {
    /// The header whose value is `helios` or `kubernetes`. Default: `x-switchback-side`.
    pub(super) header: Option<At<String>>,
    /// The networks that are trusted, such as `10.20.0.0/16`.
    pub(super) from: Option<At<Vec<At<String>>>>,
}

/// One side.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSide {
    /// Where the side's endpoints come from.
    pub(super) source: Option<At<RawSource>>,
    /// What its endpoints speak. Default: `http/1.1`.
    pub(super) protocol: Option<At<RawProtocol>>,
    /// Tells endpoints where each connection comes from, by this version of the PROXY protocol. Every request then has
    /// a connection of its own. Default: they are not told.
    pub(super) proxy_protocol: Option<At<RawProxyProtocol>>,
    /// The host under which endpoints are asked, such as `playlist.internal`; the client's own is then passed on in
    /// `X-Forwarded-Host`. Default: the client's.
    pub(super) host: Option<At<String>>,
    /// Requests that it may have in flight, over all workers: 1 to 1000000. Default: any number.
    pub(super) in_flight: Option<At<i64>>,
    /// How long a connection to an endpoint is kept while nobody uses it: shorter than its endpoints keep them. An endpoint that
    /// says `Keep-Alive: timeout=5` is believed. Default: `30s`.
    pub(super) idle_connections: Option<At<String>>,
    /// Requests a second that its endpoints can serve together, of this Switchback: 1 to 10000000. Default: the most that
    /// they have served well in the last week.
    pub(super) capacity: Option<At<i64>>,
    /// TLS. Default: none is spoken.
    pub(super) tls: Option<At<RawConnect>>,
    /// What its endpoints are asked, again and again, to find out whether they are well. Default: nothing.
    pub(super) check: Option<At<RawCheck>>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(super) enum RawProtocol {
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2, as gRPC services speak; without TLS by prior knowledge.
    #[serde(rename = "http/2")]
    Http2,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How long things may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTimeouts {
    /// Making a connection to an endpoint. Default: `1s`.
    pub(super) connect: Option<At<String>>,
    /// From asking an endpoint to the head of its answer, each try. Default: `15s`.
    pub(super) header: Option<At<String>>,
    /// From the request to the head of its answer, all tries together. Default: `30s`.
    pub(super) request: Option<At<String>>,
    /// The longest silence within an answer's body. Default: `60s`.
    pub(super) idle: Option<At<String>>,
    /// The longest silence of an upgraded stream, such as a WebSocket, in both directions. Default: `1h`.
    pub(super) stream_idle: Option<At<String>>,
}

/// What becomes of long-lived streams: upgraded ones such as WebSockets, gRPC calls, and other answers of
/// which nobody has said how long they are. `finish`, `close`, or `close after 30s`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawStreams {
    /// Of those that were dealt to Kubernetes, when the service is taken back. Default: `finish`.
    pub(super) on_revert: Option<At<String>>,
    /// Of all, when Switchback shuts down; at `[shutdown] deadline` what is left is closed. Default: `finish`.
    pub(super) on_shutdown: Option<At<String>>,
}

/// Which answers count as failures of the side that gave them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFailures {
    /// HTTP statuses from 400 to 599: `503`, `5xx`, `500-504`. Default: `["5xx"]`.
    pub(super) statuses: Option<At<Vec<At<String>>>>,
    /// Codes of gRPC calls, by name or number. Default: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`,
    /// `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`.
    pub(super) grpc: Option<At<Vec<At<String>>>>,
}

/// What Helios answers in place of Kubernetes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRescue {
    /// Whether it does. Default: true.
    pub(super) enabled: Option<At<bool>>,
    /// How much of a request's body is kept, so that it can be sent again: `64KiB`, at most `16MiB`.
    /// Default: `64KiB`.
    pub(super) body: Option<At<String>>,
    /// gRPC methods that change nothing, or no more when they are called twice: `shop.Cart/Get`, or `shop.Catalog/*`
    /// for all methods of a service. Default: none, as gRPC does not tell.
    pub(super) grpc: Option<At<Vec<At<String>>>>,
    /// Whether Helios is asked too when Kubernetes takes longer than 99 in 100 of Helios' answers, and what is tolerated
    /// on top. The first answer wins. For requests that change nothing. Default: false.
    pub(super) hedge: Option<At<bool>>,
    /// At most this percentage of the requests that go to Kubernetes is rescued, or hedged. Default: 100.
    pub(super) budget: Option<At<f64>>,
}

/// When the service is taken back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawJudge {
    /// `revert` takes the service back, `advise` only says so, `off` does not look. Default: `revert`.
    pub(super) mode: Option<At<RawMode>>,
    /// The promise: how rarely a revert may come that was not called for, on average. Default: `1y`.
    pub(super) false_revert_every: Option<At<String>>,
    /// How much worse Kubernetes may be.
    pub(super) tolerate: Option<At<RawTolerate>>,
}

/// What the judge's word leads to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawMode {
    /// The service is taken back.
    Revert,
    /// People are told.
    Advise,
    /// Nothing is judged.
    Off,
}

/// How much worse Kubernetes may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTolerate {
    /// A factor and an addition in percentage points: `x1.2 +0.05%`, which is the default.
    pub(super) failures: Option<At<String>>,
    /// A factor and an addition; the larger of the two counts: `x1.15 +2ms`, which is the default.
    pub(super) slower: Option<At<String>>,
}
