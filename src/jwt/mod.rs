//! What an identity provider says of somebody: signed tokens (JWT, RFC 7519), and the keys that they are signed with (JWK
//! sets, RFC 7517). Pure: bytes and the time are given.
//!
//! Only signatures are believed that take a public key and are in use: RS256, PS256, ES256, ES384 and `EdDSA`. A key is for the
//! algorithms of its kind, whatever a token's head says: who may choose the algorithm could sign with a public key as if it
//! were a secret, or not at all (RFC 8725, section 3.1).

mod keys;
mod verify;

pub use keys::{Keys, KeysFault};
pub use verify::{Expected, Person, TokenFault, verify};
