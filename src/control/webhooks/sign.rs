use std::fmt::Write as _;

use aws_lc_rs::hmac;

/// Proves that a message is ours, and when it was sent: the value of `switchback-signature`.
///
/// What is signed is the time, the message's id and its body, with a point between them. The time keeps a message that somebody
/// has recorded from being good for ever, and the id what is told twice from passing for two messages.
pub(super) fn signature(key: &[u8], unix_s: u64, id: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{unix_s}.{id}.").as_bytes());
    context.update(body);
    let mut value = format!("t={unix_s},v1=");
    for byte in context.sign().as_ref() {
        // Writing to a String does not fail.
        let _ = write!(value, "{byte:02x}");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what `openssl dgst -sha256 -hmac` says of `1.a.b`.
    #[test]
    fn a_signature_is_an_hmac_of_time_id_and_body() {
        assert_eq!(
            signature(b"key", 1, "a", b"b"),
            "t=1,v1=8161244503ceea5443c4d8b328b248efcab7214424c5914c1962e3371d244dca"
        );
    }

    #[test]
    fn another_key_time_id_or_body_is_another_signature() {
        let all = [
            signature(b"key", 1, "a", b"b"),
            signature(b"kez", 1, "a", b"b"),
            signature(b"key", 2, "a", b"b"),
            signature(b"key", 1, "aa", b"b"),
            signature(b"key", 1, "a", b"bb"),
        ];
        let proofs: std::collections::BTreeSet<_> =
            all.iter().map(|value| value.split_once("v1=").unwrap().1).collect();
        assert_eq!(proofs.len(), all.len());
    }
}
