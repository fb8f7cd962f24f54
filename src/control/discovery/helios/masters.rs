use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;

use crate::clock::Clock;
use crate::config::{MasterAddress, Masters as Found, MastersConfig};
use crate::model::Millis;

use super::super::resolve::{SrvTarget, Unresolved};
use super::addresses::Addresses;
use super::connection::{Connection, Failure};
use super::picture::Picture;
use super::wire::HostStatuses;

/// The masters of one Helios. Any of them can answer: one is asked as long as it does, and then the next. The first is drawn, so
/// that not all processes ask the same one.
pub(super) struct Masters {
    clock: Clock,
    config: Arc<MastersConfig>,
    listed: Vec<MasterAddress>,
    /// Every address of every master.
    targets: Vec<Target>,
    /// When it was looked where they are.
    looked: Option<Millis>,
    /// Whose turn it is, as a place in `targets`.
    turn: usize,
    kept: Option<(Target, Connection)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    master: MasterAddress,
    address: SocketAddr,
}

/// How often it is looked where masters are.
const LOOK_EVERY: Millis = Millis(60_000);
/// Masters that are gone by; past this, the rest is left out.
const MOST: usize = 64;
/// Hosts that are asked for in one request: a master reads some dozens of records for each, one after the other, and has
/// seconds.
const BATCH: usize = 100;
/// Masters that a reason names.
const NAMED: usize = 3;

impl Masters {
    pub(super) fn new(clock: Clock, config: Arc<MastersConfig>) -> Self {
        Self {
            clock,
            config,
            listed: Vec::new(),
            targets: Vec::new(),
            looked: None,
            turn: fastrand::usize(..MOST),
            kept: None,
        }
    }

    /// What runs where, from the first master that can tell; or why none can.
    pub(super) async fn ask(&mut self, addresses: &mut Addresses) -> Result<Picture, String> {
        self.look_for_masters(addresses).await?;
        let token = token(self.config.token.as_deref()).await?;
        let mut why = Vec::new();
        for _ in 0..self.targets.len() {
            let target = self.targets[self.turn % self.targets.len()].clone();
            match self.ask_one(&target, token.as_ref()).await {
                Ok(picture) => return Ok(picture),
                Err(failure) => {
                    why.push(format!("{} {failure}", target.master));
                    self.turn += 1;
                }
            }
        }
        why.dedup();
        let more = why.len().saturating_sub(NAMED);
        why.truncate(NAMED);
        let named = why.join("; ");
        Err(if more == 0 { named } else { format!("{named}; and {more} more fail") })
    }

    async fn ask_one(&mut self, target: &Target, token: Option<&HeaderValue>) -> Result<Picture, Failure> {
        if let Some((_, mut kept)) = self.kept.take().filter(|(known, _)| known == target) {
            match whole(&mut kept, token).await {
                // It may have been closed long ago. To ask twice does no harm.
                Err(Failure::Broken) => {}
                Ok(picture) => {
                    self.kept = Some((target.clone(), kept));
                    return Ok(picture);
                }
                Err(failure) => return Err(failure),
            }
        }
        let tls = self.config.tls.as_ref();
        let mut connection = Connection::open(&target.master, target.address, tls).await?;
        let picture = whole(&mut connection, token).await?;
        self.kept = Some((target.clone(), connection));
        Ok(picture)
    }

    /// Looks where masters are, if that is some time ago. What was found before is kept when nothing is.
    async fn look_for_masters(&mut self, addresses: &mut Addresses) -> Result<(), String> {
        let now = self.clock.millis();
        let lately = self.looked.is_some_and(|at| now.since(at) < LOOK_EVERY);
        if lately && !self.targets.is_empty() {
            return Ok(());
        }
        let mut why = None;
        match &self.config.found {
            Found::Listed(masters) => self.listed.clone_from(masters),
            Found::Domain(domain) => match of_domain(domain, addresses, self.config.token.is_some()).await {
                Ok(masters) => self.listed = masters,
                Err(error) => why = Some(format!("the masters of {domain} are not found: {error}")),
            },
        }
        let hosts: Vec<Arc<str>> = self.listed.iter().map(|master| master.host.clone()).collect();
        addresses.learn(&hosts).await;
        let targets: Vec<Target> = self
            .listed
            .iter()
            .flat_map(|master| addresses.of(&master.host).iter().map(move |ip| (master, *ip)))
            .map(|(master, ip)| Target { master: master.clone(), address: SocketAddr::new(ip, master.port) })
            .take(MOST)
            .collect();
        if !targets.is_empty() {
            (self.targets, self.looked) = (targets, Some(now));
        }
        if self.targets.is_empty() {
            let named: Vec<String> = self.listed.iter().take(NAMED).map(ToString::to_string).collect();
            return Err(why.unwrap_or_else(|| format!("{} leads to no address", named.join(", "))));
        }
        Ok(())
    }
}

/// Asks for all hosts, and for what runs on them.
async fn whole(connection: &mut Connection, token: Option<&HeaderValue>) -> Result<Picture, Failure> {
    let hosts: Vec<Box<str>> = connection.ask("/hosts/", None, token).await?;
    let mut picture = Picture::default();
    for batch in hosts.chunks(BATCH) {
        // Strings are always JSON.
        let body = serde_json::to_vec(batch).map_err(|_| Failure::Broken)?;
        let heard: HostStatuses = connection.ask("/hosts/statuses", Some(body), token).await?;
        picture.add(heard);
    }
    Ok(picture)
}

/// Those that speak TLS, or else those that do not. That a name server fails is no reason to go without.
///
/// A token is shown to no master that does not speak TLS only because a name server says so.
async fn of_domain(
    domain: &str,
    addresses: &Addresses,
    has_token: bool,
) -> Result<Vec<MasterAddress>, Unresolved> {
    let resolver = addresses.resolver();
    let (found, tls) = match resolver.srv(&format!("_helios._https.{domain}")).await {
        Err(Unresolved::Nothing) if !has_token => {
            (resolver.srv(&format!("_helios._http.{domain}")).await, false)
        }
        found => (found, true),
    };
    // Helios' own clients do not look at priority and weight either.
    let master = |SrvTarget { host, port, .. }| MasterAddress { tls, host, port };
    found.map(|(targets, _)| targets.into_iter().map(master).collect())
}

/// Reads the token, which may change at any time.
async fn token(file: Option<&Path>) -> Result<Option<HeaderValue>, String> {
    let Some(file) = file.map(Path::to_owned) else { return Ok(None) };
    let name = file.display().to_string();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
    let text = match read {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(format!("the token in {name} cannot be read: {error}")),
        Err(_) => return Err(format!("the token in {name} cannot be read")),
    };
    let text = text.trim();
    let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
        .ok()
        .filter(|_| !text.is_empty())
        .ok_or_else(|| format!("what is in {name} is no token"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
