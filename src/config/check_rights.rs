use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use rustls::pki_types::ServerName;

use crate::model::{Grant, Role, Scope, ServiceName};

use super::at::At;
use super::check_oidc::oidc;
use super::check_tls::{Files, spiffe_identity};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_rights::{RawCertificate, RawGrant, RawRights, RawRole, RawToken};
use super::rights::{CertificateEntry, RightsConfig, TokenEntry, TokenHash};

/// Entries of one kind. A token is looked for among all, which takes half a microsecond each.
const MOST_ENTRIES: usize = 1_000;
/// The longest name, as it goes into records.
const LONGEST_NAME: usize = 128;

/// Checks a rights file.
pub(super) fn check(raw: RawRights, lost: &Lost, files: Files<'_>, faults: &mut Faults<'_>) -> RightsConfig {
    let needs_oidc = [("people", &raw.people), ("groups", &raw.groups)];
    for (what, entries) in needs_oidc {
        let first = entries.iter().flatten().next().filter(|_| raw.oidc.is_none() && !lost.has("oidc"));
        if let Some((name, _)) = first {
            faults
                .at(
                    &name.span,
                    "nobody says who they are",
                    format!("{what} are known by an identity provider"),
                )
                .help("add [oidc] with issuer, audience and keys");
        }
    }
    let grant = |raw: At<RawGrant>, faults: &mut Faults<'_>| {
        let At { value: RawGrant { role, teams, services }, span } = raw;
        grant(role, teams, services, &span, lost, faults)
    };
    let tokens = entries(raw.tokens, faults, |raw, faults| token(raw, lost, faults));
    let certificates = entries(raw.certificates, faults, |raw, faults| certificate(raw, lost, faults));
    RightsConfig {
        tokens: named(tokens),
        certificates: named(distinct(certificates, faults)),
        users: named(entries(raw.users, faults, grant)),
        unix_groups: named(entries(raw.unix_groups, faults, grant)),
        people: named(entries(raw.people, faults, grant)),
        groups: named(entries(raw.groups, faults, grant)),
        oidc: raw.oidc.and_then(|raw| oidc(raw, lost, files, faults)),
    }
}

/// Whether a text can be the name of an entry: it goes into records and lines of text.
pub fn is_entry_name(text: &str) -> bool {
    let length = text.chars().count();
    (1..=LONGEST_NAME).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}

/// The day that a text names.
pub fn parse_day(text: &str) -> Option<Date> {
    // Nothing else that can be told as a day: a moment would say more than is meant.
    text.parse::<Date>().ok().filter(|day| day.to_string() == text)
}

fn entries<R, T>(
    raw: Option<BTreeMap<At<String>, At<R>>>,
    faults: &mut Faults<'_>,
    mut check: impl FnMut(At<R>, &mut Faults<'_>) -> Option<T>,
) -> Vec<(At<String>, T)> {
    let raw = raw.unwrap_or_default();
    if let Some((name, _)) = raw.iter().nth(MOST_ENTRIES) {
        faults.at(&name.span, "too many entries", format!("at most {MOST_ENTRIES} of a kind"));
    }
    let mut checked = Vec::with_capacity(raw.len());
    for (name, entry) in raw {
        if !is_entry_name(&name.value) {
            faults.at(
                &name.span,
                "not a name",
                format!("1 to {LONGEST_NAME} characters, no blank at either end, on one line"),
            );
        }
        checked.extend(check(entry, faults).map(|entry| (name, entry)));
    }
    checked
}

fn named<T>(entries: Vec<(At<String>, T)>) -> BTreeMap<Arc<str>, T> {
    entries.into_iter().map(|(name, entry)| (name.value.into(), entry)).collect()
}

/// One certificate is one name.
fn distinct(
    entries: Vec<(At<String>, CertificateEntry)>,
    faults: &mut Faults<'_>,
) -> Vec<(At<String>, CertificateEntry)> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, entry) in &entries {
        if let Some(other) = seen.insert(&entry.identity, &name.value) {
            faults
                .at(&name.span, "one identity, two names", format!("it is {other}'s too"))
                .help("which of them would records have? keep one");
        }
    }
    entries
}

fn grant(
    role: Option<At<RawRole>>,
    teams: Option<At<Vec<At<String>>>>,
    services: Option<At<Vec<At<String>>>>,
    span: &Range<usize>,
    lost: &Lost,
    faults: &mut Faults<'_>,
) -> Option<Grant> {
    let is_everything = teams.is_none() && services.is_none() && !lost.has("teams") && !lost.has("services");
    let teams = list(teams, faults).into_iter().filter_map(|team| {
        let is_team = is_entry_name(&team.value);
        if !is_team {
            faults.at(&team.span, "not a team", "as `team` in the services' files");
        }
        is_team.then(|| Arc::from(team.value))
    });
    let teams: Vec<Arc<str>> = teams.collect();
    let services =
        list(services, faults).into_iter().filter_map(|raw| match ServiceName::parse(&raw.value) {
            Ok(name) => Some(name),
            Err(fault) => {
                faults.at(&raw.span, "not a service's name", fault.to_string());
                None
            }
        });
    let services: Vec<ServiceName> = services.collect();
    let Some(role) = role else {
        if !lost.has("role") {
            faults
                .at(span, "an entry without a role", "what may they do?")
                .help("add role = \"viewer\", \"operator\" or \"admin\"");
        }
        return None;
    };
    let role = match role.value {
        RawRole::Viewer => Role::Viewer,
        RawRole::Operator => Role::Operator,
        RawRole::Admin => Role::Admin,
    };
    let scope = if is_everything { Scope::Everything } else { Scope::Of { teams, services } };
    Some(Grant { role, scope })
}

/// What is listed. A list of nothing is neither everything nor of any use.
fn list(raw: Option<At<Vec<At<String>>>>, faults: &mut Faults<'_>) -> Vec<At<String>> {
    let Some(At { value, span }) = raw else { return Vec::new() };
    if value.is_empty() {
        faults
            .at(&span, "a list of nothing", "over what?")
            .help("leave it out, which means everything where teams and services are both left out, or remove the entry");
    }
    value
}

fn token(raw: At<RawToken>, lost: &Lost, faults: &mut Faults<'_>) -> Option<TokenEntry> {
    let At { value: RawToken { role, teams, services, salt, hash, created, expires }, span } = raw;
    let grant = grant(role, teams, services, &span, lost, faults);
    if (salt.is_none() && !lost.has("salt")) || (hash.is_none() && !lost.has("hash")) {
        faults
            .at(&span, "a token without its hash", "by what is it told?")
            .help("switchback token new makes a token and writes its entry");
    }
    let salt = salt.and_then(|raw| hexadecimal::<16>(&raw, faults));
    let hash = hash.and_then(|raw| hexadecimal::<32>(&raw, faults));
    let created = created.and_then(|raw| day(&raw, faults));
    let expires = expires.and_then(|raw| day(&raw, faults));
    Some(TokenEntry { grant: grant?, hash: TokenHash { salt: salt?, hash: hash? }, created, expires })
}

fn day(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Date> {
    let day = parse_day(&raw.value);
    if day.is_none() {
        faults.at(&raw.span, "not a day", "such as 2027-11-22");
    }
    day
}

fn hexadecimal<const N: usize>(raw: &At<String>, faults: &mut Faults<'_>) -> Option<[u8; N]> {
    let digits = raw.value.as_bytes();
    let mut bytes = [0; N];
    let is_whole = digits.len() == 2 * N && digits.iter().all(u8::is_ascii_hexdigit);
    if !is_whole {
        faults
            .at(&raw.span, "not what belongs here", format!("{} hexadecimal digits", 2 * N))
            .help("switchback token new writes it");
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(raw.value.as_bytes().chunks(2)) {
        let pair = str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

fn certificate(raw: At<RawCertificate>, lost: &Lost, faults: &mut Faults<'_>) -> Option<CertificateEntry> {
    let At { value: RawCertificate { role, teams, services, identity }, span } = raw;
    let grant = grant(role, teams, services, &span, lost, faults);
    if identity.is_none() && !lost.has("identity") {
        faults
            .at(&span, "a certificate of nobody", "by what is it told?")
            .help("add identity = \"spiffe://example.net/deployer\", or a host name of the certificate");
    }
    let identity = identity.and_then(|raw| {
        if raw.value.contains("://") { spiffe_identity(raw, faults) } else { host_name(&raw, faults) }
    });
    Some(CertificateEntry { grant: grant?, identity: identity?.into() })
}

fn host_name(raw: &At<String>, faults: &mut Faults<'_>) -> Option<String> {
    let name = ServerName::try_from(raw.value.as_str()).ok();
    let is_host = matches!(name, Some(ServerName::DnsName(_)));
    if !is_host {
        faults
            .at(&raw.span, "not an identity", "a SPIFFE identity or a host name, whole")
            .help("such as spiffe://example.net/deployer or deployer.example.net");
    }
    is_host.then(|| raw.value.to_ascii_lowercase())
}
