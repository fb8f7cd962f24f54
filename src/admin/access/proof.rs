use std::sync::Arc;

use crate::config::{OidcConfig, RightsConfig, TokenHash};
use crate::jwt::Person;
use crate::model::{Rights, UnixMillis, Via};
use crate::tls::Holder;

use super::denied::Denied;
use super::users::UnixUser;

/// What somebody has shown, and was found to be true. What it is worth the rights in force say.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Token { name: Arc<str>, hash: TokenHash },
    Certificate(Arc<Holder>),
    Person(Person, Arc<OidcConfig>),
    User(UnixUser),
}

/// What a proof is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The name under which records have them.
    pub(super) name: Arc<str>,
    pub(super) via: Via,
    pub(super) rights: Rights,
}

/// What tokens of our own begin with, and how long they are.
const OWN: &str = "sbt_";
const OWN_LENGTH: usize = OWN.len() + 43;

/// Whether a token is one of our own, not an identity provider's.
pub(super) fn is_own(token: &str) -> bool {
    token.starts_with(OWN)
}

impl Proof {
    /// The entry that a token of our own is of.
    pub(super) fn of_token(token: &str, rights: &RightsConfig) -> Result<Self, Denied> {
        if token.len() != OWN_LENGTH {
            return Err(Denied::UnknownToken);
        }
        let found = rights.tokens.iter().find(|(_, entry)| entry.hash.is_of(token));
        let (name, entry) = found.ok_or(Denied::UnknownToken)?;
        Ok(Self::Token { name: name.clone(), hash: entry.hash.clone() })
    }

    /// What it is worth by these rights, at this time.
    pub(super) fn standing(&self, rights: &RightsConfig, now: UnixMillis) -> Result<Standing, Denied> {
        match self {
            Self::Token { name, hash } => {
                let entry = rights.tokens.get(name).filter(|entry| entry.hash == *hash);
                let entry = entry.ok_or(Denied::UnknownToken)?;
                if entry.ends().is_some_and(|end| end <= now) {
                    return Err(Denied::TokenEnded(name.clone()));
                }
                Ok(standing(name, Via::Token, Rights(vec![entry.grant.clone()])))
            }
            Self::Certificate(holder) => {
                let now_s = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
                // Its connection may be older than its end.
                if holder.ends_unix_s < now_s {
                    return Err(Denied::CertificateEnded);
                }
                let is_theirs = |identity: &str| holder.identities.iter().any(|known| known == identity);
                let found = rights.certificates.iter().find(|(_, entry)| is_theirs(&entry.identity));
                let (name, entry) = found.ok_or_else(|| {
                    let named = holder.identities.join(", ");
                    Denied::UnlistedCertificate(if named.is_empty() { "nobody".to_owned() } else { named })
                })?;
                Ok(standing(name, Via::Certificate, Rights(vec![entry.grant.clone()])))
            }
            Self::Person(person, provider) => {
                if rights.oidc.as_ref() != Some(provider) {
                    return Err(Denied::NoProvider);
                }
                if person.ends <= now {
                    return Err(Denied::Token(crate::jwt::TokenFault::Ended));
                }
                let own = rights.people.get(&person.name);
                let groups = rights.groups.iter().filter(|(name, _)| person.groups.contains(name));
                let grants: Vec<_> = own.into_iter().chain(groups.map(|(_, grant)| grant)).cloned().collect();
                if grants.is_empty() {
                    return Err(Denied::UnlistedPerson(person.name.clone()));
                }
                Ok(standing(&person.name, Via::Oidc, Rights(grants)))
            }
            Self::User(user) if user.is_trusted() => Ok(standing(&user.name, Via::User, Rights::unbounded())),
            Self::User(user) => {
                let own = rights.users.get(&user.listed_as);
                let groups = rights.unix_groups.iter().filter(|(name, _)| user.groups.contains(name));
                let grants: Vec<_> = own.into_iter().chain(groups.map(|(_, grant)| grant)).cloned().collect();
                if grants.is_empty() {
                    return Err(Denied::UnlistedUser(user.name.clone()));
                }
                Ok(standing(&user.name, Via::User, Rights(grants)))
            }
        }
    }
}

fn standing(name: &Arc<str>, via: Via, rights: Rights) -> Standing {
    Standing { name: name.clone(), via, rights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateEntry, KeysAt, TokenEntry};
    use crate::model::{Grant, Role, Scope};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn grant(role: Role) -> Grant {
        Grant { role, scope: Scope::Everything }
    }

    fn rights() -> RightsConfig {
        let token = |salt, expires| TokenEntry {
            grant: grant(Role::Operator),
            hash: TokenHash::new([salt; 16], &own(salt)),
            created: None,
            expires,
        };
        let day = jiff::civil::date(2027, 1, 14); // the day before NOW
        let certificate = CertificateEntry { grant: grant(Role::Viewer), identity: "spiffe://a/b".into() };
        RightsConfig {
            tokens: [("ci".into(), token(1, None)), ("old".into(), token(2, Some(day)))].into(),
            certificates: [("deployer".into(), certificate)].into(),
            users: [("anna".into(), grant(Role::Viewer)), ("1234".into(), grant(Role::Viewer))].into(),
            unix_groups: [("ops".into(), grant(Role::Operator))].into(),
            people: [("anna@example.net".into(), grant(Role::Viewer))].into(),
            groups: [("oncall".into(), grant(Role::Admin))].into(),
            oidc: Some(provider()),
        }
    }

    fn provider() -> Arc<OidcConfig> {
        Arc::new(OidcConfig {
            issuer: "i".into(),
            audience: "a".into(),
            keys: KeysAt::File("keys".into()),
            claim: "email".into(),
            groups: "groups".into(),
        })
    }

    fn own(seed: u8) -> String {
        format!("sbt_{}", char::from(b'a' + seed).to_string().repeat(43))
    }

    #[test]
    fn a_token_is_good_while_its_entry_is_there_and_has_not_ended() {
        let rights = rights();
        let proof = Proof::of_token(&own(1), &rights).unwrap();
        let standing = proof.standing(&rights, NOW).unwrap();
        assert_eq!((&*standing.name, standing.via), ("ci", Via::Token));
        let old = Proof::of_token(&own(2), &rights).unwrap();
        assert_eq!(old.standing(&rights, NOW), Err(Denied::TokenEnded("old".into())));
        for unknown in [own(3), format!("{}x", own(1)), "sbt_".to_owned(), String::new()] {
            assert_eq!(Proof::of_token(&unknown, &rights).unwrap_err(), Denied::UnknownToken);
        }
        let mut other = rights.clone();
        other.tokens.get_mut("ci").unwrap().hash = TokenHash::new([9; 16], &own(1));
        assert_eq!(proof.standing(&other, NOW), Err(Denied::UnknownToken), "it was made anew");
        other.tokens.clear();
        assert_eq!(proof.standing(&other, NOW), Err(Denied::UnknownToken), "it was revoked");
    }

    #[test]
    fn a_certificate_is_good_while_it_holds() {
        let now_s = i64::try_from(NOW.0 / 1_000).unwrap();
        let of = |identities: &[&str], ends_unix_s| {
            let identities = identities.iter().map(ToString::to_string).collect();
            Proof::Certificate(Arc::new(Holder { identities, ends_unix_s })).standing(&rights(), NOW)
        };
        assert_eq!(&*of(&["x.test", "spiffe://a/b"], now_s).unwrap().name, "deployer");
        assert_eq!(of(&["spiffe://a/b"], now_s - 1), Err(Denied::CertificateEnded));
        assert!(matches!(of(&["spiffe://a/b/c"], now_s), Err(Denied::UnlistedCertificate(_))));
        assert!(matches!(of(&[], now_s), Err(Denied::UnlistedCertificate(_))));
    }

    #[test]
    fn people_have_what_is_granted_to_them_and_to_their_groups() {
        let of = |name: &str, groups: &[&str], rights: &RightsConfig| {
            let groups = groups.iter().map(|group| Arc::from(*group)).collect();
            let person = Person { name: name.into(), groups, ends: UnixMillis(NOW.0 + 1) };
            Proof::Person(person, provider()).standing(rights, NOW)
        };
        let rights = rights();
        let roles = |standing: Result<Standing, Denied>| {
            standing.unwrap().rights.0.iter().map(|grant| grant.role).collect::<Vec<_>>()
        };
        assert_eq!(roles(of("anna@example.net", &[], &rights)), [Role::Viewer]);
        assert_eq!(roles(of("anna@example.net", &["oncall", "x"], &rights)), [Role::Viewer, Role::Admin]);
        assert_eq!(roles(of("bert@example.net", &["oncall"], &rights)), [Role::Admin]);
        assert!(matches!(of("oncall", &["ops"], &rights), Err(Denied::UnlistedPerson(_))));
        let mut without = rights;
        without.oidc = None;
        assert_eq!(of("anna@example.net", &[], &without), Err(Denied::NoProvider));
    }

    #[test]
    fn users_of_the_machine_have_what_is_granted_to_them_and_to_their_groups() {
        let rights = rights();
        let of = |uid: u32, name: Option<&str>, groups: &[&str]| {
            Proof::User(UnixUser::new(uid, 990, name, groups)).standing(&rights, NOW)
        };
        assert_eq!(of(0, Some("root"), &[]).unwrap().rights, Rights::unbounded());
        assert_eq!(of(990, None, &[]).unwrap().rights, Rights::unbounded(), "who runs Switchback");
        assert_eq!(of(1_000, Some("anna"), &["ops"]).unwrap().rights.0.len(), 2);
        assert_eq!(of(1_001, Some("bert"), &["ops"]).unwrap().rights.0.len(), 1);
        assert_eq!(&*of(1_234, None, &[]).unwrap().name, "uid 1234");
        assert!(of(1_234, Some("bert"), &[]).is_err(), "a number is who has no name");
        assert_eq!(of(1_001, Some("bert"), &["anna"]), Err(Denied::UnlistedUser("bert".into())));
    }
}
