use std::time::Duration;

/// What all clients together may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Connections from clients, over all workers.
    pub connections: usize,
    /// Requests without a whole answer, over all workers.
    pub in_flight: usize,
}

/// What a client of a listener may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections of all its clients, over all workers; `None` for as many as the process may have.
    pub connections: Option<u32>,
    /// Connections of one client address, or of one IPv6 network of 64 bits; `None` for any number.
    pub connections_per_client: Option<u32>,
    /// How long a request's head may take, and agreeing on TLS before the first.
    pub head: Duration,
    /// How long a connection is kept from one answer to the next request.
    pub idle: Duration,
    /// How long a client may take nothing of an answer, or be behind at `slowest`.
    pub stalled: Duration,
    /// The least bytes a second of a body that is sent, or an answer that is taken.
    pub slowest: u32,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's path and query.
    pub uri_bytes: usize,
    /// Requests at once on an HTTP/2 connection.
    pub streams: u32,
    /// Requests on a connection, one after the other or at once, until it is closed.
    pub requests: u32,
    /// Requests of an HTTP/2 connection that the client may have given up before an answer began, past which it is
    /// closed if they are most of them.
    pub cancelled: u32,
}

/// What a service's requests may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Bytes of a request's body.
    pub body: u64,
    /// Requests in flight; `None` for any number.
    pub in_flight: Option<u32>,
    /// Requests that wait for a place among those in flight, of the service or a side.
    pub queue: u32,
    /// How long they wait.
    pub queue_wait: Duration,
    /// How many may come; `None` for any number.
    pub rate: Option<Rate>,
}

/// How many requests may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second, over a longer time.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self { connections: 20_000, in_flight: 100_000 }
    }
}

impl ProcessLimits {
    /// Each worker's share.
    pub(crate) fn shared_by(self, workers: usize) -> Self {
        Self { connections: self.connections.div_ceil(workers), in_flight: self.in_flight.div_ceil(workers) }
    }
}

impl Default for ListenerLimits {
    /// Safe at the edge, and in nobody's way.
    fn default() -> Self {
        Self {
            connections: None,
            connections_per_client: None,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stalled: Duration::from_mins(1),
            slowest: 240,
            header_bytes: 64 << 10,
            headers: 100,
            uri_bytes: 16 << 10,
            streams: 250,
            requests: 100_000,
            cancelled: 500,
        }
    }
}

impl Default for ServiceLimits {
    /// Bodies stream through, so large ones harm nobody here; and nobody knows what a service can take but its team.
    fn default() -> Self {
        Self { body: u64::MAX, in_flight: None, queue: 1_000, queue_wait: Duration::from_secs(1), rate: None }
    }
}
