use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::ServiceName;
use crate::tls::{ConnectSettings, Connector};

use super::at::At;
use super::check_tls::{self, Files};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_webhooks::{RawTopic, RawWebhook, RawWebhookKind};
use super::webhooks::{Target, Topic, UrlFault, WebhookConfig, WebhookKind, WebhookUrl};

/// The most that are told what happens. Each has a queue, and a connection at times.
const MOST_WEBHOOKS: usize = 32;

/// Checks the sections `webhooks` of `switchback.toml`. What is at fault is left out: the result counts only if no fault was found.
pub(super) fn webhooks(
    raw: BTreeMap<At<String>, RawWebhook>,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Vec<Arc<WebhookConfig>> {
    let mut webhooks = Vec::new();
    for (place, (name, raw)) in raw.into_iter().enumerate() {
        if place == MOST_WEBHOOKS {
            let label = format!("there is room for {MOST_WEBHOOKS}");
            faults.at(&name.span, "too many webhooks", label).help("have one of them pass messages on");
        }
        webhooks.extend(webhook(name, raw, lost, files, faults).map(Arc::new));
    }
    webhooks
}

fn webhook(
    name: At<String>,
    raw: RawWebhook,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<WebhookConfig> {
    let At { value: name, span } = name;
    // Its queue has a folder of this name.
    if ServiceName::parse(&name).is_err() {
        let label = "lower-case letters, digits and hyphens, at most 63";
        faults.at(&span, "not a webhook's name", label).help("such as [webhooks.oncall]");
    }
    let shape = raw.kind.as_ref().map(|kind| kind.value).unwrap_or_default();
    no_strangers(&raw, shape, faults);
    let kind = kind(shape, raw.routing_key, raw.secret, raw.bearer, (&span, lost, files), faults);
    let target = target(raw.url, raw.url_file, kind.as_ref(), (&span, lost, files), faults);
    let topics = raw.events.map(|events| topics(&events, lost, faults));
    let teams = raw.teams.and_then(|teams| teams_of(&teams, lost, faults));
    let roots = raw.authorities.as_ref();
    let tls = match &target {
        Some(Target::Url(url)) if !url.is_https() => {
            if let Some(roots) = roots {
                let label = "nobody shows a certificate";
                faults
                    .at(&roots.span, "authorities without TLS", label)
                    .help("write url = \"https://…\", or leave authorities out");
            }
            None
        }
        Some(_) => Some(trust(roots, &span, files, faults)),
        // Where it is sent to is not known, but what is wrong with a file is.
        None => roots.is_some().then(|| trust(roots, &span, files, faults)),
    };
    let kind = kind?;
    let topics =
        topics.unwrap_or_else(|| Topic::ALL.into_iter().filter(|topic| kind.hears_of(*topic)).collect());
    Some(WebhookConfig { name: name.into(), target: target?, topics, teams, tls, kind })
}

/// Notes keys that say nothing for this shape.
fn no_strangers(raw: &RawWebhook, shape: RawWebhookKind, faults: &mut Faults<'_>) {
    let keys = [
        ("routing-key", &raw.routing_key, RawWebhookKind::PagerDuty, "pagerduty"),
        ("secret", &raw.secret, RawWebhookKind::CloudEvents, "cloudevents"),
        ("bearer", &raw.bearer, RawWebhookKind::CloudEvents, "cloudevents"),
    ];
    for (key, value, of, name) in keys {
        if let Some(value) = value.as_ref().filter(|_| shape != of) {
            let label = format!("{key} says nothing here");
            faults
                .at(&value.span, "a key of another kind", label)
                .help(format!("leave it out, or write kind = \"{name}\""));
        }
    }
}

/// Where a webhook stands, what was complained about already, and whether files are read.
type Around<'a> = (&'a Range<usize>, &'a Lost, Files<'a>);

fn kind(
    shape: RawWebhookKind,
    routing_key: Option<At<String>>,
    secret: Option<At<String>>,
    bearer: Option<At<String>>,
    (span, lost, files): Around<'_>,
    faults: &mut Faults<'_>,
) -> Option<WebhookKind> {
    let mut key = |raw: Option<At<String>>| raw.and_then(|raw| key_file(&raw, files, faults));
    match shape {
        RawWebhookKind::CloudEvents => {
            Some(WebhookKind::CloudEvents { secret: key(secret), bearer: key(bearer) })
        }
        RawWebhookKind::Slack => Some(WebhookKind::Slack),
        RawWebhookKind::PagerDuty if routing_key.is_some() => {
            Some(WebhookKind::PagerDuty { routing_key: key(routing_key)? })
        }
        RawWebhookKind::PagerDuty => {
            if !lost.has("routing-key") {
                faults
                    .at(span, "pagerduty without a routing key", "whose incidents are they?")
                    .help("add routing-key = \"secrets/pagerduty-key\": a file with the integration's key");
            }
            None
        }
    }
}

fn target(
    url: Option<At<String>>,
    file: Option<At<String>>,
    kind: Option<&WebhookKind>,
    (span, lost, files): Around<'_>,
    faults: &mut Faults<'_>,
) -> Option<Target> {
    match (url, file) {
        (Some(raw), None) => {
            let secrets =
                if kind.is_some_and(WebhookKind::is_secret) { Secrets::Some } else { Secrets::None };
            let url = url_in(&raw.value, &raw.span, secrets, faults)?;
            Some(Target::Url(url))
        }
        (None, Some(raw)) => {
            let path = file_of(&raw, faults)?;
            if is_to_be_read(&path, files) {
                let text = read(&path, &raw.span, faults)?;
                url_in(&text, &raw.span, Secrets::Some, faults)?;
            }
            Some(Target::File(path))
        }
        (Some(_), Some(file)) => {
            faults
                .at(&file.span, "two URLs for one webhook", "written here, and in a file")
                .help("keep one of the two");
            None
        }
        (None, None) => {
            if !lost.has("url") && !lost.has("url-file") {
                faults
                    .at(span, "a webhook without a URL", "where are messages sent?")
                    .help("add url = \"https://…\", or url-file = \"secrets/…\" where it is a secret");
            }
            None
        }
    }
}

/// Whether anything secret goes to a URL, be it the URL itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrets {
    Some,
    None,
}

fn url_in(text: &str, span: &Range<usize>, secrets: Secrets, faults: &mut Faults<'_>) -> Option<WebhookUrl> {
    match WebhookUrl::parse(text) {
        Ok(url) if !url.is_private() && secrets == Secrets::Some => {
            faults
                .at(span, "secrets over plain http", "whoever is on the way could read or use them")
                .help("write https, or send to a relay on this machine: 127.0.0.1, [::1] or localhost");
            None
        }
        Ok(url) => Some(url),
        Err(fault) => {
            let help = match fault {
                UrlFault::NoUrl => "such as https://events.pagerduty.com/v2/enqueue",
                UrlFault::User => "leave it out; bearer = \"secrets/token\" is a file with a token",
                UrlFault::Fragment => "leave it out",
            };
            faults.at(span, "not a webhook's URL", fault.to_string()).help(help);
            None
        }
    }
}

fn topics(raw: &At<Vec<At<RawTopic>>>, lost: &Lost, faults: &mut Faults<'_>) -> BTreeSet<Topic> {
    if raw.value.is_empty() && !lost.has("events") {
        faults
            .at(&raw.span, "a webhook that hears of nothing", "at least one")
            .help("leave events out to have nearly everything told, or leave the webhook out");
    }
    raw.value.iter().map(|topic| topic.value.into()).collect()
}

fn teams_of(raw: &At<Vec<At<String>>>, lost: &Lost, faults: &mut Faults<'_>) -> Option<BTreeSet<Arc<str>>> {
    if raw.value.is_empty() && !lost.has("teams") {
        faults
            .at(&raw.span, "a webhook of nobody", "at least one team")
            .help("leave teams out to have it told about everybody's services");
    }
    let mut teams = BTreeSet::new();
    for team in &raw.value {
        match team.value.trim() {
            "" => {
                faults.at(&team.span, "not a team", "the name of one, as services' files have it");
            }
            name => {
                teams.insert(name.into());
            }
        }
    }
    (!teams.is_empty()).then_some(teams)
}

fn trust(
    roots: Option<&At<String>>,
    span: &Range<usize>,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Arc<Connector> {
    let file = roots.and_then(|raw| check_tls::file(raw, faults));
    let roots_span = roots.map(|raw| raw.span.clone());
    let settings =
        ConnectSettings { roots: file, name: None, identities: Vec::new(), certificate: None, http2: false };
    check_tls::connector(settings, roots_span.as_ref().unwrap_or(span), files, faults)
}

/// A file with a key in it.
fn key_file(raw: &At<String>, files: Files<'_>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    let path = file_of(raw, faults)?;
    if is_to_be_read(&path, files) {
        // What is wrong with it is told; where it is, is good to know all the same.
        let _ = read(&path, &raw.span, faults);
    }
    Some(path)
}

/// A relative path begins in the configuration's folder.
fn file_of(raw: &At<String>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    if raw.value.trim().is_empty() || raw.value.ends_with('/') {
        faults.at(&raw.span, "not a file", "such as secrets/webhook");
        return None;
    }
    Some(faults.folder().join(&raw.value))
}

/// What is wrong at this moment with a file that is in use already is no fault of the configuration.
fn is_to_be_read(path: &Path, files: Files<'_>) -> bool {
    match files {
        Files::Read => true,
        Files::ReadUnless(known) => !known.has_file(path),
        Files::Leave => false,
    }
}

fn read(path: &Path, span: &Range<usize>, faults: &mut Faults<'_>) -> Option<String> {
    let shown = path.display();
    let (label, help) = match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            (format!("{shown} is empty"), "put the key there, and nothing else")
        }
        Ok(text) => return Some(text),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::PermissionDenied => "let the user that runs Switchback read it",
                io::ErrorKind::InvalidData => "put the key there as text, and nothing else",
                _ => "relative paths begin in the configuration's folder",
            };
            (format!("{shown} cannot be read: {error}"), help)
        }
    };
    faults.at(span, "a key that cannot be had", label).help(help);
    None
}
