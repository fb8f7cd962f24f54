//! Kubernetes fails under load, in every mix of protocols, and is not taken back: what is promised of each request.
//!
//! - Of GETs, and of calls of methods that are marked safe, none fails, as long as no byte of an answer has come.
//! - An answer that has begun cannot be taken back: its client sees that it is broken, and it is counted so.
//! - A POST reaches one endpoint, once; one that reached none is sent on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Answer, Code, Endpoint, answer, grpc};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

const CLIENTS: usize = 12;
const WHOLE: &str = "all that there is to say";
const PART: &str = "all that there";
const K_FAILED: &[&str] = &["side=\"kubernetes\"", "fault=\"side\""];

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Get,
    /// A gRPC call of a method that is marked safe.
    Call,
    Post,
}

/// What a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Good,
    Failed(u16),
    /// An answer that broke off.
    Broken,
    /// An answer that looks whole, and is not.
    Wrong,
}

/// What Kubernetes' endpoints do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answer,
    /// They keep it until they do something else.
    Hold,
    /// They reset its connection.
    Reset,
    /// They answer every other one with 503.
    Busy,
    /// They break off once the client has begun to read.
    Break,
}

/// Every request that reached an endpoint, by its id.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Default)]
struct Entry {
    times: usize,
    /// Its client has begun to read an answer.
    read: Arc<Notify>,
}

impl Ledger {
    fn came(&self, id: &str) -> Arc<Notify> {
        let mut entries = self.0.lock().unwrap();
        let entry = entries.entry(id.to_owned()).or_default();
        entry.times += 1;
        entry.read.clone()
    }

    fn is_read(&self, id: &str) {
        self.0.lock().unwrap().entry(id.to_owned()).or_default().read.notify_one();
    }

    fn times(&self, id: &str) -> usize {
        self.0.lock().unwrap().get(id).map_or(0, |entry| entry.times)
    }
}

/// An endpoint, and what it has to know.
#[derive(Clone)]
struct Orders {
    ledger: Ledger,
    does: watch::Receiver<Does>,
    asked: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    /// Where gRPC answers tell their code: trailers pass over HTTP/2 without further ado.
    code: Code,
}

impl Orders {
    async fn start(self) -> Endpoint {
        Endpoint::raw(move |stream| {
            let orders = self.clone();
            async move {
                // However it ends, it is reset.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                let reset = Arc::new(Notify::new());
                let service = service_fn(|request| {
                    let answered = orders.clone().answer(request, reset.clone());
                    answered.map(Ok::<_, Infallible>)
                });
                let server = auto::Builder::new(TokioExecutor::new());
                tokio::select! {
                    _ = server.serve_connection(TokioIo::new(stream), service) => {}
                    () = reset.notified() => {}
                }
            }
        })
        .await
    }

    async fn answer(mut self, request: Request<Incoming>, reset: Arc<Notify>) -> Answer {
        let id = request.headers()["x-id"].to_str().unwrap().to_owned();
        let (read, is_call) = (self.ledger.came(&id), request.headers().contains_key("content-type"));
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if request.into_body().collect().await.is_err() {
            return answer(400, "broken");
        }
        if *self.does.borrow() == Does::Hold {
            self.held.fetch_add(1, Ordering::Relaxed);
            let _ = self.does.wait_for(|does| *does != Does::Hold).await;
        }
        let does = *self.does.borrow();
        match does {
            Does::Break => broken(read, is_call, number.is_multiple_of(2)),
            Does::Busy if number.is_multiple_of(2) => answer(503, "busy"),
            Does::Answer | Does::Busy if is_call => grpc(self.code),
            Does::Answer | Does::Busy => answer(200, WHOLE),
            Does::Reset | Does::Hold => {
                reset.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// An answer that breaks off when its client has read its beginning.
fn broken(read: Arc<Notify>, is_call: bool, is_counted: bool) -> Answer {
    let first = stream::once(async { Ok(Frame::data(Bytes::from_static(PART.as_bytes()))) });
    let then = stream::once(async move {
        read.notified().await;
        Err(std::io::Error::other("broken off"))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(first.chain(then))));
    if is_call {
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    } else if is_counted {
        response.headers_mut().insert("content-length", WHOLE.len().into());
    }
    response
}

/// A service at weight 50 that no judge looks after, and its clients.
struct World {
    proxy: Proxy,
    ledger: Ledger,
    does: watch::Sender<Does>,
    held: Arc<AtomicUsize>,
    kubernetes: Vec<Endpoint>,
    _helios: (Endpoint, watch::Sender<Does>),
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<(Kind, String, Got)>>,
}

/// Every mix of protocols: the clients', the endpoints'.
const MIXES: [(Over, &str); 4] =
    [(Over::Http1, "http/1.1"), (Over::Http1, "http/2"), (Over::Http2, "http/1.1"), (Over::Http2, "http/2")];

impl World {
    async fn start((over, protocol): (Over, &'static str), header: &str) -> Self {
        let ledger = Ledger::default();
        let ((does, told), (calm, stays)) = (watch::channel(Does::Answer), watch::channel(Does::Answer));
        let is_http2 = over == Over::Http2 && protocol == "http/2";
        let code = if is_http2 { Code::InTrailers("0") } else { Code::InHead("0") };
        let orders =
            Orders { ledger: ledger.clone(), does: told, asked: Arc::default(), held: Arc::default(), code };
        let held = orders.held.clone();
        let kubernetes = vec![orders.clone().start().await, orders.clone().start().await];
        let helios = Orders { does: stays, ..orders }.start().await;
        let rest = format!(
            "[judge]\nmode = \"off\"\n[timeouts]\nheader = {header:?}\n[rescue]\ngrpc = [\"shop.Cart/Get\"]\n"
        );
        let mut service =
            Service::new("a").weight(50.0).helios(helios.address).protocols(protocol, protocol).rest(&rest);
        for endpoint in &kubernetes {
            service = service.kubernetes(endpoint.address);
        }
        let proxy = Proxy::start(&[service]);
        let (done, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for name in 0..CLIENTS {
            let asks =
                Asks { address: proxy.address, over, name, ledger: ledger.clone(), done: done.clone() };
            clients.spawn(asks.until(stop.clone()));
        }
        let helios = (helios, calm);
        let world = Self { proxy, ledger, does, held, kubernetes, _helios: helios, done, stop, clients };
        world.more(20 * CLIENTS).await;
        world
    }

    /// Waits until so many more requests have ended.
    async fn more(&self, count: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + count;
        eventually("requests end", async || self.done.load(Ordering::Relaxed) >= wanted).await;
    }

    /// Waits until every client has a request that Kubernetes holds.
    async fn hold(&self) {
        self.does.send_replace(Does::Hold);
        let held = async || self.held.load(Ordering::Relaxed) >= CLIENTS;
        eventually("every client waits for Kubernetes", held).await;
    }

    /// Lets the clients finish. No POST has been sent twice, and none that was answered not at all.
    async fn end(mut self) -> (Vec<(Kind, String, Got)>, Proxy, Ledger) {
        self.stop.store(true, Ordering::Relaxed);
        let all: Vec<_> = self.clients.join_all().await.concat();
        for (kind, id, got) in &all {
            let times = self.ledger.times(id);
            let (least, most) = match (kind, got) {
                (Kind::Post, Got::Failed(_)) => (0, 1),
                (Kind::Post, _) | (_, Got::Broken) => (1, 1),
                // A connection that was closed before, perhaps, and then Helios.
                _ => (1, 3),
            };
            assert!((least..=most).contains(&times), "{kind:?} {got:?} reached endpoints {times} times");
            assert_ne!(*got, Got::Wrong, "{kind:?}");
        }
        self.kubernetes.clear();
        (all, self.proxy, self.ledger)
    }

    /// The same, and whoever may be asked again has noticed nothing.
    async fn end_well(self) -> Vec<u16> {
        let (all, proxy, _) = self.end().await;
        let mut failures = Vec::new();
        for (kind, _, got) in &all {
            match (kind, got) {
                (_, Got::Good) => {}
                (Kind::Post, Got::Failed(status)) => failures.push(*status),
                _ => panic!("{kind:?} {got:?}"),
            }
        }
        eventually("Kubernetes has failed, and Helios has rescued", async || {
            proxy.metric("switchback_tries_total", K_FAILED).await > 0.0
                && proxy.metric("switchback_rescues_total", &["result=\"rescued\""]).await > 0.0
        })
        .await;
        failures
    }
}

/// A client that asks one request after the other.
struct Asks {
    address: SocketAddr,
    over: Over,
    name: usize,
    ledger: Ledger,
    done: Arc<AtomicUsize>,
}

impl Asks {
    async fn until(self, stop: Arc<AtomicBool>) -> Vec<(Kind, String, Got)> {
        let mut client = Client::connect(self.address, self.over).await;
        let mut all = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let kind = [Kind::Get, Kind::Call, Kind::Post][all.len() % 3];
            let id = format!("{}-{}", self.name, all.len());
            let got = self.ask(&mut client, kind, &id).await;
            if got == Got::Broken {
                client = Client::connect(self.address, self.over).await;
            }
            all.push((kind, id, got));
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        all
    }

    fn request(&self, kind: Kind, id: &str) -> Request<Full<Bytes>> {
        let (method, path, body) = match kind {
            Kind::Get => (Method::GET, "/", ""),
            Kind::Call => (Method::POST, "/shop.Cart/Get", "\0\0\0\0\x02hi"),
            Kind::Post => (Method::POST, "/orders", "an order"),
        };
        let mut request = request(self.over, method, "a.test", path, body);
        request.headers_mut().insert("x-id", id.parse().unwrap());
        if kind == Kind::Call {
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        }
        request
    }

    async fn ask(&self, client: &mut Client, kind: Kind, id: &str) -> Got {
        let Ok(response) = client.begin(self.request(kind, id)).await else { return Got::Broken };
        let (head, mut body) = response.into_parts();
        let (mut text, mut code) = (Vec::new(), head.headers.get("grpc-status").cloned());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Got::Broken };
            if let Some(trailers) = frame.trailers_ref() {
                code = trailers.get("grpc-status").cloned();
            }
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
                self.ledger.is_read(id);
            }
        }
        match (kind, head.status.as_u16(), code) {
            (Kind::Call, 200, Some(code)) if code == "0" => Got::Good,
            (Kind::Call, 200, Some(_)) => Got::Failed(200),
            (Kind::Get | Kind::Post, 200, None) if text == WHOLE.as_bytes() => Got::Good,
            (_, 200, _) => Got::Wrong,
            (_, status, _) => Got::Failed(status),
        }
    }
}

/// In every mix at once.
async fn in_every_mix(check: impl AsyncFn((Over, &'static str))) {
    join_all(MIXES.iter().map(|mix| check(*mix))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_is_killed_while_every_client_waits_for_it() {
    in_every_mix(async |mix| {
        let mut world = World::start(mix, "20s").await;
        world.hold().await;
        world.kubernetes.clear();
        world.more(20 * CLIENTS).await;
        let failures = world.end_well().await;
        assert!(failures.iter().all(|status| *status == 502), "{mix:?} {failures:?}");
        assert!(failures.len() <= CLIENTS, "{mix:?}: what could not be sent is sent to Helios");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_resets_every_connection_before_the_first_byte_of_an_answer() {
    in_every_mix(async |mix| {
        let world = World::start(mix, "20s").await;
        world.hold().await;
        world.does.send_replace(Does::Reset);
        world.more(20 * CLIENTS).await;
        let failures = world.end_well().await;
        assert!(failures.iter().all(|status| *status == 502), "{mix:?} {failures:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_hangs() {
    in_every_mix(async |mix| {
        let world = World::start(mix, "2s").await;
        world.hold().await;
        world.more(2 * CLIENTS).await;
        let failures = world.end_well().await;
        assert!(failures.iter().all(|status| *status == 504), "{mix:?} {failures:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_answers_every_other_request_with_503() {
    in_every_mix(async |mix| {
        let world = World::start(mix, "20s").await;
        world.does.send_replace(Does::Busy);
        world.more(40 * CLIENTS).await;
        let failures = world.end_well().await;
        assert!(failures.iter().all(|status| *status == 503), "{mix:?} {failures:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_breaks_off_answers_that_have_begun_and_none_looks_whole() {
    in_every_mix(async |mix| {
        let world = World::start(mix, "20s").await;
        world.does.send_replace(Does::Break);
        world.more(40 * CLIENTS).await;
        let (all, proxy, _) = world.end().await;
        let broken = all.iter().filter(|(_, _, got)| *got == Got::Broken).count();
        assert!(broken >= CLIENTS, "{mix:?}: {broken}");
        assert!(all.iter().all(|(_, _, got)| matches!(got, Got::Broken | Got::Good)), "{mix:?}");
        let truncated = ["side=\"kubernetes\"", "outcome=\"truncated\""];
        proxy.counted("switchback_tries_total", &truncated, broken as f64).await;
        proxy.counted("switchback_rescues_total", &["result=\"unrescued\""], broken as f64).await;
        proxy.counted("switchback_tries_total", K_FAILED, broken as f64).await;
    })
    .await;
}
