use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tracing::error;

use crate::control::{Handle, Reader};

use super::caller::Peer;
use super::routes::{Shared, router};

/// What the admin interface is made from.
pub(crate) struct AdminSeed {
    pub(crate) control: Handle,
    pub(crate) history: Reader,
    pub(crate) ready: Arc<AtomicBool>,
    /// Whether there is something to go by for every service.
    pub(crate) known: Arc<AtomicBool>,
    pub(crate) tcp: std::net::TcpListener,
    pub(crate) unix: std::os::unix::net::UnixListener,
    pub(crate) socket: PathBuf,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Who follows events is let go after this at the end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts the admin interface on a thread of its own: what people ask takes nothing from requests.
pub(crate) fn start(seed: AdminSeed) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                runtime.block_on(serve(seed));
                runtime.shutdown_timeout(LAST_WORDS);
            }
            Err(error) => error!(%error, "the admin interface cannot start"),
        }
    })
}

async fn serve(seed: AdminSeed) {
    let AdminSeed { control, history, ready, known, tcp, unix, socket, mut stop } = seed;
    let router = router(Shared { control, history, ready, known });
    let serving = async {
        tokio::join!(serve_tcp(tcp, router.clone()), serve_unix(unix, router));
    };
    tokio::select! {
        () = serving => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Whoever comes next finds no socket rather than one that nobody answers.
    let _ = std::fs::remove_file(socket);
}

async fn serve_tcp(listener: std::net::TcpListener, router: Router) {
    let served = match TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        error!(%error, "the admin interface has ended");
    }
}

async fn serve_unix(listener: std::os::unix::net::UnixListener, router: Router) {
    let served = match UnixListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        error!(%error, "the admin socket has ended");
    }
}
