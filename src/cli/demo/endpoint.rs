use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A small HTTP server that answers as it is told to. It lives on one thread.
pub(in crate::cli) struct Endpoint {
    address: SocketAddr,
    shared: Rc<Shared>,
    serving: RefCell<Option<JoinSet<()>>>,
}

struct Shared {
    name: String,
    behaviour: Cell<Behaviour>,
    rng: RefCell<fastrand::Rng>,
}

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::cli) struct Behaviour {
    /// The median time that an answer takes, in milliseconds; the slowest in a hundred takes three times that.
    pub(in crate::cli) delay_ms: f64,
    /// The share of requests that fail, 0 to 1 …
    pub(in crate::cli) failures: f64,
    /// … with this status.
    pub(in crate::cli) status: u16,
    /// Takes requests and never answers.
    pub(in crate::cli) hang: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { delay_ms: 0.0, failures: 0.0, status: 500, hang: false }
    }
}

/// A request to this path sets the behaviour: `PUT` with a JSON body.
const BEHAVE: &str = "/-/behave";
/// The largest body that is read as an order.
const MOST_ORDER_BYTES: usize = 4_096;
/// The spread of delays: the slowest in a hundred then takes three times the median.
const SPREAD: f64 = 0.47;

impl Endpoint {
    /// Begins to listen. Call on a runtime that runs local tasks.
    pub(in crate::cli) fn start(address: SocketAddr, name: &str, behaviour: Behaviour) -> io::Result<Self> {
        let shared = Rc::new(Shared {
            name: name.to_owned(),
            behaviour: Cell::new(behaviour),
            rng: RefCell::new(fastrand::Rng::new()),
        });
        let (address, serving) = serve(address, shared.clone())?;
        Ok(Self { address, shared, serving: RefCell::new(Some(serving)) })
    }

    /// Where it listens.
    pub(in crate::cli) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers like this from here on.
    pub(in crate::cli) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.set(behaviour);
    }

    /// Is gone: its connections break off, and new ones are refused.
    pub(in crate::cli) fn kill(&self) {
        self.serving.borrow_mut().take();
    }
}

/// Listens and serves until the tasks are dropped.
fn serve(address: SocketAddr, shared: Rc<Shared>) -> io::Result<(SocketAddr, JoinSet<()>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let _ = stream.set_nodelay(true);
                    let shared = shared.clone();
                    connections.spawn_local(async move {
                        let answers = service_fn(|request| answer(shared.clone(), request));
                        let server = auto::Builder::new(LocalTasks);
                        // A connection that breaks off is its client's business.
                        let _ = server.serve_connection(TokioIo::new(stream), answers).await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok((address, tasks))
}

#[derive(Clone, Copy)]
struct LocalTasks;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

async fn answer(shared: Rc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == BEHAVE && request.method() == Method::PUT {
        return Ok(obey(&shared, request).await);
    }
    let path = request.uri().path().to_owned();
    let behaviour = shared.behaviour.get();
    if behaviour.hang {
        std::future::pending::<()>().await;
    }
    let received = match request.into_body().collect().await {
        Ok(body) => body.to_bytes().len(),
        Err(_) => return Ok(text(StatusCode::BAD_REQUEST, "the body broke off\n")),
    };
    let (fails, delay) = {
        let mut rng = shared.rng.borrow_mut();
        let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        (rng.f64() < behaviour.failures, behaviour.delay_ms * (SPREAD * normal).exp())
    };
    if delay > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(delay / 1e3)).await;
    }
    let status = if fails { StatusCode::from_u16(behaviour.status) } else { Ok(StatusCode::OK) };
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!("{{\"endpoint\":\"{}\",\"path\":{path:?},\"received\":{received}}}\n", shared.name);
    let mut response = text(status, body);
    if let Ok(name) = http::HeaderValue::try_from(shared.name.as_str()) {
        response.headers_mut().insert("x-endpoint", name);
    }
    Ok(response)
}

async fn obey(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), MOST_ORDER_BYTES).collect().await;
    let order = body.map_err(|error| error.to_string()).and_then(|body| {
        serde_json::from_slice::<Behaviour>(&body.to_bytes()).map_err(|error| error.to_string())
    });
    match order {
        Ok(behaviour) => {
            shared.behaviour.set(behaviour);
            text(StatusCode::OK, "so be it\n")
        }
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
