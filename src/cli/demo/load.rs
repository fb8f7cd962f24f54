use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::Clock;
use crate::model::{Micros, PerSide, Side};

/// Asks the proxy at a steady rate, however long answers take, and remembers how each ended.
pub(super) struct Load {
    target: SocketAddr,
    host: String,
    clock: Clock,
    idle: RefCell<Vec<http1::SendRequest<Empty<Bytes>>>>,
    seen: RefCell<Seen>,
}

/// What clients saw since the last look.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Latencies by the side that answered, in microseconds.
    pub(super) latencies: PerSide<Vec<u64>>,
    /// Requests without an answer, or with one of 500 or more.
    pub(super) failed: u64,
}

/// How often requests are sent out: several at once, so that a thousand a second need no thousand timers.
const PULSE: Duration = Duration::from_millis(10);
/// A client that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Load {
    pub(super) fn new(target: SocketAddr, host: &str) -> Rc<Self> {
        let (idle, seen) = (RefCell::default(), RefCell::default());
        Rc::new(Self { target, host: host.to_owned(), clock: Clock::start(), idle, seen })
    }

    /// Sends `per_second` requests a second for as long as it is polled.
    pub(super) async fn run(self: Rc<Self>, per_second: u32) {
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut due = 0.0;
        loop {
            pulse.tick().await;
            due += f64::from(per_second) * PULSE.as_secs_f64();
            while due >= 1.0 {
                due -= 1.0;
                tokio::task::spawn_local(self.clone().one());
            }
        }
    }

    /// What was seen since the last look.
    pub(super) fn look(&self) -> Seen {
        self.seen.take()
    }

    async fn one(self: Rc<Self>) {
        let begun = self.clock.micros();
        let answered = timeout(PATIENCE, self.ask()).await.ok().flatten();
        let took = self.clock.micros().since(begun);
        let mut seen = self.seen.borrow_mut();
        match answered {
            Some((status, side)) if status.as_u16() < 500 => seen.latencies[side].push(micros(took)),
            Some(_) | None => seen.failed += 1,
        }
    }

    /// One request; `None` if it got no whole answer.
    async fn ask(&self) -> Option<(StatusCode, Side)> {
        let idle = self.idle.borrow_mut().pop().filter(http1::SendRequest::is_ready);
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request =
            Request::builder().uri("/v1/tracks").header("host", &self.host).body(Empty::new()).ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let by_kubernetes = response
            .headers()
            .get("x-endpoint")
            .and_then(|name| name.to_str().ok())
            .is_some_and(|name| name.starts_with(Side::Kubernetes.as_str()));
        let side = if by_kubernetes { Side::Kubernetes } else { Side::Helios };
        response.into_body().collect().await.ok()?;
        self.idle.borrow_mut().push(sender);
        Some((status, side))
    }

    async fn connect(&self) -> Option<http1::SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.target).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Some(sender)
    }
}

impl Seen {
    /// The latency in milliseconds that this share of a side's answers did not exceed.
    pub(super) fn quantile_ms(&mut self, side: Side, share: f64) -> Option<f64> {
        let latencies = &mut self.latencies[side];
        let last = latencies.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let rank = ((last as f64) * share) as usize;
        let (_, value, _) = latencies.select_nth_unstable(rank);
        Some(*value as f64 / 1e3)
    }
}

fn micros(time: Micros) -> u64 {
    time.0
}
