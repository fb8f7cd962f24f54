use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;

use crate::tls::Connector;

use super::check_sources::is_name;

/// Somebody who is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Its name, which is also that of a folder.
    pub name: Arc<str>,
    /// Where messages are sent.
    pub target: Target,
    /// The shape of messages, and what they prove.
    pub kind: WebhookKind,
    /// What is told: at least one.
    pub topics: BTreeSet<Topic>,
    /// Whose services it is told about; `None` for everybody's, and for what concerns no single service.
    pub teams: Option<BTreeSet<Arc<str>>>,
    /// How it is spoken to over TLS; `None` if it is not.
    pub tls: Option<Arc<Connector>>,
}

/// Where messages are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Here.
    Url(WebhookUrl),
    /// Where this file says, because the URL itself is a secret.
    File(PathBuf),
}

/// The shape of messages. The files of keys are read anew for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// `CloudEvents` 1.0, as JSON.
    CloudEvents {
        /// The key that signs messages.
        secret: Option<PathBuf>,
        /// A token that is shown with them.
        bearer: Option<PathBuf>,
    },
    /// An incoming webhook of Slack.
    Slack,
    /// The Events API v2 of `PagerDuty`.
    PagerDuty {
        /// The key of the integration that gets them.
        routing_key: PathBuf,
    },
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A service was taken back.
    Reverted,
    /// A hold was ended.
    Released,
    /// A ramp has come to its next step.
    RampStep,
    /// A ramp has come to its end, or was ended.
    RampEnded,
    /// The judge is wrong more often than it promises.
    PromiseBroken,
    /// A new configuration has faults.
    ConfigRefused,
    /// A certificate ends soon, or has ended.
    CertificateEnding,
    /// Certificates have changed, and cannot be used.
    CertificateRefused,
    /// So much goes wrong at once that it is not one service's trouble.
    FleetGuard,
    /// The judge would take a service back, but may only say so.
    Advised,
    /// Helios could not take everything back.
    NoRoom,
    /// A record could not be written.
    NotWritten,
    /// A record could not be read: the service is held.
    Unreadable,
    /// A new rights file has faults: whoever was to be kept out is not.
    RightsRefused,
    /// Who may do what is different now.
    RightsChanged,
    /// A change waits for a second person.
    ApprovalWanted,
    /// A weight was changed by a person, or an override ended.
    WeightChanged,
    /// Somebody tries a webhook: it is told to that one whatever it is told otherwise.
    Test,
}

/// Where a message is sent: `http` or `https`, a host, and what stands behind it. What stands there is a secret with some, so
/// it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    uri: Uri,
    host: Arc<str>,
    https: bool,
}

/// Why a text is not a webhook's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Something else.
    #[error("http or https, a host and a path")]
    NoUrl,
    /// A user, perhaps with a password.
    #[error("a user stands before the host")]
    User,
    /// What stands behind `#`.
    #[error("what stands behind # is never sent")]
    Fragment,
}

impl WebhookConfig {
    /// Whether it is told about a topic that concerns a service of this team, or no single service.
    pub fn wants(&self, topic: Topic, team: Option<&str>) -> bool {
        let is_theirs = self
            .teams
            .as_ref()
            .is_none_or(|teams| team.is_some_and(|team| teams.iter().any(|other| **other == *team)));
        self.topics.contains(&topic) && is_theirs
    }

    /// Files that are read for each message.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let url = match &self.target {
            Target::Url(_) => None,
            Target::File(file) => Some(file),
        };
        self.kind.files().chain(url)
    }
}

impl WebhookKind {
    /// As files and people name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CloudEvents { .. } => "cloudevents",
            Self::Slack => "slack",
            Self::PagerDuty { .. } => "pagerduty",
        }
    }

    /// The files of its keys.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = match self {
            Self::CloudEvents { secret, bearer } => [secret.as_ref(), bearer.as_ref()],
            Self::Slack => [None, None],
            Self::PagerDuty { routing_key } => [Some(routing_key), None],
        };
        files.into_iter().flatten()
    }

    /// Whether it is told also of each of several reverts that the fleet guard tells of in one: programs are, and people are not
    /// woken once more.
    pub(crate) fn hears_of_each(&self) -> bool {
        matches!(self, Self::CloudEvents { .. })
    }

    /// Whether it is to know that a trouble has passed: it has incidents, which are open until then.
    pub(crate) fn hears_of_the_end(&self) -> bool {
        matches!(self, Self::PagerDuty { .. })
    }

    /// Whether something secret is sent along, or the URL is a secret itself.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Self::Slack) || self.files().next().is_some()
    }

    /// Whether it is told about a topic unless its section says otherwise. Nobody is to be woken by good news.
    pub(super) fn hears_of(&self, topic: Topic) -> bool {
        match topic {
            Topic::WeightChanged | Topic::RightsChanged | Topic::Test => false,
            Topic::RampStep | Topic::RampEnded | Topic::ApprovalWanted => {
                !matches!(self, Self::PagerDuty { .. })
            }
            Topic::Reverted
            | Topic::Released
            | Topic::PromiseBroken
            | Topic::ConfigRefused
            | Topic::CertificateEnding
            | Topic::CertificateRefused
            | Topic::FleetGuard
            | Topic::Advised
            | Topic::NoRoom
            | Topic::NotWritten
            | Topic::Unreadable
            // A key that was to be revoked still opens.
            | Topic::RightsRefused => true,
        }
    }
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 18] = [
        Topic::Reverted,
        Topic::Released,
        Topic::RampStep,
        Topic::RampEnded,
        Topic::PromiseBroken,
        Topic::ConfigRefused,
        Topic::CertificateEnding,
        Topic::CertificateRefused,
        Topic::FleetGuard,
        Topic::Advised,
        Topic::NoRoom,
        Topic::NotWritten,
        Topic::Unreadable,
        Topic::RightsRefused,
        Topic::RightsChanged,
        Topic::ApprovalWanted,
        Topic::WeightChanged,
        Topic::Test,
    ];

    /// As files and messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Topic::Reverted => "reverted",
            Topic::Released => "released",
            Topic::RampStep => "ramp-step",
            Topic::RampEnded => "ramp-ended",
            Topic::PromiseBroken => "promise-broken",
            Topic::ConfigRefused => "config-refused",
            Topic::CertificateEnding => "certificate-ending",
            Topic::CertificateRefused => "certificate-refused",
            Topic::FleetGuard => "fleet-guard",
            Topic::Advised => "advised",
            Topic::NoRoom => "no-room",
            Topic::NotWritten => "not-written",
            Topic::Unreadable => "unreadable",
            Topic::RightsRefused => "rights-refused",
            Topic::RightsChanged => "rights-changed",
            Topic::ApprovalWanted => "approval-wanted",
            Topic::WeightChanged => "weight-changed",
            Topic::Test => "test",
        }
    }

    /// The topic of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text)
    }
}

impl WebhookUrl {
    /// Reads a URL, with whatever space around it.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let text = text.trim();
        if text.contains('#') {
            return Err(UrlFault::Fragment);
        }
        let uri = text.parse::<Uri>().map_err(|_| UrlFault::NoUrl)?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) | None => return Err(UrlFault::NoUrl),
        };
        let authority = uri.authority().ok_or(UrlFault::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(UrlFault::User);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let has_port = authority.as_str().len() > authority.host().len();
        let is_whole = !has_port || authority.port_u16().is_some_and(|port| port != 0);
        if !is_whole || !(is_name(&host) || host.parse::<IpAddr>().is_ok()) {
            return Err(UrlFault::NoUrl);
        }
        Ok(Self { host: host.into(), https, uri })
    }

    /// The whole of it, secrets and all.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether nobody on the way can read what is sent there.
    pub fn is_private(&self) -> bool {
        let host = self.host.trim_end_matches('.');
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.https || is_here
    }
}

/// Without the path, which is a secret with some.
impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", if self.https { "https" } else { "http" })
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Url(url) => url.fmt(f),
            Target::File(path) => write!(f, "as {} says", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_a_host_and_what_stands_behind_it() {
        for (text, shown, private) in [
            ("https://hooks.slack.com/services/T0/B0/x?y=z", "https://hooks.slack.com", true),
            (" https://events.pagerduty.com/v2/enqueue\n", "https://events.pagerduty.com", true),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443", true),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9", true),
            ("http://[::1]:9/", "http://[::1]:9", true),
            ("http://LocalHost:9", "http://LocalHost:9", true),
            ("http://relay.internal/x", "http://relay.internal", false),
            ("http://10.0.0.1/x", "http://10.0.0.1", false),
            ("http://127.0.0.1.evil.example/x", "http://127.0.0.1.evil.example", false),
        ] {
            let url = WebhookUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.is_private()), (shown, private), "{text}");
            assert_eq!(format!("{url:?}"), shown, "nobody is shown the path");
        }
        for (text, fault) in [
            ("", UrlFault::NoUrl),
            ("hooks.slack.com/services", UrlFault::NoUrl),
            ("ftp://a.example/x", UrlFault::NoUrl),
            ("https://a b/x", UrlFault::NoUrl),
            ("https:///x", UrlFault::NoUrl),
            ("https://a:0/x", UrlFault::NoUrl),
            ("https://a:99999/x", UrlFault::NoUrl),
            ("https://a:/x", UrlFault::NoUrl),
            ("https://me:pw@a.example/x", UrlFault::User),
            ("https://a.example/x#y", UrlFault::Fragment),
        ] {
            assert_eq!(WebhookUrl::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_webhook_of_teams_hears_of_their_services_and_of_nothing_else() {
        let teams = |names: &[&str]| Some(names.iter().map(|name| Arc::from(*name)).collect());
        let with = |teams| WebhookConfig {
            name: "a".into(),
            target: Target::Url(WebhookUrl::parse("https://a.example").unwrap()),
            kind: WebhookKind::Slack,
            topics: [Topic::Reverted, Topic::ConfigRefused].into(),
            teams,
            tls: None,
        };
        let (all, theirs) = (with(None), with(teams(&["one", "two"])));
        assert!(all.wants(Topic::Reverted, Some("three")) && all.wants(Topic::ConfigRefused, None));
        assert!(theirs.wants(Topic::Reverted, Some("two")));
        assert!(!theirs.wants(Topic::Reverted, Some("three")) && !theirs.wants(Topic::ConfigRefused, None));
        assert!(!all.wants(Topic::Released, Some("one")));
    }

    #[test]
    fn every_topic_has_a_name_of_its_own() {
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.as_str()), Some(topic));
        }
        assert_eq!(Topic::parse("nonsense"), None);
    }

    #[test]
    fn nobody_is_woken_by_good_news() {
        let pagerduty = WebhookKind::PagerDuty { routing_key: "key".into() };
        let heard = |kind: &WebhookKind| Topic::ALL.into_iter().filter(|t| kind.hears_of(*t)).count();
        assert_eq!((heard(&WebhookKind::Slack), heard(&pagerduty)), (15, 12));
        assert!(pagerduty.hears_of(Topic::Released), "it ends what a revert began");
        assert!(pagerduty.hears_of(Topic::RightsRefused), "a key that was to be revoked still opens");
    }
}
