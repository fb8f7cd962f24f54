use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Endpoint;
use crate::tls::Connector;

/// Where a side's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the configuration.
    Listed(Listed),
    /// From a name with SRV records (RFC 2782).
    Srv(Arc<str>),
    /// From a Helios master.
    Helios(Arc<MastersConfig>, Registered),
    /// From what a Kubernetes cluster publishes.
    Kubernetes(Arc<ClusterConfig>, Published),
}

/// One of the places where a side's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The cluster, on a side that is on several.
    pub cluster: Option<Arc<str>>,
    /// How large its share of the side is, beside the others'. If it is 0, nothing is sent there.
    pub weight: u16,
    /// What knows its endpoints.
    pub source: Source,
}

/// Endpoints that the configuration lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By address.
    pub fixed: Arc<[Endpoint]>,
    /// By host name, each of which may have any number of addresses.
    pub names: Arc<[HostPort]>,
}

/// A host's name and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Lower case.
    pub host: Arc<str>,
    /// Not 0.
    pub port: u16,
}

/// Under what Helios knows a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Registered {
    /// Jobs register it.
    Service {
        /// As the jobs' `registration` names it.
        service: Arc<str>,
        /// What stands behind the slash there, such as `http`.
        protocol: Arc<str>,
    },
    /// Jobs that register nothing.
    Job {
        /// The first part of the job's id, of whatever version.
        job: Arc<str>,
        /// The name of one of its ports.
        port: Arc<str>,
    },
}

/// Masters of one Helios: any of them can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MastersConfig {
    /// Where they are.
    pub found: Masters,
    /// How often they are asked.
    pub poll: Duration,
    /// A file with the token that they are shown.
    pub token: Option<PathBuf>,
    /// Whether a service's file names them, and not `switchback.toml`.
    pub is_of_service: bool,
    /// How they are spoken to over TLS; `None` if none of them is.
    pub tls: Option<Arc<Connector>>,
}

/// Where masters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masters {
    /// Here.
    Listed(Vec<MasterAddress>),
    /// Where the SRV records of this domain say: `_helios._https.DOMAIN`, or else `_helios._http.DOMAIN`.
    Domain(Arc<str>),
}

/// Where a master is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MasterAddress {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// A name, or an IP address without brackets.
    pub host: Arc<str>,
    /// Not 0.
    pub port: u16,
}

/// A Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// As services name it; empty for the one that Switchback itself runs in, where no other is configured.
    pub name: Arc<str>,
    /// How its API server is reached.
    pub access: ClusterAccess,
    /// The zone that is this Switchback's own, for which clusters may have hints.
    pub zone: Option<Arc<str>>,
}

/// How a cluster's API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterAccess {
    /// As pods of the cluster do, by the service account that Switchback runs as.
    InCluster,
    /// As this file says.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// The context in it; its current one if `None`.
        context: Option<String>,
    },
}

/// Under what a cluster publishes a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name of the Service.
    pub service: Arc<str>,
    /// Which of its ports; the only one if `None`.
    pub port: Option<PortOf>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortOf {
    /// By its name.
    Name(Arc<str>),
    /// By the number that its pods have for it.
    Number(u16),
}

impl MastersConfig {
    /// How often masters are asked unless it is said.
    pub const POLL: Duration = Duration::from_secs(5);
}

impl From<Source> for Part {
    /// The only one.
    fn from(source: Source) -> Self {
        Self { cluster: None, weight: 1, source }
    }
}

impl Source {
    /// The endpoints that are known without looking.
    pub fn fixed(&self) -> &[Endpoint] {
        match self {
            Source::Listed(listed) => &listed.fixed,
            Source::Srv(_) | Source::Helios(..) | Source::Kubernetes(..) => &[],
        }
    }

    /// The masters that are asked, if any are.
    pub fn masters(&self) -> Option<&Arc<MastersConfig>> {
        match self {
            Source::Helios(masters, _) => Some(masters),
            Source::Listed(_) | Source::Srv(_) | Source::Kubernetes(..) => None,
        }
    }

    /// Whether it tells of each change by itself, and is not asked again and again.
    pub fn tells_changes(&self) -> bool {
        matches!(self, Source::Kubernetes(..))
    }

    /// Whether there is nothing to look for.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Source::Listed(listed) if listed.names.is_empty())
    }

    /// Whom it asks: sources of one platform fail together.
    pub fn platform(&self) -> (&'static str, String) {
        let whom = match self {
            Source::Listed(_) | Source::Srv(_) => String::new(),
            Source::Helios(masters, _) => format!("{:?}", masters.found),
            Source::Kubernetes(cluster, _) => cluster.name.to_string(),
        };
        (self.kind(), whom)
    }

    /// What it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Source::Listed(_) => "addresses",
            Source::Srv(_) => "srv",
            Source::Helios(..) => "helios",
            Source::Kubernetes(..) => "kubernetes",
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Display for PortOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortOf::Name(name) => f.write_str(name),
            PortOf::Number(number) => write!(f, "{number}"),
        }
    }
}
