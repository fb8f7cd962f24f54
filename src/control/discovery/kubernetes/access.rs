use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config, Error};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::{ClusterAccess, ClusterConfig};

/// How long it may take to connect to an API server.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of what a server says is told to people.
const MESSAGE: usize = 200;

/// The way to a cluster's API server, which all watches of the cluster share.
pub(super) struct Access {
    cluster: Arc<ClusterConfig>,
    opened: RefCell<Option<Opened>>,
    opens: Cell<u64>,
    /// Whether the server sends lists as watches do. It is believed to until it refuses.
    streams: Cell<bool>,
}

/// A client, and which one it is.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) client: Client,
    number: u64,
}

/// How long credentials may take.
const OPENED_IN: Duration = Duration::from_secs(20);

impl Access {
    pub(super) fn new(cluster: Arc<ClusterConfig>) -> Self {
        Self { cluster, opened: RefCell::default(), opens: Cell::new(0), streams: Cell::new(true) }
    }

    /// By a client that is there.
    #[cfg(test)]
    pub(super) fn of(cluster: Arc<ClusterConfig>, client: Client) -> Self {
        let access = Self::new(cluster);
        *access.opened.borrow_mut() = Some(Opened { client, number: 0 });
        access
    }

    pub(super) fn zone(&self) -> Option<&str> {
        self.cluster.zone.as_deref()
    }

    /// Which cluster it is, for people.
    pub(super) fn told(&self) -> String {
        match &self.cluster.access {
            ClusterAccess::InCluster => "the cluster that we run in".to_owned(),
            ClusterAccess::Kubeconfig { file, .. } => {
                format!("cluster {} by {}", self.cluster.name, file.display())
            }
        }
    }

    /// The client in use, or a new one from the files as they are now.
    pub(super) async fn open(&self) -> Result<Opened, Arc<str>> {
        if let Some(opened) = &*self.opened.borrow() {
            return Ok(opened.clone());
        }
        let (access, handle) = (self.cluster.access.clone(), Handle::current());
        // Files are read, and programs run that give credentials: other conversations go on meanwhile.
        let made = tokio::task::spawn_blocking(move || handle.block_on(client(&access)));
        // A program that gives credentials may hang.
        let made =
            timeout(OPENED_IN, made).await.map_err(|_| Arc::from("there are no credentials in time"))?;
        let client = made.map_err(|_| Arc::from("the way to the API server cannot be read"))??;
        self.opens.set(self.opens.get() + 1);
        let opened = Opened { client, number: self.opens.get() };
        *self.opened.borrow_mut() = Some(opened.clone());
        Ok(opened)
    }

    /// Reads credentials and certificates anew before the next question. The client looks at their files once a minute by itself:
    /// when a server does not know us, or we do not know it, that is too late.
    pub(super) fn renew(&self, opened: &Opened) {
        let mut known = self.opened.borrow_mut();
        if known.as_ref().is_some_and(|known| known.number == opened.number) {
            *known = None;
        }
    }

    pub(super) fn streams(&self) -> bool {
        self.streams.get()
    }

    pub(super) fn no_streams(&self) {
        self.streams.set(false);
    }
}

async fn client(access: &ClusterAccess) -> Result<Client, Arc<str>> {
    let mut config = match access {
        ClusterAccess::InCluster => Config::incluster()
            .map_err(|_| Arc::from("no service account of a cluster is here: is this a pod of it?"))?,
        ClusterAccess::Kubeconfig { file, context } => {
            let unusable =
                |error: &KubeconfigError| Arc::from(format!("{}: {}", file.display(), of_kubeconfig(error)));
            let read = Kubeconfig::read_from(file).map_err(|error| unusable(&error))?;
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| unusable(&error))?
        }
    };
    config.connect_timeout = Some(CONNECT);
    // It would try for minutes before anybody hears of trouble.
    config.default_retry = false;
    // Each call has its own bound, in `watch`.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| reason(&error))
}

/// What is wrong with a kubeconfig. Of a file that cannot be understood nothing is quoted: it has secrets.
fn of_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::CurrentContextNotSet => "no context is chosen in it".to_owned(),
        KubeconfigError::LoadContext(name) => format!("it has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster {name}"),
        _ => "not a kubeconfig that can be used".to_owned(),
    }
}

/// Why a server said nothing, for people and without secrets.
pub(super) fn reason(error: &Error) -> Arc<str> {
    let text = match error {
        Error::Api(status) => format!("{} {}", status.code, one_line(&status.message)),
        Error::Auth(_) => "credentials cannot be read".to_owned(),
        Error::Service(error) if error.is::<AuthError>() => "credentials cannot be read".to_owned(),
        Error::SerdeError(_) => "an answer that cannot be understood".to_owned(),
        other => {
            let mut deepest: &dyn std::error::Error = other;
            let mut source = other.source();
            while let Some(next) = source {
                if next.is::<AuthError>() {
                    return "credentials cannot be read".into();
                }
                (deepest, source) = (next, next.source());
            }
            one_line(&deepest.to_string())
        }
    };
    text.trim_end().into()
}

/// The status that a server answered with.
pub(super) fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|each| !each.is_control()).take(MESSAGE).collect()
}
