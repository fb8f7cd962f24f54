use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The public keys of an identity provider, as far as anything is believed that is signed with them.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Key>);

/// One of them.
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm that it is for, if that is said.
    only: Option<Algorithm>,
    public: DecodingKey,
}

/// Kinds of keys, by what can be signed with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysFault {
    /// It is something else.
    #[error("is no JSON Web Key Set: {0}")]
    NoSet(String),
    /// More than anybody has.
    #[error("has more than {MOST_KEYS} keys")]
    TooMany,
    /// None that is any good here.
    #[error("has no key for {}", ALGORITHMS.map(|(name, ..)| name).join(", "))]
    None,
}

/// The algorithms that are believed, and the keys that each takes.
const ALGORITHMS: [(&str, Algorithm, Kind); 5] = [
    ("RS256", Algorithm::RS256, Kind::Rsa),
    ("PS256", Algorithm::PS256, Kind::Rsa),
    ("ES256", Algorithm::ES256, Kind::P256),
    ("ES384", Algorithm::ES384, Kind::P384),
    ("EdDSA", Algorithm::EdDSA, Kind::Ed25519),
];
/// Keys of a set. Providers have two to four, of which the oldest are on their way out.
const MOST_KEYS: usize = 100;
/// An RSA key with fewer bits is refused (RFC 7518, section 3.3).
const FEWEST_RSA_BYTES: usize = 2_048 / 8;

/// A key as it is written. What is private in it is not looked at.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct RawKeys {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a set. Keys that are for something else, or of which nothing is known here, are left out, as the standard asks.
    pub fn parse(text: &[u8]) -> Result<Self, KeysFault> {
        let RawKeys { keys } =
            serde_json::from_slice(text).map_err(|error| KeysFault::NoSet(error.to_string()))?;
        if keys.len() > MOST_KEYS {
            return Err(KeysFault::TooMany);
        }
        let keys: Vec<Key> = keys.into_iter().filter_map(key).collect();
        if keys.is_empty() { Err(KeysFault::None) } else { Ok(Self(keys)) }
    }

    /// The keys that something may be signed with. A signature that names no key is held against the only one of its kind.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&Key| {
            Some(key.kind) == kind_for(algorithm) && key.only.is_none_or(|only| only == algorithm)
        };
        let fitting: Vec<&Key> = match id {
            Some(_) => self.0.iter().filter(|key| key.id.as_deref() == id).filter(fits).collect(),
            None => self.0.iter().filter(fits).collect(),
        };
        match (id, fitting.as_slice()) {
            (None, [_, _, ..]) => Vec::new(),
            _ => fitting.into_iter().map(|key| &key.public).collect(),
        }
    }

    /// Whether there is a key of this name.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

/// The algorithm of this name, if it is believed.
pub(super) fn algorithm(text: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(name, ..)| *name == text).map(|(_, algorithm, _)| *algorithm)
}

fn kind_for(wanted: Algorithm) -> Option<Kind> {
    ALGORITHMS.iter().find(|(_, algorithm, _)| *algorithm == wanted).map(|(.., kind)| *kind)
}

fn key(raw: Value) -> Option<Key> {
    let raw: RawKey = serde_json::from_value(raw).ok()?;
    if raw.usage.is_some_and(|usage| usage != "sig")
        || raw.key_ops.is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
    {
        return None;
    }
    let only = match &raw.alg {
        Some(alg) => Some(algorithm(alg)?),
        None => None,
    };
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let (kind, public) = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (bytes(&raw.n)?, bytes(&raw.e)?);
            let length = n.iter().skip_while(|byte| **byte == 0).count();
            let key = DecodingKey::from_rsa_raw_components(&n, &e);
            (length >= FEWEST_RSA_BYTES).then_some((Kind::Rsa, key))?
        }
        ("EC", Some(curve)) => {
            let (kind, length) = match curve {
                "P-256" => (Kind::P256, 32),
                "P-384" => (Kind::P384, 48),
                _ => return None,
            };
            let fits = bytes(&raw.x)?.len() == length && bytes(&raw.y)?.len() == length;
            fits.then_some((kind, DecodingKey::from_ec_components(&raw.x?, &raw.y?).ok()?))?
        }
        ("OKP", Some("Ed25519")) => {
            let fits = bytes(&raw.x)?.len() == 32;
            fits.then_some((Kind::Ed25519, DecodingKey::from_ed_components(&raw.x?).ok()?))?
        }
        _ => return None,
    };
    if only.is_some_and(|only| kind_for(only) != Some(kind)) {
        return None;
    }
    Some(Key { id: raw.kid, kind, only, public })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ec(id: &str) -> Value {
        let part = URL_SAFE_NO_PAD.encode([1; 32]);
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": part, "y": part })
    }

    fn parse(keys: &[Value]) -> Result<Keys, KeysFault> {
        Keys::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let with = |key: &str, value: Value| {
            let mut changed = ec("x");
            changed[key] = value;
            changed
        };
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        for strange in [
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "x" }),
            json!({ "kty": "RSA", "n": short, "e": "AQAB", "kid": "x" }),
            json!({ "kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "x" }),
            with("use", json!("enc")),
            with("key_ops", json!(["sign"])),
            with("alg", json!("ES512")),
            with("alg", json!("RS256")),
            with("alg", json!("HS256")),
            with("crv", json!("P-384")),
            with("crv", json!("secp256k1")),
            with("x", json!("!")),
            with("kid", json!(7)),
            json!("x"),
        ] {
            let keys = parse(&[strange.clone(), ec("good")]).unwrap();
            assert!(keys.has("good") && !keys.has("x"), "{strange}");
            assert_eq!(parse(std::slice::from_ref(&strange)).unwrap_err(), KeysFault::None, "{strange}");
        }
        let good = parse(&[with("use", json!("sig")), with("key_ops", json!(["verify"]))]).unwrap();
        assert!(good.has("x"));
        assert!(matches!(Keys::parse(b"{}"), Err(KeysFault::NoSet(_))));
        assert_eq!(parse(&vec![ec("a"); 101]).unwrap_err(), KeysFault::TooMany);
    }

    #[test]
    fn a_signature_without_a_name_is_held_against_the_only_key_of_its_kind() {
        let one = parse(&[ec("a")]).unwrap();
        assert_eq!(one.fitting(None, Algorithm::ES256).len(), 1);
        assert_eq!(one.fitting(None, Algorithm::ES384).len(), 0);
        assert_eq!(one.fitting(Some("b"), Algorithm::ES256).len(), 0);
        let two = parse(&[ec("a"), ec("b")]).unwrap();
        assert_eq!(two.fitting(None, Algorithm::ES256).len(), 0);
        assert_eq!(two.fitting(Some("b"), Algorithm::ES256).len(), 1);
    }
}
