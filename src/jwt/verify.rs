use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::UnixMillis;

use super::keys::{Keys, algorithm};

/// What a token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who has issued it.
    pub issuer: &'a str,
    /// Whom it is for.
    pub audience: &'a str,
    /// The claim that people are called by.
    pub claim: &'a str,
    /// The claim that lists their groups.
    pub groups: &'a str,
}

/// Somebody of whom an identity provider has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What they are called.
    pub name: Arc<str>,
    /// Their groups.
    pub groups: Vec<Arc<str>>,
    /// From when on the token is not believed any more.
    pub ends: UnixMillis,
}

/// Why a token is not believed. Nothing that it says of itself is in here: whoever it comes from could say anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is something else.
    #[error("is no signed token")]
    NoToken,
    /// It is signed in a way that is not believed, or by a key of another kind.
    #[error("is signed by an algorithm that is not believed of its key")]
    Algorithm,
    /// It is a token of another kind, or asks for what is not known here.
    #[error("is a token for something else")]
    Kind,
    /// No key of the provider has its key's name.
    #[error("is signed with a key that the identity provider does not have")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("has a signature that is wrong")]
    Signature,
    /// Somebody else has issued it.
    #[error("is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("is for another audience")]
    Audience,
    /// It says of no end.
    #[error("has no end (exp)")]
    NoEnd,
    /// It has ended.
    #[error("has expired")]
    Ended,
    /// It is for later.
    #[error("is not good yet (nbf)")]
    Early,
    /// It does not say who somebody is.
    #[error("has no name of at most {LONGEST_NAME} characters in its claim {0}")]
    NoName(String),
    /// The provider has not looked whether the address is theirs.
    #[error("has an email address that is not verified (email_verified)")]
    Unverified,
}

/// How far clocks may be apart.
const LEEWAY_S: f64 = 60.0;
/// The longest name that goes into records.
const LONGEST_NAME: usize = 128;

/// The first part of a token.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// Who somebody is by a token, if it is believed at this time.
pub fn verify(
    token: &str,
    keys: &Keys,
    expected: &Expected<'_>,
    now: UnixMillis,
) -> Result<Person, TokenFault> {
    let head = head(token)?;
    let algorithm = algorithm(&head.alg).ok_or(TokenFault::Algorithm)?;
    if head.crit.is_some() || head.typ.is_some_and(|typ| !is_access_or_identity(&typ)) {
        return Err(TokenFault::Kind);
    }
    if head.kid.as_ref().is_some_and(|id| !keys.has(id)) {
        return Err(TokenFault::UnknownKey);
    }
    let keys = keys.fitting(head.kid.as_deref(), algorithm);
    if keys.is_empty() {
        return Err(if head.kid.is_some() { TokenFault::Algorithm } else { TokenFault::UnknownKey });
    }
    // The library is asked for the signature alone: it would read the clock for the rest.
    let mut signed = Validation::new(algorithm);
    (signed.validate_exp, signed.validate_nbf, signed.validate_aud) = (false, false, false);
    signed.required_spec_claims.clear();
    let claims = keys.iter().find_map(|key| decode::<Map<String, Value>>(token, key, &signed).ok());
    let claims = claims.ok_or(TokenFault::Signature)?.claims;
    weigh(&claims, expected, now)
}

/// Whether claims that are truly the provider's let somebody in.
fn weigh(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
    now: UnixMillis,
) -> Result<Person, TokenFault> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenFault::Issuer);
    }
    if !texts(claims.get("aud")).any(|audience| audience == expected.audience) {
        return Err(TokenFault::Audience);
    }
    let now_s = now.0 as f64 / 1e3;
    let ends_s = claims.get("exp").and_then(Value::as_f64).ok_or(TokenFault::NoEnd)? + LEEWAY_S;
    if now_s >= ends_s {
        return Err(TokenFault::Ended);
    }
    match claims.get("nbf").map(Value::as_f64) {
        Some(Some(begins_s)) if now_s < begins_s - LEEWAY_S => return Err(TokenFault::Early),
        Some(None) => return Err(TokenFault::Early),
        Some(Some(_)) | None => {}
    }
    let is_name = |name: &&str| {
        let length = name.chars().count();
        (1..=LONGEST_NAME).contains(&length) && !name.chars().any(char::is_control) && name.trim() == *name
    };
    let name = text(expected.claim).filter(is_name);
    let name = name.ok_or_else(|| TokenFault::NoName(expected.claim.to_owned()))?;
    // Some providers let people register with any address.
    let is_denied = |verified: &Value| verified != &Value::Bool(true) && verified != "true";
    if expected.claim == "email" && claims.get("email_verified").is_some_and(is_denied) {
        return Err(TokenFault::Unverified);
    }
    let groups = texts(claims.get(expected.groups)).map(Arc::from).collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies ahead of now; far ahead, at the end of time"
    )]
    let ends = UnixMillis((ends_s * 1e3) as u64);
    Ok(Person { name: name.into(), groups, ends })
}

fn head(token: &str) -> Result<Head, TokenFault> {
    let (head, rest) = token.split_once('.').ok_or(TokenFault::NoToken)?;
    if rest.matches('.').count() != 1 {
        return Err(TokenFault::NoToken);
    }
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenFault::NoToken)?;
    serde_json::from_slice(&head).map_err(|_| TokenFault::NoToken)
}

/// Access tokens (RFC 9068), and those that say of themselves only that they are tokens. Others, such as those by which a
/// provider tells that somebody has left, have the same issuer and audience (RFC 8725, section 3.11).
fn is_access_or_identity(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// A text, or each of a list of texts.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match value {
        Some(Value::String(text)) => (Some(text.as_str()), None),
        Some(Value::Array(list)) => (None, Some(list)),
        _ => (None, None),
    };
    one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const NOW_S: u64 = NOW.0 / 1_000;
    const EXPECTED: Expected<'static> =
        Expected { issuer: "https://login.test", audience: "switchback", claim: "email", groups: "groups" };

    struct Provider {
        pair: EcdsaKeyPair,
        keys: Keys,
    }

    impl Provider {
        fn new(id: &str) -> Self {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let point = pair.public_key().as_ref().to_vec();
            let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
            let key = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": part(1..33), "y": part(33..65) });
            let keys = Keys::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
            Self { pair, keys }
        }

        fn sign(&self, head: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(head), part(claims));
            let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://login.test", "aud": ["other", "switchback"], "exp": NOW_S + 300, "nbf": NOW_S,
            "email": "anna@example.net", "email_verified": true, "groups": ["oncall", "staff"],
        })
    }

    #[test]
    fn a_token_says_who_somebody_is_in_which_groups_and_for_how_long() {
        let provider = Provider::new("a");
        let token = provider.sign(&json!({ "alg": "ES256", "kid": "a", "typ": "JWT" }), &claims());
        let person = verify(&token, &provider.keys, &EXPECTED, NOW).unwrap();
        assert_eq!(&*person.name, "anna@example.net");
        assert_eq!(person.groups, ["oncall".into(), "staff".into()]);
        assert_eq!(person.ends, UnixMillis((NOW_S + 360) * 1_000));
        let just_before = UnixMillis(person.ends.0 - 1);
        assert!(verify(&token, &provider.keys, &EXPECTED, just_before).is_ok());
        assert_eq!(verify(&token, &provider.keys, &EXPECTED, person.ends), Err(TokenFault::Ended));
    }

    #[test]
    fn what_is_not_signed_as_it_should_be_is_not_believed() {
        let (provider, other) = (Provider::new("a"), Provider::new("a"));
        let good = json!({ "alg": "ES256", "kid": "a" });
        for (head, by, fault) in [
            (json!({ "alg": "ES256", "kid": "b" }), &provider, TokenFault::UnknownKey),
            (json!({ "alg": "none" }), &provider, TokenFault::Algorithm),
            (json!({ "alg": "NONE", "kid": "a" }), &provider, TokenFault::Algorithm),
            (json!({ "alg": "HS256", "kid": "a" }), &provider, TokenFault::Algorithm),
            (json!({ "alg": "ES384", "kid": "a" }), &provider, TokenFault::Algorithm),
            (json!({ "alg": "RS256", "kid": "a" }), &provider, TokenFault::Algorithm),
            (json!({ "alg": "ES512", "kid": "a" }), &provider, TokenFault::Algorithm),
            (json!({ "kid": "a" }), &provider, TokenFault::NoToken),
            (
                json!({ "alg": "ES256", "kid": "a", "crit": ["b64"], "b64": false }),
                &provider,
                TokenFault::Kind,
            ),
            (json!({ "alg": "ES256", "kid": "a", "typ": "logout+jwt" }), &provider, TokenFault::Kind),
            (good.clone(), &other, TokenFault::Signature),
        ] {
            let token = by.sign(&head, &claims());
            assert_eq!(verify(&token, &provider.keys, &EXPECTED, NOW), Err(fault), "{head}");
        }
        let token = provider.sign(&good, &claims());
        let (message, _) = token.rsplit_once('.').unwrap();
        for (broken, fault) in [
            (format!("{message}."), TokenFault::Signature),
            (message.to_owned(), TokenFault::NoToken),
            (format!("{token}.x"), TokenFault::NoToken),
            (format!("x{token}"), TokenFault::NoToken),
            (String::new(), TokenFault::NoToken),
            ("..".to_owned(), TokenFault::NoToken),
        ] {
            assert_eq!(verify(&broken, &provider.keys, &EXPECTED, NOW), Err(fault), "{broken}");
        }
    }

    #[test]
    fn claims_must_be_the_right_ones() {
        let provider = Provider::new("a");
        let no_name = || TokenFault::NoName("email".to_owned());
        for (claim, value, fault) in [
            ("iss", json!("https://login.test/"), Some(TokenFault::Issuer)),
            ("iss", Value::Null, Some(TokenFault::Issuer)),
            ("aud", json!("other"), Some(TokenFault::Audience)),
            ("aud", Value::Null, Some(TokenFault::Audience)),
            ("aud", json!("switchback"), None),
            ("exp", Value::Null, Some(TokenFault::NoEnd)),
            ("exp", json!("tomorrow"), Some(TokenFault::NoEnd)),
            ("exp", json!(NOW_S - 60), Some(TokenFault::Ended)),
            ("exp", json!(NOW_S - 59), None),
            ("exp", json!(NOW_S as f64 + 0.5), None),
            ("exp", json!(1e300), None),
            ("exp", json!(-1), Some(TokenFault::Ended)),
            ("nbf", json!(NOW_S + 61), Some(TokenFault::Early)),
            ("nbf", json!(NOW_S + 60), None),
            ("nbf", json!("x"), Some(TokenFault::Early)),
            ("email", Value::Null, Some(no_name())),
            ("email", json!(""), Some(no_name())),
            ("email", json!(["anna@example.net"]), Some(no_name())),
            ("email", json!("a\nb"), Some(no_name())),
            ("email", json!("x".repeat(129)), Some(no_name())),
            ("email_verified", json!(false), Some(TokenFault::Unverified)),
            ("email_verified", json!("true"), None),
            ("groups", json!("staff"), None),
            ("groups", json!(7), None),
        ] {
            let mut changed = claims();
            changed[claim] = value.clone();
            let token = provider.sign(&json!({ "alg": "ES256", "kid": "a" }), &changed);
            let found = verify(&token, &provider.keys, &EXPECTED, NOW).err();
            assert_eq!(found, fault, "{claim} {value}");
        }
    }
}
