use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tracing::error;

use crate::clock::Clock;
use crate::config::{AdminConfig, LoadedRights};
use crate::control::{Handle, Reader};
use crate::tls::Acceptor;

use super::access::{Follower, Gate};
use super::listen::{over_tcp, over_unix};
use super::routes::{Shared, router};

/// What the admin interface is made from.
pub(crate) struct AdminSeed {
    pub(crate) clock: Clock,
    pub(crate) control: Handle,
    pub(crate) history: Reader,
    pub(crate) ready: Arc<AtomicBool>,
    /// Whether there is something to go by for every service.
    pub(crate) known: Arc<AtomicBool>,
    pub(crate) tcp: std::net::TcpListener,
    pub(crate) unix: std::os::unix::net::UnixListener,
    pub(crate) config: AdminConfig,
    /// The rights file and what it says; `None` if everybody may do everything.
    pub(crate) rights: Option<(PathBuf, LoadedRights)>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Who follows events is let go after this at the end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts the admin interface on a thread of its own: what people ask takes nothing from requests.
pub(crate) fn start(seed: AdminSeed) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                runtime.block_on(serve(seed));
                runtime.shutdown_timeout(LAST_WORDS);
            }
            Err(error) => error!(%error, "the admin interface cannot start"),
        }
    })
}

async fn serve(seed: AdminSeed) {
    let AdminSeed { clock, control, history, ready, known, tcp, unix, config, rights, mut stop } = seed;
    let follower = rights.map(|(path, loaded)| Follower::new(path, loaded, clock, control.clone()));
    let in_force = follower.as_ref().map(Follower::in_force);
    let gate = Arc::new(Gate::new(clock, control.clone(), in_force));
    let router = router(Shared { control, history, ready, known, gate: gate.clone() });
    let serving = async {
        let following = async {
            if let Some(follower) = follower {
                follower.run(gate).await;
            }
        };
        tokio::join!(serve_tcp(tcp, config.tls, router.clone()), serve_unix(unix, router), following);
    };
    tokio::select! {
        () = serving => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Whoever comes next finds no socket rather than one that nobody answers.
    let _ = std::fs::remove_file(config.socket);
}

async fn serve_tcp(listener: std::net::TcpListener, tls: Option<Arc<Acceptor>>, router: Router) {
    match TcpListener::from_std(listener) {
        Ok(listener) => over_tcp(listener, tls, router).await,
        Err(error) => error!(%error, "the admin interface has ended"),
    }
}

async fn serve_unix(listener: std::os::unix::net::UnixListener, router: Router) {
    match UnixListener::from_std(listener) {
        Ok(listener) => over_unix(listener, router).await,
        Err(error) => error!(%error, "the admin socket has ended"),
    }
}
