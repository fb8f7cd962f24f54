use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::sleep;
use tracing::debug;

use crate::clock::Clock;
use crate::model::Millis;

use super::ask::ask;
use super::failure::Failure;
use super::rota::{Errand, Rota, Serial};
use super::{Checks, Found, Opinion};

/// Makes the checks that are wanted, when their turn comes, and tells what is news.
pub(super) async fn run(
    clock: Clock,
    mut wanted: watch::Receiver<Arc<[Checks]>>,
    tell: mpsc::Sender<Vec<Opinion>>,
) {
    let (mut rota, mut running) = (Rota::default(), Running::default());
    let checks = wanted.borrow_and_update().clone();
    rota.follow(&checks, clock.millis());
    loop {
        for errand in rota.begin(clock.millis()) {
            running.start(errand);
        }
        let mut news = Vec::new();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let checks = wanted.borrow_and_update().clone();
                for serial in rota.follow(&checks, clock.millis()) {
                    running.cut_off(serial);
                }
            }
            (serial, found) = running.ended() => {
                news.extend(rota.end_check(serial, found, clock.millis(), fastrand::f64()));
                // Those that ended meanwhile are told with it.
                while let Some((serial, found)) = running.ended_already() {
                    news.extend(rota.end_check(serial, found, clock.millis(), fastrand::f64()));
                }
            }
            () = turn(clock, rota.next()) => {}
        }
        if !news.is_empty() && tell.send(news).await.is_err() {
            return;
        }
    }
}

async fn turn(clock: Clock, next: Option<Millis>) {
    match next {
        Some(next) => sleep(Duration::from_millis(next.since(clock.millis()).0)).await,
        None => pending().await,
    }
}

/// The checks under way. Dropped, they are cut off.
#[derive(Default)]
struct Running {
    tasks: JoinSet<(Serial, Option<Found>)>,
    handles: HashMap<Serial, AbortHandle>,
}

impl Running {
    fn start(&mut self, errand: Errand) {
        let serial = errand.serial;
        let handle = self.tasks.spawn_local(async move {
            let found = found(&errand, ask(&errand).await);
            (errand.serial, found)
        });
        self.handles.insert(serial, handle);
    }

    fn cut_off(&mut self, serial: Serial) {
        if let Some(handle) = self.handles.remove(&serial) {
            handle.abort();
        }
    }

    /// The next one that ends.
    async fn ended(&mut self) -> (Serial, Option<Found>) {
        loop {
            match self.tasks.join_next().await {
                Some(ended) => {
                    if let Some(ended) = self.note(ended) {
                        return ended;
                    }
                }
                None => pending().await,
            }
        }
    }

    fn ended_already(&mut self) -> Option<(Serial, Option<Found>)> {
        loop {
            let ended = self.tasks.try_join_next()?;
            if let Some(ended) = self.note(ended) {
                return Some(ended);
            }
        }
    }

    /// What has become of a check; `None` if it was cut off. One that panicked has found nothing.
    fn note(&mut self, ended: Result<(Serial, Option<Found>), JoinError>) -> Option<(Serial, Option<Found>)> {
        match ended {
            Ok((serial, found)) => {
                self.handles.remove(&serial);
                Some((serial, found))
            }
            Err(error) => {
                let (serial, _) = self.handles.iter().find(|(_, handle)| handle.id() == error.id())?;
                let serial = *serial;
                self.handles.remove(&serial);
                Some((serial, None))
            }
        }
    }
}

/// What is learned of an endpoint; nothing from our own trouble.
fn found(errand: &Errand, asked: Result<(), Failure>) -> Option<Found> {
    match asked {
        Ok(()) => Some(Ok(())),
        Err(failure) if failure.is_ours() => {
            debug!(endpoint = %errand.address, %failure, "an endpoint could not be checked");
            None
        }
        Err(failure) => Some(Err(failure.to_string().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::{Server, on_one_thread, status};
    use super::super::start;
    use super::*;
    use std::cell::Cell;
    use std::net::SocketAddr;
    use std::rc::Rc;

    use tokio::io::AsyncReadExt;
    use tokio::sync::oneshot;

    use crate::config::{CheckConfig, CheckKind, Protocol};
    use crate::model::{Endpoint, Side, Statuses};
    use crate::snapshot::ServiceId;

    fn checks(address: SocketAddr) -> Checks {
        let statuses = Statuses::default().with(200..=399);
        let config = CheckConfig {
            kind: CheckKind::Http { path: "/healthz".parse().unwrap(), statuses },
            host: None,
            protocol: Protocol::Http1,
            proxy_protocol: None,
            port: None,
            every: Duration::from_millis(10),
            timeout: Duration::from_mins(1),
            rise: 2,
            fall: 3,
        };
        Checks {
            service: ServiceId { slot: 0, serial: 1 },
            side: Side::Helios,
            config: Arc::new(config),
            tls: None,
            endpoints: [Endpoint::at(address.into())].into(),
        }
    }

    #[test]
    fn an_endpoint_that_falls_and_rises_is_told_of() {
        on_one_thread(async {
            let code = Rc::new(Cell::new(200));
            let shared = code.clone();
            let server = Server::http(move || status(shared.get())).await;
            let wanted = watch::Sender::new([checks(server.address)].into());
            let mut told = start(Clock::start(), wanted.subscribe()).unwrap();
            let ill = || Err("GET /healthz was answered with 503".into());
            for (next, expected) in [(503, Ok(())), (200, ill()), (503, Ok(())), (503, ill())] {
                let opinions = told.recv().await.unwrap();
                assert_eq!(opinions.len(), 1);
                assert_eq!(opinions[0].endpoint, Endpoint::at(server.address.into()));
                assert_eq!(opinions[0].well, expected);
                code.set(next);
            }
            drop(wanted);
            assert_eq!(told.recv().await, None, "it ends with who wants it");
        });
    }

    #[test]
    fn a_check_under_way_is_dropped_when_its_endpoint_leaves_and_others_go_on() {
        on_one_thread(async {
            let (asked, was_asked) = oneshot::channel();
            let (left, has_left) = oneshot::channel();
            let ends = Cell::new(Some((asked, left)));
            // The only answer that would come is later than any test waits.
            let silent = Server::raw(move |mut stream| {
                let ends = ends.take();
                async move {
                    let Some((asked, left)) = ends else { return };
                    let _ = stream.read_u8().await;
                    let _ = asked.send(());
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    let _ = left.send(());
                }
            })
            .await;
            let well = Server::http(|| status(200)).await;
            let wanted = watch::Sender::new([checks(silent.address)].into());
            let mut told = start(Clock::start(), wanted.subscribe()).unwrap();
            was_asked.await.unwrap();
            wanted.send_replace([checks(well.address)].into());
            has_left.await.unwrap();
            let opinions = told.recv().await.unwrap();
            assert_eq!(
                opinions[0].endpoint,
                Endpoint::at(well.address.into()),
                "nothing is told of the other"
            );
            assert_eq!(opinions[0].well, Ok(()));
        });
    }

    #[test]
    fn it_ends_when_nobody_listens() {
        on_one_thread(async {
            let server = Server::http(|| status(200)).await;
            let wanted = watch::Sender::new([checks(server.address)].into());
            drop(start(Clock::start(), wanted.subscribe()).unwrap());
            wanted.closed().await;
        });
    }
}
