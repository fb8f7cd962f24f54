use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver as Dns, TokioResolver};
use tokio::time::timeout;

/// Looks names up. What the host itself knows of (`/etc/hosts`) counts too, and so do the domains that it searches.
///
/// Nothing is kept here: who asks keeps what it heard, for as long as it is told to, and for longer where a name server fails.
pub(super) struct Resolver {
    /// Or why there is none.
    dns: Result<TokioResolver, Arc<str>>,
}

/// Where one SRV record points.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SrvTarget {
    /// Lower case, without the dot at its end.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) priority: u16,
    pub(super) weight: u16,
}

/// Why a name has led nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// There is nothing of that kind under this name: the name servers say so.
    Nothing,
    /// No answer, or one that is none.
    Failed(Arc<str>),
}

/// What was found, and how long it may be gone by.
pub(super) type Resolved<T> = Result<(Vec<T>, Duration), Unresolved>;

/// How long a lookup may take, all its tries together.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long a name server is asked again, and then the next: a packet may get lost.
const TRY: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// Answers may be gone by for at least so long: some have a time to live of 0.
const SHORTEST: Duration = Duration::from_secs(1);
/// And for so long at most, whatever they say: a machine's address is looked for again within minutes.
const LONGEST: Duration = Duration::from_mins(5);

impl Resolver {
    /// With the name servers of the system, unless others are given.
    pub(super) fn new(nameservers: Option<Vec<SocketAddr>>) -> Self {
        Self { dns: dns(nameservers).map_err(|error| error.to_string().into()) }
    }

    /// The addresses of a host, in order. Those of IPv6 count only where there are none of IPv4: a host that has both would
    /// be two endpoints.
    pub(super) async fn addresses(&self, host: &str) -> Resolved<IpAddr> {
        if let Some(known) = known(host) {
            return Ok((vec![known], LONGEST));
        }
        let dns = self.dns()?;
        let address = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        match patiently(dns.ipv4_lookup(host)).await.and_then(|lookup| found(&lookup, address)) {
            Err(Unresolved::Nothing) => {}
            resolved => return resolved,
        }
        patiently(dns.ipv6_lookup(host)).await.and_then(|lookup| found(&lookup, address))
    }

    /// Where the SRV records of a name point, in order.
    pub(super) async fn srv(&self, name: &str) -> Resolved<SrvTarget> {
        let lookup = patiently(self.dns()?.srv_lookup(name)).await?;
        found(&lookup, |data| match data {
            // A target of "." says that the service is decidedly not there (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(SrvTarget {
                host: bare(&srv.target.to_ascii()).to_ascii_lowercase().into(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        })
    }

    fn dns(&self) -> Result<&TokioResolver, Unresolved> {
        self.dns.as_ref().map_err(|why| Unresolved::Failed(why.clone()))
    }
}

fn dns(nameservers: Option<Vec<SocketAddr>>) -> Result<TokioResolver, NetError> {
    let mut builder = match nameservers {
        None => TokioResolver::builder_tokio()?,
        Some(servers) => {
            let servers = servers.into_iter().map(|server| {
                let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                (udp.port, tcp.port) = (server.port(), server.port());
                NameServerConfig::new(server.ip(), true, vec![udp, tcp])
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Dns::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    (options.timeout, options.attempts, options.cache_size) = (TRY, TRIES, 0);
    builder.build()
}

/// What needs no lookup: an address, and this machine. `localhost`, and all names in it (RFC 6761), are its IPv4 loopback
/// address, on which programs listen that listen on one only.
fn known(host: &str) -> Option<IpAddr> {
    let host = bare(host);
    let is_here = |host: &str| {
        let last = host.rsplit('.').next().unwrap_or_default();
        last.eq_ignore_ascii_case("localhost")
    };
    host.parse().ok().or_else(|| is_here(host).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

async fn patiently(lookup: impl Future<Output = Result<Lookup, NetError>>) -> Result<Lookup, Unresolved> {
    match timeout(PATIENCE, lookup).await {
        Ok(Ok(lookup)) => Ok(lookup),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(NetError::Timeout.into()),
    }
}

/// What is wanted of an answer, each once and in order, and how long all of it may be gone by: aliases on the way count too.
fn found<T: Ord>(lookup: &Lookup, wanted: impl Fn(&RData) -> Option<T>) -> Resolved<T> {
    let mut found: Vec<T> = lookup.answers().iter().filter_map(|record| wanted(&record.data)).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(Unresolved::Nothing);
    }
    let seconds = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok((found, Duration::from_secs(seconds.into()).clamp(SHORTEST, LONGEST)))
}

impl From<NetError> for Unresolved {
    fn from(error: NetError) -> Self {
        match error {
            _ if error.is_no_records_found() => Unresolved::Nothing,
            NetError::Timeout => Unresolved::Failed("no name server answers".into()),
            NetError::Dns(DnsError::ResponseCode(code)) => {
                Unresolved::Failed(format!("the name server says {code}").into())
            }
            other => Unresolved::Failed(other.to_string().into()),
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unresolved::Nothing => f.write_str("there is no such name"),
            Unresolved::Failed(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::name_server::NameServer;
    use super::*;
    use hickory_resolver::proto::op::ResponseCode;

    fn with(server: &NameServer) -> Resolver {
        Resolver::new(Some(vec![server.address]))
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_needs_no_lookup_is_not_looked_up() {
        let server = NameServer::start();
        for (host, address) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3.", "10.1.2.3"),
            ("fd00::7", "fd00::7"),
            ("localhost", "127.0.0.1"),
            ("LocalHost.", "127.0.0.1"),
            ("a1.localhost", "127.0.0.1"),
        ] {
            assert_eq!(with(&server).addresses(host).await, Ok((ips(&[address]), LONGEST)), "{host}");
        }
        assert_eq!(server.asked(), 0);
    }

    #[tokio::test]
    async fn addresses_come_in_order_and_those_of_ipv6_only_where_there_are_no_others() {
        let server = NameServer::start();
        server.host("both.test", 60, &["fd00::1", "10.0.0.2", "10.0.0.1"]);
        server.host("six.test", 60, &["fd00::2"]);
        let resolver = with(&server);
        let minute = Duration::from_mins(1);
        assert_eq!(resolver.addresses("both.test").await, Ok((ips(&["10.0.0.1", "10.0.0.2"]), minute)));
        assert_eq!(resolver.addresses("both.test.").await, Ok((ips(&["10.0.0.1", "10.0.0.2"]), minute)));
        assert_eq!(resolver.addresses("six.test").await, Ok((ips(&["fd00::2"]), minute)));
    }

    #[tokio::test]
    async fn an_answer_may_be_gone_by_as_long_as_its_shortest_record_says_within_bounds() {
        let server = NameServer::start();
        for (ttl, seconds) in [(0, 1), (1, 1), (30, 30), (300, 300), (86_400, 300)] {
            server.host("a.test", ttl, &["10.0.0.1"]);
            let (_, valid_for) = with(&server).addresses("a.test").await.unwrap();
            assert_eq!(valid_for.as_secs(), seconds, "{ttl}");
        }
        server.alias("alias.test", 7, "a.test");
        assert_eq!(
            with(&server).addresses("alias.test").await,
            Ok((ips(&["10.0.0.1"]), Duration::from_secs(7)))
        );
    }

    #[tokio::test]
    async fn what_is_asked_again_is_heard_anew() {
        let server = NameServer::start();
        let resolver = with(&server);
        for address in ["10.0.0.1", "10.0.0.2"] {
            server.host("a.test", 3_600, &[address]);
            assert_eq!(resolver.addresses("a.test").await.unwrap().0, ips(&[address]));
        }
    }

    #[tokio::test]
    async fn srv_records_tell_hosts_and_ports() {
        let server = NameServer::start();
        server.srv("_a._http.test", 20, &[(1, 5, 81, "H2.test."), (0, 7, 80, "h1.test."), (0, 0, 1, ".")]);
        let target =
            |host: &str, port, priority, weight| SrvTarget { host: host.into(), port, priority, weight };
        let expected = vec![target("h1.test", 80, 0, 7), target("h2.test", 81, 1, 5)];
        assert_eq!(with(&server).srv("_a._http.test").await, Ok((expected, Duration::from_secs(20))));
        server.srv("_b._http.test", 20, &[(0, 0, 1, ".")]);
        assert_eq!(with(&server).srv("_b._http.test").await, Err(Unresolved::Nothing), "decidedly not there");
    }

    #[tokio::test]
    async fn that_there_is_nothing_is_told_from_a_failure() {
        let server = NameServer::start();
        let resolver = with(&server);
        assert_eq!(resolver.addresses("nobody.test").await, Err(Unresolved::Nothing));
        assert_eq!(resolver.srv("_nothing._http.test").await, Err(Unresolved::Nothing));
        server.host("only-a-host.test", 60, &["10.0.0.1"]);
        assert_eq!(resolver.srv("only-a-host.test").await, Err(Unresolved::Nothing));
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            server.fail(Some(code));
            let found = resolver.addresses("only-a-host.test").await;
            assert!(matches!(found, Err(Unresolved::Failed(_))), "{code}: {found:?}");
        }
        server.fail(None);
        assert!(resolver.addresses("only-a-host.test").await.is_ok());
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again() {
        let server = NameServer::start();
        server.host("a.test", 60, &["10.0.0.1"]);
        server.lose(1);
        assert!(with(&server).addresses("a.test").await.is_ok());
    }

    #[tokio::test]
    async fn a_silent_name_server_is_not_waited_for_without_end() {
        let server = NameServer::start();
        server.be_silent();
        let found = with(&server).addresses("a.test").await;
        assert!(matches!(found, Err(Unresolved::Failed(_))), "{found:?}");
    }
}
