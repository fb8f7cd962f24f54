//! An identity provider: its keys, made for a test, and the tokens that it signs.

use std::sync::OnceLock;
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key of an identity provider.
pub(crate) struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Who issues tokens, and for whom.
pub(crate) const ISSUER: &str = "https://login.test";
pub(crate) const AUDIENCE: &str = "switchback-test";

impl Key {
    pub(crate) fn p256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { id: id.to_owned(), pair: Pair::P256(pair) }
    }

    /// One of each kind, called `rsa`, `p256`, `p384` and `ed`. Made once: primes take a while.
    pub(crate) fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Key>> = OnceLock::new();
        ALL.get_or_init(|| {
            let pairs = [
                ("rsa", Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
                ("p256", Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())),
                ("p384", Pair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())),
                ("ed", Pair::Ed25519(Ed25519KeyPair::generate().unwrap())),
            ];
            pairs.into_iter().map(|(id, pair)| Key { id: id.to_owned(), pair }).collect()
        })
    }

    /// The one of these that is called so.
    pub(crate) fn named(id: &str) -> &'static Self {
        Self::all().iter().find(|key| key.id == id).unwrap()
    }

    /// As it stands in the provider's set.
    fn public(&self) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": part(&n), "e": part(&e) })
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": part(x), "y": part(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key().as_ref()) })
            }
        };
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    /// A token with these claims, signed by the algorithm that its head names, or else as the key is meant to be used.
    pub(crate) fn sign(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_head(&json!({ "alg": algorithm, "kid": self.id, "typ": "JWT" }), claims)
    }

    /// The same with a head of any kind.
    pub(crate) fn sign_head(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if head["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(encoding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token that is signed with the public key as if it were a secret.
    pub(crate) fn sign_as_secret(&self, claims: &Value) -> String {
        let head = json!({ "alg": "HS256", "kid": self.id, "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&head), part(claims));
        let secret = URL_SAFE_NO_PAD.decode(self.public()["x"].as_str().unwrap()).unwrap();
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let signature = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The set of keys that a provider publishes.
pub(crate) fn published<'a>(keys: impl IntoIterator<Item = &'a Key>) -> String {
    let keys: Vec<Value> = keys.into_iter().map(Key::public).collect();
    json!({ "keys": keys }).to_string()
}

/// What is said of somebody, for the next five minutes.
pub(crate) fn claims(email: &str, groups: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "17", "iat": now(), "nbf": now(), "exp": now() + 300,
        "email": email, "email_verified": true, "groups": groups,
    })
}

/// Seconds since 1970 UTC.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
