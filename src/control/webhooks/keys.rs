use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Target, WebhookConfig, WebhookKind, WebhookUrl};
use crate::tls::Signature;

use super::send::Trouble;

/// What one message is sent with. Files are read for each, so that a key that was changed is used at once.
pub(super) struct Keys {
    pub(super) url: WebhookUrl,
    pub(super) secret: Option<String>,
    pub(super) bearer: Option<String>,
    pub(super) routing_key: Option<String>,
}

/// The longest key: more than any token has.
const LONGEST: u64 = 64 << 10;
/// How often it is looked whether a file with a key is another one, while a webhook waits for that.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A part of a path that is as long as this may be a secret.
const LIKE_A_SECRET: usize = 12;

impl Keys {
    /// Reads them. Blocks.
    pub(super) fn read(config: &WebhookConfig) -> Result<Self, Trouble> {
        let mut keys = Self {
            url: match &config.target {
                Target::Url(url) => url.clone(),
                Target::File(path) => WebhookUrl::parse(&read(path)?)
                    .map_err(|fault| unfit(path, &format!("has no URL in it: {fault}")))?,
            },
            secret: None,
            bearer: None,
            routing_key: None,
        };
        match &config.kind {
            WebhookKind::CloudEvents { secret, bearer } => {
                keys.secret = secret.as_deref().map(read).transpose()?;
                keys.bearer = bearer.as_deref().map(read).transpose()?;
            }
            WebhookKind::Slack => {}
            WebhookKind::PagerDuty { routing_key } => keys.routing_key = Some(read(routing_key)?),
        }
        // One that is written in the configuration was looked at there. One in a file is a secret itself.
        match &config.target {
            Target::File(path) if !keys.url.is_private() => {
                Err(unfit(path, "says http, by which secrets are not sent to another machine"))
            }
            Target::Url(_) | Target::File(_) => Ok(keys),
        }
    }

    /// A text of the receiver's as people may see it: what is secret is left out, should it have been sent back.
    pub(super) fn conceal(&self, text: &str) -> String {
        let path = self.url.uri().path_and_query().map_or("", |path| path.as_str());
        let parts = path.split(['/', '?', '&', '=']).filter(|part| part.len() >= LIKE_A_SECRET);
        let keys = [&self.secret, &self.bearer, &self.routing_key].into_iter().flatten().map(String::as_str);
        let whole = Some(path).filter(|path| path.len() > 1);
        let mut concealed = text.to_owned();
        for secret in keys.chain(whole).chain(parts) {
            concealed = concealed.replace(secret, "…");
        }
        concealed
    }
}

/// How the files of keys are now: by this it is seen whether they have changed.
pub(super) async fn files(config: &Arc<WebhookConfig>) -> Signature {
    let config = config.clone();
    let looked = spawn_blocking(move || {
        let files: Vec<&Path> = config.files().map(PathBuf::as_path).collect();
        Signature::of(&files)
    });
    looked.await.unwrap_or_default()
}

/// Ends when the files of keys are others than they were.
pub(super) async fn change(config: &Arc<WebhookConfig>, before: Signature) {
    while files(config).await == before {
        sleep(LOOK_EVERY).await;
    }
}

fn read(path: &Path) -> Result<String, Trouble> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|why: io::Error| unfit(path, &format!("cannot be read: {why}")))?;
    match text.trim() {
        "" => Err(unfit(path, "is empty")),
        key => Ok(key.to_owned()),
    }
}

fn unfit(path: &Path, what: &str) -> Trouble {
    Trouble::Key { path: PathBuf::from(path), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_a_secret_is_not_shown_to_the_way_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let config = WebhookConfig {
            name: "oncall".into(),
            target: Target::File(path.clone()),
            kind: WebhookKind::CloudEvents { secret: None, bearer: None },
            topics: [crate::config::Topic::Reverted].into(),
            teams: None,
            tls: None,
        };
        for (url, is_used) in [
            ("https://hooks.example.net/S3CRET", true),
            ("http://127.0.0.1:9000/S3CRET", true),
            ("http://hooks.example.net/S3CRET", false),
        ] {
            std::fs::write(&path, url).unwrap();
            let read = Keys::read(&config);
            assert_eq!(read.is_ok(), is_used, "{url}");
            if let Err(trouble) = read {
                let said = trouble.to_string();
                assert!(
                    said.ends_with("says http, by which secrets are not sent to another machine"),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn nothing_secret_that_a_receiver_sends_back_is_shown() {
        let keys = Keys {
            url: WebhookUrl::parse("https://hooks.slack.com/services/T0/B0/xyzzyxyzzy42?k=abcdefghijkl")
                .unwrap(),
            secret: Some("hush".to_owned()),
            bearer: Some("token-1".to_owned()),
            routing_key: None,
        };
        for (text, shown) in [
            ("no route for POST /services/T0/B0/xyzzyxyzzy42?k=abcdefghijkl", "no route for POST …"),
            ("unknown hook xyzzyxyzzy42, key abcdefghijkl", "unknown hook …, key …"),
            ("bad token: token-1 (hush)", "bad token: … (…)"),
            ("invalid_payload", "invalid_payload"),
        ] {
            assert_eq!(keys.conceal(text), shown);
        }
    }
}
