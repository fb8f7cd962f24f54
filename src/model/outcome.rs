/// How one request ended on the side that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was complete and was no failure.
    Ok,
    /// It failed, and this is why.
    Failed(Cause),
}

/// Whose fault a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client left, or sent what cannot be answered.
    Client,
    /// The side that the request was sent to.
    Side,
    /// Switchback itself: its limits, its configuration, its shutdown.
    Proxy,
}

impl Fault {
    /// The word for metrics and machine-readable answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Client => "client",
            Fault::Side => "side",
            Fault::Proxy => "proxy",
        }
    }
}

/// Why a request, or one try of it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The side has no endpoint at all.
    NoEndpoint,
    /// The endpoint refused the connection.
    ConnectRefused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The connection could not be made for another reason (no route, no address, handshake).
    ConnectFailed,
    /// The endpoint and Switchback do not agree on TLS: on a version, on who they are, on the protocol.
    TlsFailed,
    /// The connection ended or was reset before an answer began.
    Reset,
    /// What came back was not HTTP.
    Protocol,
    /// No answer began in time.
    HeaderTimeout,
    /// The answer said so, by a status that counts as a failure.
    Status,
    /// The answer ended before it was complete.
    Truncated,
    /// The answer fell silent before it was complete.
    IdleTimeout,
    /// The client closed the connection before the answer ended.
    ClientGone,
    /// The client's own body broke off or was malformed.
    ClientBody,
    /// The client's request body came more slowly than it may.
    BodyTimeout,
    /// The request itself cannot be served: no host, two hosts, a method that a proxy refuses.
    BadRequest,
    /// The head of the request is larger than it may be.
    HeadTooLarge,
    /// The path and query are longer than they may be.
    UriTooLong,
    /// The head of the request did not come in time.
    HeadTimeout,
    /// The body of the request is larger than it may be.
    BodyTooLarge,
    /// No service answers this host and path.
    NoService,
    /// Switchback has as much in hand as it may: requests of all services, or descriptors.
    Overloaded,
    /// The service, or the side, has as many requests in flight as it may, and no place came free in time.
    InFlightLimit,
    /// The service has had as many requests in this second as it may.
    RateLimit,
    /// The client has as many connections as it may.
    TooManyConnections,
    /// The client gave up most of what it asked for before an answer began (CVE-2023-44487).
    RapidReset,
    /// The connection does not begin with where it comes from, as the load balancer before us is to tell.
    NotAnnounced,
    /// The service was taken back while the request waited, and it can safely be asked again.
    TakenBack,
    /// The endpoint was let out while the request waited, and it can safely be asked again.
    LetOut,
    /// Helios has as much in flight as it can answer in time, after a revert of more than it can take.
    Shed,
    /// The answer to a gRPC call said so, by a code that counts as a failure, or never said how the call ended.
    GrpcStatus,
    /// The client asked to switch to a protocol for which the side's endpoints cannot be asked.
    NoUpgrade,
    /// Another try of the same request has answered first.
    Outrun,
    /// Switchback closed a stream: its time was up after a revert or at a shutdown, or it had been silent for long.
    Closed,
}

impl Cause {
    /// Whether no connection could be made.
    pub const fn is_no_connection(self) -> bool {
        matches!(self, Self::ConnectRefused | Self::ConnectTimeout | Self::ConnectFailed | Self::TlsFailed)
    }

    /// Every cause, in the order of [`Cause::index`].
    pub const ALL: [Cause; 33] = [
        Cause::NoEndpoint,
        Cause::ConnectRefused,
        Cause::ConnectTimeout,
        Cause::ConnectFailed,
        Cause::TlsFailed,
        Cause::Reset,
        Cause::Protocol,
        Cause::HeaderTimeout,
        Cause::Status,
        Cause::Truncated,
        Cause::IdleTimeout,
        Cause::ClientGone,
        Cause::ClientBody,
        Cause::BodyTimeout,
        Cause::BadRequest,
        Cause::HeadTooLarge,
        Cause::UriTooLong,
        Cause::HeadTimeout,
        Cause::BodyTooLarge,
        Cause::NoService,
        Cause::Overloaded,
        Cause::InFlightLimit,
        Cause::RateLimit,
        Cause::TooManyConnections,
        Cause::RapidReset,
        Cause::NotAnnounced,
        Cause::TakenBack,
        Cause::LetOut,
        Cause::Shed,
        Cause::GrpcStatus,
        Cause::NoUpgrade,
        Cause::Outrun,
        Cause::Closed,
    ];

    /// The cause's place in [`Cause::ALL`], for counters kept in arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whose fault it was.
    pub const fn fault(self) -> Fault {
        match self {
            Cause::NoEndpoint
            | Cause::ConnectRefused
            | Cause::ConnectTimeout
            | Cause::ConnectFailed
            | Cause::TlsFailed
            | Cause::Reset
            | Cause::Protocol
            | Cause::HeaderTimeout
            | Cause::Status
            | Cause::Truncated
            | Cause::IdleTimeout
            | Cause::TakenBack
            | Cause::LetOut
            | Cause::GrpcStatus => Fault::Side,
            Cause::ClientGone
            | Cause::ClientBody
            | Cause::BodyTimeout
            | Cause::BadRequest
            | Cause::HeadTooLarge
            | Cause::UriTooLong
            | Cause::HeadTimeout
            | Cause::BodyTooLarge
            | Cause::RapidReset
            | Cause::NotAnnounced
            | Cause::NoUpgrade => Fault::Client,
            Cause::NoService
            | Cause::Overloaded
            | Cause::InFlightLimit
            | Cause::RateLimit
            | Cause::TooManyConnections
            | Cause::Shed
            | Cause::Outrun
            | Cause::Closed => Fault::Proxy,
        }
    }

    /// The word for metrics, headers and machine-readable answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::NoEndpoint => "no_endpoint",
            Cause::ConnectRefused => "connect_refused",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::ConnectFailed => "connect_failed",
            Cause::TlsFailed => "tls_failed",
            Cause::Reset => "reset",
            Cause::Protocol => "protocol",
            Cause::HeaderTimeout => "header_timeout",
            Cause::Status => "status",
            Cause::Truncated => "truncated",
            Cause::IdleTimeout => "idle_timeout",
            Cause::ClientGone => "client_gone",
            Cause::ClientBody => "client_body",
            Cause::BodyTimeout => "body_timeout",
            Cause::BadRequest => "bad_request",
            Cause::HeadTooLarge => "head_too_large",
            Cause::UriTooLong => "uri_too_long",
            Cause::HeadTimeout => "head_timeout",
            Cause::BodyTooLarge => "body_too_large",
            Cause::NoService => "no_service",
            Cause::Overloaded => "overloaded",
            Cause::InFlightLimit => "in_flight_limit",
            Cause::RateLimit => "rate_limit",
            Cause::TooManyConnections => "too_many_connections",
            Cause::RapidReset => "rapid_reset",
            Cause::NotAnnounced => "not_announced",
            Cause::TakenBack => "taken_back",
            Cause::LetOut => "let_out",
            Cause::Shed => "shed",
            Cause::GrpcStatus => "grpc_status",
            Cause::NoUpgrade => "no_upgrade",
            Cause::Outrun => "outrun",
            Cause::Closed => "closed",
        }
    }

    /// What happened, as the end of a sentence about endpoints: "… refused connections".
    pub const fn in_words(self) -> &'static str {
        match self {
            Cause::NoEndpoint => "had no endpoint",
            Cause::ConnectRefused => "refused connections",
            Cause::ConnectTimeout => "did not take connections in time",
            Cause::ConnectFailed => "could not be connected to",
            Cause::TlsFailed => "could not be spoken to over TLS",
            Cause::Reset => "closed connections without an answer",
            Cause::Protocol => "answered something that is not HTTP",
            Cause::HeaderTimeout => "did not answer in time",
            Cause::Status => "answered with a failing status",
            Cause::Truncated => "broke off answers",
            Cause::IdleTimeout => "fell silent within answers",
            Cause::ClientGone => "lost the client",
            Cause::ClientBody => "got a broken request body",
            Cause::BodyTimeout => "got a request body too slowly",
            Cause::BadRequest => "got a bad request",
            Cause::HeadTooLarge => "got too large a head",
            Cause::UriTooLong => "got too long a path",
            Cause::HeadTimeout => "got no whole head in time",
            Cause::BodyTooLarge => "got too large a body",
            Cause::NoService => "serve no such service",
            Cause::Overloaded => "were not asked: too much in hand",
            Cause::InFlightLimit => "were not asked: as many requests in flight as there may be",
            Cause::RateLimit => "were not asked: as many requests in this second as there may be",
            Cause::TooManyConnections => "were not asked: the client has as many connections as it may",
            Cause::RapidReset => "were asked by a client that gives up what it asks for",
            Cause::NotAnnounced => "were not asked: nobody told where the connection comes from",
            Cause::TakenBack => "had not answered when the service was taken back",
            Cause::LetOut => "had not answered when they were let out",
            Cause::Shed => "were not asked: they can take no more",
            Cause::GrpcStatus => "ended gRPC calls with a failing code, or none",
            Cause::NoUpgrade => "cannot be asked for the protocol that the client wants",
            Cause::Outrun => "were not needed any more: another try had answered",
            Cause::Closed => "had streams that Switchback closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_index() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), place, "{}", cause.as_str());
        }
    }
}
