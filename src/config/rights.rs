use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{Grant, UnixMillis};
use crate::tls::Connector;

/// Who may look and steer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RightsConfig {
    /// Who shows a token.
    pub tokens: BTreeMap<Arc<str>, TokenEntry>,
    /// Who shows a client certificate.
    pub certificates: BTreeMap<Arc<str>, CertificateEntry>,
    /// Users of this machine.
    pub users: BTreeMap<Arc<str>, Grant>,
    /// Groups of them.
    pub unix_groups: BTreeMap<Arc<str>, Grant>,
    /// People whom the identity provider knows.
    pub people: BTreeMap<Arc<str>, Grant>,
    /// Groups of them.
    pub groups: BTreeMap<Arc<str>, Grant>,
    /// The identity provider; `None` if none is believed.
    pub oidc: Option<Arc<OidcConfig>>,
}

/// A token that lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// What they may do.
    pub grant: Grant,
    /// By which it is told.
    pub hash: TokenHash,
    /// When it was made, if that is said.
    pub created: Option<Date>,
    /// The last day on which it is good; `None` if it is until its entry is removed.
    pub expires: Option<Date>,
}

/// What a token is told by. Tokens have 256 random bits, which nobody finds by trying: a hash that takes long to compute, as
/// for passwords, would only make each request slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHash {
    /// Hashed before the token.
    pub salt: [u8; 16],
    /// The SHA-256 of both.
    pub hash: [u8; 32],
}

/// A client certificate that lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEntry {
    /// What they may do.
    pub grant: Grant,
    /// A SPIFFE identity, or a host name in lower case.
    pub identity: Arc<str>,
}

/// An identity provider.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcConfig {
    /// Who must have issued a token.
    pub issuer: String,
    /// Whom it must be for.
    pub audience: String,
    /// Where its keys are.
    pub keys: KeysAt,
    /// The claim that people are called by.
    pub claim: String,
    /// The claim that lists their groups.
    pub groups: String,
}

/// Where an identity provider's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url(KeysUrl),
}

/// An address of keys: `https://`, and this.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysUrl {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// As `Host` has it.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// How TLS is spoken there.
    pub connector: Arc<Connector>,
}

impl TokenEntry {
    /// From when on it is not good any more; `None` if that never comes.
    pub fn ends(&self) -> Option<UnixMillis> {
        let end = self.expires?.tomorrow().and_then(|day| day.to_zoned(TimeZone::UTC)).ok()?;
        Some(UnixMillis(u64::try_from(end.timestamp().as_millisecond()).unwrap_or(0)))
    }
}

impl TokenHash {
    /// That of a token.
    pub fn new(salt: [u8; 16], token: &str) -> Self {
        let hash = hash(&salt, token);
        Self { salt, hash }
    }

    /// Whether it is this token's. How long that takes tells nothing of the hash.
    pub fn is_of(&self, token: &str) -> bool {
        verify_slices_are_equal(&hash(&self.salt, token), &self.hash).is_ok()
    }
}

fn hash(salt: &[u8; 16], token: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(token.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl RightsConfig {
    /// What is different from before, a line for each entry. Nothing secret is in it.
    pub fn changes_from(&self, before: &RightsConfig) -> Vec<String> {
        let mut changes = Vec::new();
        let grant = |grant: &Grant| grant.to_string();
        compare("token", &before.tokens, &self.tokens, token_in_words, &mut changes);
        compare("certificate", &before.certificates, &self.certificates, certificate_in_words, &mut changes);
        compare("user", &before.users, &self.users, grant, &mut changes);
        compare("unix group", &before.unix_groups, &self.unix_groups, grant, &mut changes);
        compare("person", &before.people, &self.people, grant, &mut changes);
        compare("group", &before.groups, &self.groups, grant, &mut changes);
        match (&before.oidc, &self.oidc) {
            (None, Some(now)) => changes.push(format!("identity provider {} added", now.issuer)),
            (Some(before), None) => changes.push(format!("identity provider {} removed", before.issuer)),
            (Some(before), Some(now)) if before != now => {
                changes.push(format!("identity provider {} changed", now.issuer));
            }
            (None | Some(_), None | Some(_)) => {}
        }
        changes
    }

    /// All that is granted to anybody.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        let tokens = self.tokens.values().map(|entry| &entry.grant);
        let certificates = self.certificates.values().map(|entry| &entry.grant);
        let others = [&self.users, &self.unix_groups, &self.people, &self.groups];
        tokens.chain(certificates).chain(others.into_iter().flat_map(BTreeMap::values))
    }

    /// How many entries there are, in words.
    pub fn in_words(&self) -> String {
        let counts = [
            ("tokens", self.tokens.len()),
            ("certificates", self.certificates.len()),
            ("users", self.users.len()),
            ("unix groups", self.unix_groups.len()),
            ("people", self.people.len()),
            ("groups", self.groups.len()),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(what, count)| format!("{count} {what}")).collect();
        if counts.is_empty() { "nobody".to_owned() } else { counts.join(", ") }
    }
}

fn token_in_words(entry: &TokenEntry) -> String {
    let until = entry.expires.map(|day| format!(" until {day}")).unwrap_or_default();
    format!("{}{until}", entry.grant)
}

fn certificate_in_words(entry: &CertificateEntry) -> String {
    format!("{}, {}", entry.identity, entry.grant)
}

fn compare<T: PartialEq>(
    what: &str,
    before: &BTreeMap<Arc<str>, T>,
    after: &BTreeMap<Arc<str>, T>,
    words: impl Fn(&T) -> String,
    changes: &mut Vec<String>,
) {
    for (name, now) in after {
        match before.get(name) {
            None => changes.push(format!("{what} {name} added: {}", words(now))),
            Some(before) if before != now => {
                let (before, now) = (words(before), words(now));
                let same = "by another secret, or in a note".to_owned();
                let change = if before == now { same } else { format!("{before} → {now}") };
                changes.push(format!("{what} {name} changed: {change}"));
            }
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    changes.extend(gone.map(|name| format!("{what} {name} removed")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, Scope};

    #[test]
    fn a_token_is_told_by_its_hash_alone() {
        let hash = TokenHash::new([7; 16], "sbt_x");
        assert!(hash.is_of("sbt_x"));
        for other in ["sbt_y", "sbt_", "", "sbt_x "] {
            assert!(!hash.is_of(other), "{other:?}");
        }
        assert_ne!(hash, TokenHash::new([8; 16], "sbt_x"), "two entries of one token look different");
    }

    #[test]
    fn a_token_is_good_until_the_end_of_its_last_day() {
        let grant = Grant { role: Role::Viewer, scope: Scope::Everything };
        let hash = TokenHash::new([0; 16], "x");
        let mut entry = TokenEntry { grant, hash, created: None, expires: None };
        assert_eq!(entry.ends(), None);
        entry.expires = Some(jiff::civil::date(2026, 12, 31));
        assert_eq!(entry.ends(), Some(UnixMillis(1_798_761_600_000)), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn what_has_changed_is_told_by_name_and_without_secrets() {
        let entry = |role, salt| TokenEntry {
            grant: Grant { role, scope: Scope::Everything },
            hash: TokenHash::new([salt; 16], "x"),
            created: None,
            expires: None,
        };
        let rights = |tokens: &[(&str, Role, u8)]| RightsConfig {
            tokens: tokens.iter().map(|(name, role, salt)| ((*name).into(), entry(*role, *salt))).collect(),
            ..RightsConfig::default()
        };
        let before = rights(&[("a", Role::Viewer, 1), ("b", Role::Viewer, 1), ("c", Role::Viewer, 1)]);
        let after = rights(&[("a", Role::Admin, 1), ("b", Role::Viewer, 2), ("d", Role::Operator, 1)]);
        assert_eq!(
            after.changes_from(&before),
            [
                "token a changed: viewer over everything → admin over everything",
                "token b changed: by another secret, or in a note",
                "token d added: operator over everything",
                "token c removed",
            ]
        );
        assert!(after.changes_from(&after).is_empty());
    }
}
