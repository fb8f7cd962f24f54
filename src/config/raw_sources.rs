use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw_tls::RawConnect;

/// Where a side's endpoints come from: `addresses` or `srv` for either side, `service` or `job` as Helios knows it, or
/// `namespace` and `service` as Kubernetes does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSource {
    /// Addresses and ports, such as `10.4.1.17:8080`, host names and ports, such as `playlist.internal:8080`, or Unix
    /// sockets, such as `unix:/run/playlist.sock`. Names are looked up again and again.
    pub(super) addresses: Option<At<Vec<At<String>>>>,
    /// A name that has SRV records, such as `_playlist._http.services.gew1.example.net`.
    pub(super) srv: Option<At<String>>,
    /// On Helios: the service as jobs register it. On Kubernetes: the name of the Service.
    pub(super) service: Option<At<String>>,
    /// On Helios: what stands behind the slash in the jobs' registration. Default: `http`.
    pub(super) protocol: Option<At<String>>,
    /// On Helios, for jobs that register nothing: the job's name, without version and hash.
    pub(super) job: Option<At<String>>,
    /// With `job`: the name of the job's port. On Kubernetes: the name of the Service's port, or the number that pods have
    /// for it. Default: the only one.
    pub(super) port: Option<At<String>>,
    /// On Helios: the masters, such as `http://helios-master-1:5801`. Default: those of `switchback.toml`.
    pub(super) masters: Option<At<Vec<At<String>>>>,
    /// On Kubernetes: the namespace of the Service.
    pub(super) namespace: Option<At<String>>,
    /// On Kubernetes: the cluster, one of those in `switchback.toml`. Default: the only one there; without any, the cluster
    /// that Switchback runs in.
    pub(super) cluster: Option<At<String>>,
    /// On Kubernetes, in place of `cluster`: several clusters of `switchback.toml` that each have the Service, and how large
    /// the share of each is, as in `{ gew1 = 2, lon3 = 1 }`; 0 to 1000.
    pub(super) clusters: Option<At<BTreeMap<String, At<i64>>>>,
}

/// The masters of Helios.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawHelios {
    /// Where they are, such as `http://helios-master-1:5801`. One of them is asked, and the next if it does not answer.
    pub(super) masters: Option<At<Vec<At<String>>>>,
    /// In place of `masters`: the domain whose SRV records `_helios._https` or `_helios._http` name them.
    pub(super) domain: Option<At<String>>,
    /// How often they are asked: `1s` to `1m`. Default: `5s`.
    pub(super) poll: Option<At<String>>,
    /// A file with a token that they are shown, where something in front of them asks for one.
    pub(super) token: Option<At<String>>,
    /// How those that are reached by `https` are spoken to.
    pub(super) tls: Option<At<RawConnect>>,
}

/// A Kubernetes cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCluster {
    /// A kubeconfig file by which its API server is reached. Default: as pods of the cluster reach it, by the service
    /// account that Switchback runs as.
    pub(super) kubeconfig: Option<At<String>>,
    /// The context of the kubeconfig. Default: its current one.
    pub(super) context: Option<At<String>>,
    /// The zone of the cluster that Switchback itself is in: endpoints that are meant for it are preferred. Default: none.
    pub(super) zone: Option<At<String>>,
}
