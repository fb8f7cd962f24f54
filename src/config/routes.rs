use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::checked::{HostPattern, PathPrefix, ServiceConfig};
use super::fault::{Fault, Faults, Source};

/// A checked service, the file that it came from, and where in it each of its hosts stands.
pub(super) struct Claim {
    pub(super) service: Arc<ServiceConfig>,
    pub(super) source: Arc<Source>,
    pub(super) host_places: Vec<Range<usize>>,
}

/// Notes every route that two services would answer.
pub(super) fn check_conflicts(claims: &[Claim], found: &mut Vec<Fault>) {
    let mut owners: HashMap<(&HostPattern, &PathPrefix), Vec<Owner<'_>>> = HashMap::new();
    for claim in claims {
        let matches = &claim.service.matches;
        for (host, span) in matches.hosts.iter().zip(&claim.host_places) {
            for path in &matches.paths {
                let others = owners.entry((host, path)).or_default();
                if let Some(other) = others.iter().find(|other| share_a_listener(other.claim, claim)) {
                    let source = &other.claim.source;
                    let line = source.place(other.span.start).0;
                    Faults::of(&claim.source, found)
                        .at(
                            span,
                            &format!("two services answer {host}{path}"),
                            format!("also in {}:{line}", source.path.display()),
                        )
                        .help("give one of them a longer path or another host");
                }
                others.push(Owner { claim, span });
            }
        }
    }
}

struct Owner<'a> {
    claim: &'a Claim,
    span: &'a Range<usize>,
}

fn share_a_listener(one: &Claim, other: &Claim) -> bool {
    let (one, other) = (&one.service.matches.listeners, &other.service.matches.listeners);
    one.is_empty() || other.is_empty() || one.iter().any(|listener| other.contains(listener))
}
