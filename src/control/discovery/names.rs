use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::HostPort;
use crate::model::{Address, Endpoint, Millis};

use super::resolve::{Resolver, SrvTarget, Unresolved};
use super::{Asked, Look, NameAsked, Sighting, SourceId, Tell};

/// Lookups at once. Past this, names wait for one another.
const AT_ONCE: usize = 64;
/// How long after a failure it is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest time without looking whether something is due.
const IDLE: Duration = Duration::from_mins(1);

/// Looks names up for as long as their answers say, and tells what comes of it.
pub(super) async fn run(clock: Clock, mut asked: Asked<NameAsked>, tell: Tell) {
    let resolver = Arc::new(Resolver::new(None));
    let mut book = Book::default();
    let mut told: HashSet<SourceId> = HashSet::new();
    loop {
        let sources = asked.borrow_and_update().clone();
        book.keep_only(&sources);
        // Names that SRV records point to are known only when those are.
        let mut news = HashSet::new();
        for _ in 0..2 {
            news.extend(look_up(&resolver, &mut book, &sources, clock).await);
        }
        // What was not looked up has not been said again. Who has begun to ask is told what is known.
        let (old, concerned) = (std::mem::take(&mut told), |asked: &NameAsked| {
            book.queries_of(asked).any(|query| news.contains(&query))
        });
        told = sources.iter().map(|(source, _)| *source).collect();
        let looks =
            book.looks(sources.iter().filter(|(source, asked)| !old.contains(source) || concerned(asked)));
        if !looks.is_empty() && tell.send(looks).await.is_err() {
            return;
        }
        let wait =
            book.next_due(&sources).map_or(IDLE, |due| Duration::from_millis(due.since(clock.millis()).0));
        if timeout(wait.min(IDLE), asked.changed()).await.is_ok_and(|changed| changed.is_err()) {
            return;
        }
    }
}

/// Looks up what is due; tells what that was.
async fn look_up(
    resolver: &Arc<Resolver>,
    book: &mut Book,
    sources: &[(SourceId, NameAsked)],
    clock: Clock,
) -> Vec<Query> {
    let all = book.due(sources, clock.millis());
    let mut due = all.clone().into_iter();
    let mut running = JoinSet::new();
    loop {
        for query in due.by_ref().take(AT_ONCE - running.len()) {
            let resolver = resolver.clone();
            running.spawn_local(async move {
                let found = match &query {
                    Query::Host(host) => {
                        resolver.addresses(host).await.map(|(found, valid)| (Found::Addresses(found), valid))
                    }
                    Query::Srv(name) => {
                        resolver.srv(name).await.map(|(found, valid)| (Found::Targets(found), valid))
                    }
                };
                (query, found)
            });
        }
        match running.join_next().await {
            Some(Ok((query, found))) => book.note(query, found, clock.millis()),
            // A lookup that panicked is due again.
            Some(Err(_)) => {}
            None => return all,
        }
    }
}

/// What is asked of name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Query {
    Host(Arc<str>),
    Srv(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Addresses(Vec<IpAddr>),
    Targets(Vec<SrvTarget>),
}

/// What is known of names. An answer that fails, or is empty, leaves the last good one as it is.
#[derive(Debug, Default)]
struct Book {
    known: HashMap<Query, Known>,
}

#[derive(Debug)]
struct Known {
    found: Option<Found>,
    trouble: Option<String>,
    due: Millis,
}

impl Found {
    fn is_empty(&self) -> bool {
        match self {
            Found::Addresses(addresses) => addresses.is_empty(),
            Found::Targets(targets) => targets.is_empty(),
        }
    }
}

impl Book {
    /// Notes what became of a lookup.
    fn note(&mut self, query: Query, found: Result<(Found, Duration), Unresolved>, now: Millis) {
        let known = self.known.entry(query).or_insert(Known { found: None, trouble: None, due: now });
        let valid = match found {
            Ok((found, valid)) if !found.is_empty() => {
                (known.found, known.trouble) = (Some(found), None);
                valid
            }
            Ok(_) => {
                known.trouble = Some("has no address".to_owned());
                AGAIN
            }
            Err(why) => {
                known.trouble = Some(why.to_string());
                AGAIN
            }
        };
        known.due = Millis(now.0 + u64::try_from(valid.as_millis()).unwrap_or(u64::MAX / 2));
    }

    /// Everything that these sources need to know, as far as that is known already.
    fn queries(&self, sources: &[(SourceId, NameAsked)]) -> HashSet<Query> {
        sources.iter().flat_map(|(_, asked)| self.queries_of(asked)).collect()
    }

    fn queries_of(&self, asked: &NameAsked) -> impl Iterator<Item = Query> {
        let queries: Vec<Query> = match asked {
            NameAsked::Hosts(hosts) => hosts.iter().map(|host| Query::Host(host.host.clone())).collect(),
            NameAsked::Srv(name) => {
                let query = Query::Srv(name.clone());
                let targets = self.targets(&query).into_iter().map(|target| Query::Host(target.host.clone()));
                targets.chain([query.clone()]).collect()
            }
        };
        queries.into_iter()
    }

    fn keep_only(&mut self, sources: &[(SourceId, NameAsked)]) {
        let wanted = self.queries(sources);
        self.known.retain(|query, _| wanted.contains(query));
    }

    fn due(&self, sources: &[(SourceId, NameAsked)], now: Millis) -> Vec<Query> {
        let is_due = |query: &Query| self.known.get(query).is_none_or(|known| known.due <= now);
        self.queries(sources).into_iter().filter(is_due).collect()
    }

    fn next_due(&self, sources: &[(SourceId, NameAsked)]) -> Option<Millis> {
        self.queries(sources).iter().filter_map(|query| Some(self.known.get(query)?.due)).min()
    }

    /// Where SRV records point that come first (RFC 2782): others only stand by.
    fn targets(&self, query: &Query) -> Vec<&SrvTarget> {
        let Some(Found::Targets(targets)) = self.known.get(query).and_then(|known| known.found.as_ref())
        else {
            return Vec::new();
        };
        let first = targets.iter().map(|target| target.priority).min();
        targets.iter().filter(|target| Some(target.priority) == first).collect()
    }

    fn looks<'a>(&self, sources: impl Iterator<Item = &'a (SourceId, NameAsked)>) -> Vec<Look> {
        sources.map(|(source, asked)| Look { source: *source, seen: self.look(asked) }).collect()
    }

    /// What is known of a source's names. A name that fails alone keeps its addresses, and keeps nobody else from changing.
    fn look(&self, asked: &NameAsked) -> Result<Vec<Sighting>, Arc<str>> {
        match asked {
            NameAsked::Hosts(hosts) => {
                let hosts = hosts.iter().map(|HostPort { host, port }| (host, *port, 1));
                self.endpoints(hosts)
            }
            NameAsked::Srv(name) => {
                let query = Query::Srv(name.clone());
                if let Some(trouble) = self.trouble(&query) {
                    return Err(trouble);
                }
                let targets = self.targets(&query);
                self.endpoints(
                    targets.into_iter().map(|target| (&target.host, target.port, target.weight.max(1))),
                )
            }
        }
    }

    fn endpoints<'a>(
        &self,
        hosts: impl Iterator<Item = (&'a Arc<str>, u16, u16)>,
    ) -> Result<Vec<Sighting>, Arc<str>> {
        let (mut seen, mut trouble, mut is_well) = (Vec::new(), None, false);
        for (host, port, weight) in hosts {
            let query = Query::Host(host.clone());
            match self.trouble(&query) {
                Some(why) => trouble = Some(why),
                None => is_well = true,
            }
            let known = self.known.get(&query).and_then(|known| known.found.as_ref());
            let Some(Found::Addresses(addresses)) = known else { continue };
            seen.extend(addresses.iter().map(|address| {
                let endpoint = Endpoint::at(Address::Tcp(SocketAddr::new(*address, port)));
                Sighting { weight, ..Sighting::live(endpoint) }
            }));
        }
        match trouble {
            Some(trouble) if !is_well => Err(trouble),
            Some(_) | None => Ok(seen),
        }
    }

    fn trouble(&self, query: &Query) -> Option<Arc<str>> {
        let (Query::Host(name) | Query::Srv(name)) = query;
        let why = match self.known.get(query) {
            None => "is not looked up yet",
            Some(known) => known.trouble.as_deref()?,
        };
        Some(format!("{name} {why}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Duration = Duration::from_secs(30);

    fn host(name: &str) -> Query {
        Query::Host(name.into())
    }

    fn addresses(last: &[u8]) -> (Found, Duration) {
        let addresses = last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
        (Found::Addresses(addresses), VALID)
    }

    fn hosts(names: &[(&str, u16)]) -> NameAsked {
        NameAsked::Hosts(
            names.iter().map(|(host, port)| HostPort { host: (*host).into(), port: *port }).collect(),
        )
    }

    fn told(book: &Book, asked: &NameAsked) -> Result<Vec<String>, String> {
        let seen = book.look(asked).map_err(|why| why.to_string())?;
        Ok(seen.iter().map(|seen| format!("{} {}", seen.endpoint, seen.weight)).collect())
    }

    #[test]
    fn a_name_has_all_its_addresses_and_keeps_them_when_lookups_fail_or_are_empty() {
        let (mut book, asked) = (Book::default(), hosts(&[("a.test", 80)]));
        assert_eq!(told(&book, &asked), Err("a.test is not looked up yet".to_owned()));
        book.note(host("a.test"), Ok(addresses(&[1, 2])), Millis(0));
        assert_eq!(told(&book, &asked).unwrap(), ["10.0.0.1:80 1", "10.0.0.2:80 1"]);
        for bad in [Err(Unresolved::Nothing), Ok(addresses(&[]))] {
            book.note(host("a.test"), bad, Millis(0));
            assert!(told(&book, &asked).is_err(), "so what is known stays");
        }
        book.note(host("a.test"), Ok(addresses(&[3])), Millis(0));
        assert_eq!(told(&book, &asked).unwrap(), ["10.0.0.3:80 1"]);
    }

    #[test]
    fn a_name_that_fails_alone_keeps_its_addresses_and_the_others_change() {
        let (mut book, asked) = (Book::default(), hosts(&[("a.test", 80), ("b.test", 81)]));
        book.note(host("a.test"), Ok(addresses(&[1])), Millis(0));
        book.note(host("b.test"), Ok(addresses(&[2])), Millis(0));
        book.note(host("b.test"), Err(Unresolved::Nothing), Millis(0));
        book.note(host("a.test"), Ok(addresses(&[9])), Millis(0));
        assert_eq!(told(&book, &asked).unwrap(), ["10.0.0.9:80 1", "10.0.0.2:81 1"]);
    }

    #[test]
    fn srv_records_give_ports_and_shares_and_only_the_first_priority_counts() {
        let (mut book, asked) = (Book::default(), NameAsked::Srv("_a._http.test".into()));
        let sources = [(SourceId(1), asked.clone())];
        assert_eq!(book.due(&sources, Millis(0)), [Query::Srv("_a._http.test".into())]);
        let target =
            |host: &str, port, priority, weight| SrvTarget { host: host.into(), port, priority, weight };
        let targets =
            vec![target("x.test", 1_000, 0, 3), target("y.test", 2_000, 0, 0), target("z.test", 1, 5, 1)];
        book.note(Query::Srv("_a._http.test".into()), Ok((Found::Targets(targets), VALID)), Millis(0));
        let mut due = book.due(&sources, Millis(0));
        due.sort_by_key(|query| format!("{query:?}"));
        assert_eq!(due, [host("x.test"), host("y.test")]);
        book.note(host("x.test"), Ok(addresses(&[1])), Millis(0));
        book.note(host("y.test"), Ok(addresses(&[2])), Millis(0));
        assert_eq!(told(&book, &asked).unwrap(), ["10.0.0.1:1000 3", "10.0.0.2:2000 1"]);
        assert_eq!(book.next_due(&sources), Some(Millis(30_000)));
        book.note(
            Query::Srv("_a._http.test".into()),
            Err(Unresolved::Failed("timed out".into())),
            Millis(30_000),
        );
        assert_eq!(told(&book, &asked), Err("_a._http.test timed out".to_owned()));
    }

    #[test]
    fn answers_are_asked_for_again_when_they_end_and_failures_soon() {
        let (mut book, sources) = (Book::default(), [(SourceId(1), hosts(&[("a.test", 80)]))]);
        book.note(host("a.test"), Ok(addresses(&[1])), Millis(0));
        assert!(book.due(&sources, Millis(29_999)).is_empty());
        assert_eq!(book.due(&sources, Millis(30_000)), [host("a.test")]);
        book.note(host("a.test"), Err(Unresolved::Failed("timed out".into())), Millis(30_000));
        assert_eq!(book.next_due(&sources), Some(Millis(35_000)));
        book.keep_only(&[]);
        assert!(book.known.is_empty());
    }
}
