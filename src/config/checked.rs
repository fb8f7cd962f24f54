use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::model::{Address, Failures, GrpcMethods, Millis, PerSide, ServiceName, Side, Weight};
use crate::rollout::Plan;
use crate::splitter::{Force, Sticky};
use crate::tls::{Acceptor, Connector};
use crate::verdict::Rule;

use super::changes::ChangesConfig;
use super::checks::CheckConfig;
use super::fleet::FleetConfig;
use super::limits::{ListenerLimits, ProcessLimits, ServiceLimits};
use super::peers::Peers;
use super::sources::{ClusterConfig, MastersConfig, Part};

/// A whole configuration without a fault.
#[derive(Clone, Debug)]
pub struct Config {
    /// Switchback's own settings.
    pub process: ProcessConfig,
    /// What holds for all services.
    pub fleet: FleetConfig,
    /// The services by name.
    pub services: BTreeMap<ServiceName, Arc<ServiceConfig>>,
}

/// Switchback's own settings. They are read at start; a change asks for a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Threads that serve requests.
    pub workers: usize,
    /// Where clients connect.
    pub listeners: Vec<ListenerConfig>,
    /// Where people and programs look and steer.
    pub admin: AdminConfig,
    /// Where holds and overrides are kept.
    pub state: PathBuf,
    /// Bytes that the history may take up there.
    pub history_bytes: u64,
    /// Where a line is written for every request; `None` if none is.
    pub access_log: Option<PathBuf>,
    /// How long requests in flight may take to end.
    pub shutdown: Duration,
    /// What all clients together may take up.
    pub limits: ProcessLimits,
    /// The masters of Helios, for sources that name none.
    pub helios: Option<Arc<MastersConfig>>,
    /// Kubernetes clusters, by name.
    pub clusters: BTreeMap<Arc<str>, Arc<ClusterConfig>>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The name that services refer to.
    pub name: Arc<str>,
    /// Where.
    pub address: Address,
    /// Who may connect to a Unix socket: the permissions of its file.
    pub mode: u32,
    /// How it speaks TLS; `None` if it does not.
    pub tls: Option<Arc<Acceptor>>,
    /// Load balancers whose connections begin with where they come from.
    pub told_by: Peers,
    /// Proxies that are believed when they say where a request comes from.
    pub trusted: Peers,
    /// What a client may take up.
    pub limits: ListenerLimits,
}

/// Where people and programs look and steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// A loopback address, unless there are both TLS and rights.
    pub address: SocketAddr,
    /// A Unix socket.
    pub socket: PathBuf,
    /// Who may connect to it: the permissions of its file.
    pub mode: u32,
    /// How TLS is spoken on the address; `None` if it is not.
    pub tls: Option<Arc<Acceptor>>,
    /// The file of who may do what; `None` if everybody may do everything.
    pub rights: Option<PathBuf>,
}

/// Everything about one service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Its name, which is its file's.
    pub name: ServiceName,
    /// The team that owns it.
    pub team: Arc<str>,
    /// Who answers for its migration.
    pub owner: Option<Arc<str>>,
    /// Where people of the team are reached.
    pub contact: Option<Arc<str>>,
    /// How far its migration is, for the ledger only.
    pub phase: Phase,
    /// Which requests are its.
    pub matches: MatchConfig,
    /// The weight that the file gives it.
    pub weight: Weight,
    /// What keeps a user on one side.
    pub sticky: Option<Sticky>,
    /// What keeps requests on one endpoint.
    pub affinity: Option<Affinity>,
    /// Who may name the side.
    pub force: Option<Force>,
    /// The two sides.
    pub sides: PerSide<SideConfig>,
    /// How long things may take.
    pub timeouts: TimeoutsConfig,
    /// What becomes of long-lived streams.
    pub streams: StreamsConfig,
    /// Which answers count as failures of the side that gave them.
    pub failures: Failures,
    /// What Helios answers in place of Kubernetes.
    pub rescue: RescueConfig,
    /// What a request may take up.
    pub limits: ServiceLimits,
    /// What is changed on the way; `None` if nothing is.
    pub changes: Option<Box<ChangesConfig>>,
    /// Of a side's endpoints, the percentage that may be let out for a while because they do much worse than its others; 0 if
    /// none is.
    pub most_ejected: u8,
    /// When the service is taken back.
    pub judge: JudgeConfig,
    /// How its weight is raised, once somebody starts the ramp.
    pub plan: Arc<Plan>,
    /// Whether raising its weight takes a second person.
    pub approvals: bool,
}

/// Which requests are a service's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchConfig {
    /// The listeners; empty for all.
    pub listeners: Vec<Arc<str>>,
    /// At least one.
    pub hosts: Vec<HostPattern>,
    /// At least one.
    pub paths: Vec<PathPrefix>,
}

/// A host name, or many of them; lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// Everything below this domain, however deep.
    Below(String),
    /// Every host, and requests that name none.
    Any,
}

/// A prefix of whole path segments: `/v1` matches `/v1` and `/v1/x`, not `/v1beta`. Begins with a slash and
/// ends with none; the root is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

/// Which requests go to one endpoint of their side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Those of one user.
    User(Sticky),
    /// Those for one path.
    Path,
}

/// One side of a service. By default it has no endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideConfig {
    /// Where its endpoints come from; nowhere if the service is not on this side.
    pub parts: Vec<Part>,
    /// What they speak.
    pub protocol: Protocol,
    /// How they are spoken to over TLS; `None` if they are not.
    pub tls: Option<Arc<Connector>>,
    /// How each connection begins by telling where it comes from; `None` if it does not.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The host under which they are asked, in place of the one that the client asked for.
    pub host: Option<HeaderValue>,
    /// Requests that it may have in flight; `None` for any number.
    pub in_flight: Option<u32>,
    /// How long a connection is kept while nobody uses it.
    pub idle_connections: Duration,
    /// Requests a second that it can serve, if somebody says so.
    pub capacity: Option<u32>,
    /// How its endpoints are asked whether they are well; `None` if they are not.
    pub check: Option<Arc<CheckConfig>>,
}

impl Default for SideConfig {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            protocol: Protocol::default(),
            tls: None,
            proxy_protocol: None,
            host: None,
            in_flight: None,
            idle_connections: Self::IDLE_CONNECTIONS,
            capacity: None,
            check: None,
        }
    }
}

impl SideConfig {
    /// Connections that nobody uses are kept for so long unless it is said.
    pub const IDLE_CONNECTIONS: Duration = Duration::from_secs(30);
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutsConfig {
    /// Making a connection.
    pub connect: Duration,
    /// From asking an endpoint to the head of its answer.
    pub header: Duration,
    /// From the request to the head of its answer, all tries together.
    pub request: Duration,
    /// The longest silence within an answer's body.
    pub idle: Duration,
    /// The longest silence of an upgraded stream, in both directions.
    pub stream_idle: Duration,
}

/// What becomes of long-lived streams that somebody would like to see end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamsConfig {
    /// Of those on Kubernetes, when the service is taken back.
    pub on_revert: StreamEnd,
    /// Of all, when Switchback shuts down.
    pub on_shutdown: StreamEnd,
}

/// How long a stream may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    /// Until it ends by itself.
    #[default]
    Finish,
    /// For so long.
    CloseAfter(Duration),
}

/// What Helios answers in place of Kubernetes.
#[derive(Clone, Debug, PartialEq)]
pub struct RescueConfig {
    /// Whether it does.
    pub enabled: bool,
    /// Bytes of a request's body that are kept.
    pub body_bytes: usize,
    /// Methods that may be called twice.
    pub grpc: GrpcMethods,
    /// Whether Helios is asked too when Kubernetes is slow.
    pub hedge: bool,
    /// Rescues for each request that goes to Kubernetes, 0 to 1.
    pub budget: f64,
}

/// When a service is taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgeConfig {
    /// What its word leads to.
    pub mode: JudgeMode,
    /// What it promises and tolerates.
    pub rule: Rule,
}

/// What the judge's word leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeMode {
    /// The service is taken back.
    Revert,
    /// People are told.
    Advise,
    /// Nothing is judged.
    Off,
}

/// How far a service's migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// One to three services try it.
    Experiment,
    /// Volunteers.
    Alpha,
    /// Self-service.
    Beta,
    /// Everybody.
    General,
}

impl PathPrefix {
    /// From a path that begins with a slash; a slash at its end means nothing.
    pub fn new(path: &str) -> Self {
        Self(path.trim_end_matches('/').to_owned())
    }

    /// Whether a request's path lies below.
    pub fn matches(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }

    /// What lies below it of a path; empty, or begins with a slash. `None` if the path does not lie below.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.0.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Its length in bytes: the longest that matches wins.
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

impl Protocol {
    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "http/2",
        }
    }
}

impl HostPattern {
    /// The host, if it is a single one.
    pub fn exact(&self) -> Option<&str> {
        match self {
            HostPattern::Exact(host) => Some(host),
            HostPattern::Below(_) | HostPattern::Any => None,
        }
    }
}

impl JudgeMode {
    /// Where the judge may only advise, it does so at most this often.
    pub const ADVISE_EVERY: Millis = Millis(600_000);

    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            JudgeMode::Revert => "revert",
            JudgeMode::Advise => "advise",
            JudgeMode::Off => "off",
        }
    }
}

impl Phase {
    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Experiment => "experiment",
            Phase::Alpha => "alpha",
            Phase::Beta => "beta",
            Phase::General => "general",
        }
    }
}

impl ServiceConfig {
    /// Whether the service has a side at all.
    pub fn is_on(&self, side: Side) -> bool {
        !self.sides[side].parts.is_empty()
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            header: Duration::from_secs(15),
            request: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            stream_idle: Duration::from_hours(1),
        }
    }
}

impl ServiceConfig {
    /// Half of a side may be let out unless it is said: the others must carry the load.
    pub const MOST_EJECTED: u8 = 50;
}

impl Default for RescueConfig {
    /// Everything that can be rescued is: it asks no more of Helios than a revert would.
    fn default() -> Self {
        Self { enabled: true, body_bytes: 64 << 10, grpc: GrpcMethods::default(), hedge: false, budget: 1.0 }
    }
}

impl JudgeConfig {
    /// The shortest promise. Below this every restart would be found.
    pub const SHORTEST_PROMISE: Duration = Duration::from_mins(1);
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { mode: JudgeMode::Revert, rule: Rule::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_of_whole_segments() {
        let v1 = PathPrefix::new("/v1/");
        for (path, matches) in [
            ("/v1", true),
            ("/v1/", true),
            ("/v1/x", true),
            ("/v1?q", true),
            ("/v1beta", false),
            ("/", false),
        ] {
            assert_eq!(v1.matches(path), matches, "{path}");
        }
        assert!(PathPrefix::new("/").matches("/anything") && PathPrefix::new("/").matches("/"));
    }
}
