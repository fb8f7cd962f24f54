use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use clap::FromArgMatches;
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCandidates;
use http::Method;
use serde::de::DeserializeOwned;

use crate::admin::client::{self, Address};
use crate::control::{ServiceStatus, WebhookStatus};
use crate::rehearsal;

use super::super::credentials::Credentials;
use super::words::Words;

/// How long a running Switchback may take to say its names. Somebody waits with a finger on the key.
const PATIENCE: Duration = Duration::from_secs(1);

/// The services, each with its team and its weight.
pub(in crate::cli) fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let about =
            |one: &ServiceStatus| format!("{}, weight {:.2}, {}", one.team, one.weight_percent, one.why);
        asked_services().iter().map(|one| candidate(&one.service, about(one))).collect()
    })
}

/// The teams that own services.
pub(in crate::cli) fn teams() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let services = asked_services();
        of_services(services.iter().map(|one| (one.team.as_str(), one.service.as_str())))
    })
}

/// The clusters that services are on.
pub(in crate::cli) fn clusters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let services = asked_services();
        of_services(services.iter().flat_map(|one| {
            let clusters = one.kubernetes.sources.iter().filter_map(|source| source.cluster.as_deref());
            clusters.map(|cluster| (cluster, one.service.as_str()))
        }))
    })
}

/// Who is told what happens.
pub(in crate::cli) fn webhooks() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let webhooks: Vec<WebhookStatus> = asked("/v1/webhooks");
        webhooks.iter().map(|one| candidate(&one.webhook, format!("{}, {}", one.kind, one.to))).collect()
    })
}

/// The scenarios of `simulate`, which nobody has to be asked for.
pub(in crate::cli) fn scenarios() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = candidate("all", "every one".to_owned());
        let each = rehearsal::scenarios().into_iter().map(|one| candidate(&one.name, one.about));
        each.chain([all]).collect()
    })
}

fn candidate(name: &str, about: String) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(about.into()))
}

/// Each name once, with the services that it stands for.
fn of_services<'a>(named: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<CompletionCandidate> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, service) in named {
        by_name.entry(name).or_default().push(service);
    }
    by_name.into_iter().map(|(name, services)| candidate(name, services.join(", "))).collect()
}

fn asked_services() -> Vec<ServiceStatus> {
    asked("/v1/services")
}

/// What the running Switchback says; nothing where that cannot be had, and no word about it: nobody has asked anything yet.
fn asked<T: DeserializeOwned>(path: &str) -> Vec<T> {
    let Some(admin) = wanted_admin() else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let answer = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, client::ask(&admin, Method::GET, path, None::<&()>)).await
    });
    // A name that is being looked up may take longer than anybody waits.
    runtime.shutdown_background();
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// Where the line that is being typed asks, and as whom.
fn wanted_admin() -> Option<Address> {
    let shell: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let whole = shell.len();
    admin_of(Words::joined(shell, whole).typed)
}

fn admin_of(words: Vec<OsString>) -> Option<Address> {
    let matches = super::super::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let credentials = Credentials::from_arg_matches(&matches).ok()?;
    let admin: &Address = matches.get_one("admin")?;
    Some(admin.clone().with(credentials.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_where_the_line_says_however_little_of_it_there_is() {
        for (line, admin) in [
            ("switchback --admin 127.0.0.1:1 status ", "127.0.0.1:1"),
            ("switchback status --admin unix:/x ", "unix:/x"),
            ("switchback ramp start --admin=127.0.0.1:2 a --from ", "127.0.0.1:2"),
            ("switchback --admin 127.0.0.1:3 revert --team ", "127.0.0.1:3"),
            ("switchback --admin 127.0.0.1:4 weight a --nonsense ", "127.0.0.1:4"),
        ] {
            let found = admin_of(line.split(' ').map(OsString::from).collect());
            assert_eq!(found.map(|found| found.to_string()).as_deref(), Some(admin), "{line}");
        }
    }
}
