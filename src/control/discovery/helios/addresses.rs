use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::timeout;
use tracing::warn;

use crate::clock::Clock;
use crate::model::Millis;

use super::super::resolve::{Resolver, Unresolved};

/// Where hosts are. Helios has no addresses, only names; what a name has led to is kept until it leads elsewhere, also when
/// name servers fail or have nothing any more.
pub(super) struct Addresses {
    clock: Clock,
    resolver: Resolver,
    known: HashMap<Arc<str>, Known>,
}

#[derive(Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// When it is to be looked up again.
    due: Millis,
    /// When somebody wanted to know it last.
    wanted: Millis,
    told: bool,
}

/// Lookups under way at once.
const AT_ONCE: usize = 64;
/// Lookups may hold up a poll for so long. Who is not found by then keeps its address, and is looked for at the next.
const PATIENCE: Duration = Duration::from_secs(5);
/// A name that leads nowhere is looked for again after so long.
const RETRY: Millis = Millis(5_000);
/// What nobody has asked for so long is forgotten.
const FORGET: Millis = Millis(3_600_000);

impl Addresses {
    pub(super) fn new(clock: Clock, resolver: Resolver) -> Self {
        Self { clock, resolver, known: HashMap::new() }
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Looks up those of these hosts that are due.
    pub(super) async fn learn<'a>(&mut self, hosts: impl IntoIterator<Item = &'a Arc<str>>) {
        let now = self.clock.millis();
        let mut due = Vec::new();
        for host in hosts {
            let known = self.known.entry(host.clone()).or_default();
            known.wanted = now;
            if known.due <= now {
                due.push((known.due, host.clone()));
            }
        }
        self.known.retain(|_, known| now.since(known.wanted) < FORGET);
        // Who has waited longest comes first: when time is short, everybody has a turn.
        due.sort_unstable();
        let (resolver, known) = (&self.resolver, &mut self.known);
        let look_up = async |(_, host): (Millis, Arc<str>)| (resolver.addresses(&host).await, host);
        let all = async {
            let mut lookups = pin!(stream::iter(due).map(look_up).buffer_unordered(AT_ONCE));
            while let Some((found, host)) = lookups.next().await {
                if let Some(known) = known.get_mut(&host) {
                    known.take_in(&host, found, now);
                }
            }
        };
        let _ = timeout(PATIENCE, all).await;
    }

    /// The addresses of a host, in order; none as long as its name has led nowhere.
    pub(super) fn of(&self, host: &str) -> &[IpAddr] {
        self.known.get(host).map_or(&[], |known| &known.addresses)
    }
}

impl Known {
    fn take_in(&mut self, host: &str, found: Result<(Vec<IpAddr>, Duration), Unresolved>, now: Millis) {
        match found {
            Ok((addresses, valid_for)) => {
                self.addresses = addresses;
                self.due = Millis(now.0 + u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX / 2));
                self.told = false;
            }
            Err(why) => {
                self.due = Millis(now.0 + RETRY.0);
                if self.addresses.is_empty() && !std::mem::replace(&mut self.told, true) {
                    warn!(host, %why, "a host of Helios is not found by its name: it is left out");
                }
            }
        }
    }
}
