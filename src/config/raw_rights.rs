use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;

/// Who may look and steer: the file that `rights` of `[admin]` names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRights {
    /// Who shows a token, by the name under which records have them. `switchback token new` writes these.
    pub(super) tokens: Option<BTreeMap<At<String>, At<RawToken>>>,
    /// Who shows a client certificate, by the name under which records have them.
    pub(super) certificates: Option<BTreeMap<At<String>, At<RawCertificate>>>,
    /// Users of this machine, over the Unix socket, by their names, or their numbers where they have none. `root` and the
    /// user that runs Switchback may do everything, and need not stand here.
    pub(super) users: Option<BTreeMap<At<String>, At<RawGrant>>>,
    /// Groups of this machine's users, by their names.
    pub(super) unix_groups: Option<BTreeMap<At<String>, At<RawGrant>>>,
    /// People whom the identity provider knows, by the value of `claim`.
    pub(super) people: Option<BTreeMap<At<String>, At<RawGrant>>>,
    /// Groups of such people, by their names in the claim `groups`.
    pub(super) groups: Option<BTreeMap<At<String>, At<RawGrant>>>,
    /// The identity provider (`OpenID` Connect). Default: none is believed.
    pub(super) oidc: Option<At<RawOidc>>,
}

/// What somebody may do.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGrant {
    /// `viewer` looks, `operator` moves traffic too, `admin` does also what concerns Switchback itself.
    pub(super) role: Option<At<RawRole>>,
    /// Over the services of these teams. Default, with `services` left out too: over everything.
    pub(super) teams: Option<At<Vec<At<String>>>>,
    /// Over these services.
    pub(super) services: Option<At<Vec<At<String>>>>,
}

/// A token. It has 256 random bits, and stands here as a hash: nobody can make the token of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawToken {
    /// `viewer` looks, `operator` moves traffic too, `admin` does also what concerns Switchback itself.
    pub(super) role: Option<At<RawRole>>,
    /// Over the services of these teams. Default, with `services` left out too: over everything.
    pub(super) teams: Option<At<Vec<At<String>>>>,
    /// Over these services.
    pub(super) services: Option<At<Vec<At<String>>>>,
    /// What is hashed before the token: 32 hexadecimal digits.
    pub(super) salt: Option<At<String>>,
    /// The SHA-256 of the salt's bytes and the token: 64 hexadecimal digits.
    pub(super) hash: Option<At<String>>,
    /// The day on which it was made, for people, such as `2026-11-22`.
    pub(super) created: Option<At<String>>,
    /// The last day on which it is good, in UTC, such as `2027-11-22`. Default: it is good until its entry is removed.
    pub(super) expires: Option<At<String>>,
}

/// A client certificate.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCertificate {
    /// `viewer` looks, `operator` moves traffic too, `admin` does also what concerns Switchback itself.
    pub(super) role: Option<At<RawRole>>,
    /// Over the services of these teams. Default, with `services` left out too: over everything.
    pub(super) teams: Option<At<Vec<At<String>>>>,
    /// Over these services.
    pub(super) services: Option<At<Vec<At<String>>>>,
    /// Whose certificate it is: a SPIFFE identity, such as `spiffe://example.net/deployer`, or a host name, such as
    /// `deployer.example.net`. It must stand among the alternative names of the certificate.
    pub(super) identity: Option<At<String>>,
}

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawRole {
    /// May look.
    Viewer,
    /// May move traffic.
    Operator,
    /// May also do what concerns Switchback itself.
    Admin,
}

/// An identity provider, whose signed tokens (JWT) are believed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOidc {
    /// Who must have issued a token: its claim `iss`, letter by letter.
    pub(super) issuer: Option<At<String>>,
    /// Whom a token must be for: one of its claim `aud`.
    pub(super) audience: Option<At<String>>,
    /// The keys that tokens are signed with (a JSON Web Key Set): a file, or an `https://` address, which is asked every ten
    /// minutes, and when a token is signed with another key.
    pub(super) keys: Option<At<String>>,
    /// The file of the authorities that must have signed the certificate of that address. Default: those of the system.
    pub(super) authorities: Option<At<String>>,
    /// The claim that people are called by, here and in records. Default: `email`.
    pub(super) claim: Option<At<String>>,
    /// The claim that lists their groups. Default: `groups`.
    pub(super) groups: Option<At<String>>,
}
