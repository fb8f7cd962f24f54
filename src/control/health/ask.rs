use std::cell::Cell;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::config::CheckKind;

use super::exchange::Tasks;
use super::failure::Failure;
use super::rota::Errand;
use super::{grpc, http, wire};

/// What a check is waiting for.
#[derive(Clone, Copy)]
enum Waiting {
    Connection,
    Answer,
}

/// Asks an endpoint once whether it is well, and closes the connection.
pub(super) async fn ask(errand: &Errand) -> Result<(), Failure> {
    let (tasks, waiting) = (Tasks::default(), Cell::new(Waiting::Connection));
    let patience = errand.config.timeout;
    let found = timeout(patience, check(errand, &tasks, &waiting)).await;
    tasks.end().await;
    found.unwrap_or_else(|_| {
        Err(match waiting.get() {
            Waiting::Connection => Failure::ConnectsLate(patience),
            Waiting::Answer => Failure::AnswersLate(patience),
        })
    })
}

async fn check(errand: &Errand, tasks: &Tasks, waiting: &Cell<Waiting>) -> Result<(), Failure> {
    let mut wire = wire::connect(errand).await?;
    waiting.set(Waiting::Answer);
    match &errand.config.kind {
        CheckKind::Http { path, statuses } => http::check(errand, path, *statuses, wire, tasks).await,
        CheckKind::Grpc { service } => grpc::check(errand, service, wire, tasks).await,
        CheckKind::Tcp => {
            // Who is there is there, however it takes that we leave.
            let _ = wire.shutdown().await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::{Answer, Authority, Server, on_one_thread, status};
    use super::*;
    use std::cell::RefCell;
    use std::net::{SocketAddr, TcpListener};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use ::http::uri::Authority as UriAuthority;
    use ::http::{HeaderValue, Method, Response, Version};
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use rustls::HandshakeKind;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpStream, UnixListener};
    use tokio::sync::mpsc;

    use super::super::rota::Serial;
    use crate::config::{CheckConfig, Protocol, ProxyProtocol};
    use crate::model::{Address, Statuses};
    use crate::tls::Connector;

    const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
    /// How long nobody waits for what comes.
    const LONG: Duration = Duration::from_mins(1);
    /// How long it is waited for what never comes.
    const SHORT: Duration = Duration::from_millis(50);

    fn of(kind: CheckKind, address: impl Into<Address>) -> Errand {
        let config = CheckConfig {
            kind,
            host: None,
            protocol: Protocol::Http1,
            proxy_protocol: None,
            port: None,
            every: LONG,
            timeout: LONG,
            rise: 2,
            fall: 3,
        };
        Errand { serial: Serial::default(), address: address.into(), config: Arc::new(config), tls: None }
    }

    fn http_of(address: impl Into<Address>, protocol: Protocol) -> Errand {
        let path = "/healthz?deep=1".parse().unwrap();
        let kind = CheckKind::Http { path, statuses: Statuses::default().with(200..=399) };
        of(kind, address).with(|config| config.protocol = protocol)
    }

    fn grpc_of(address: impl Into<Address>, service: &str) -> Errand {
        let kind = CheckKind::Grpc { service: service.into() };
        of(kind, address).with(|config| config.protocol = Protocol::Http2)
    }

    impl Errand {
        fn with(mut self, change: impl FnOnce(&mut CheckConfig)) -> Self {
            change(Arc::make_mut(&mut self.config));
            self
        }

        fn over(mut self, connector: &Arc<Connector>) -> Self {
            self.tls = Some(connector.clone());
            self
        }

        /// What is found of the endpoint.
        async fn finds(&self) -> Result<(), String> {
            let found = ask(self).await;
            assert!(found.as_ref().err().is_none_or(|failure| !failure.is_ours()), "{found:?}");
            found.map_err(|failure| failure.to_string())
        }
    }

    fn ill(why: &str) -> Result<(), String> {
        Err(why.to_owned())
    }

    /// An address at which nobody listens.
    fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn the_status_decides() {
        on_one_thread(async {
            for protocol in BOTH {
                for code in [200, 204, 302, 399, 400, 404, 500, 503] {
                    let server = Server::http(move || status(code)).await;
                    let errand = http_of(server.address, protocol);
                    let expected = if code < 400 {
                        Ok(())
                    } else {
                        ill(&format!("GET /healthz?deep=1 was answered with {code}"))
                    };
                    assert_eq!(errand.finds().await, expected, "{code} over {}", protocol.as_str());
                }
                let server = Server::http(|| status(503)).await;
                let errand = http_of(server.address, protocol).with(|config| {
                    let statuses = Statuses::default().with(503..=503);
                    config.kind = CheckKind::Http { path: "/".parse().unwrap(), statuses };
                });
                assert_eq!(errand.finds().await, Ok(()));
            }
        });
    }

    #[test]
    fn it_asks_for_the_path_at_the_host_and_says_who_asks() {
        on_one_thread(async {
            for (protocol, version) in
                [(Protocol::Http1, Version::HTTP_11), (Protocol::Http2, Version::HTTP_2)]
            {
                let server = Server::http(|| status(200)).await;
                let errand = http_of(server.address, protocol);
                assert_eq!(errand.finds().await, Ok(()));
                let errand = errand.with(|config| config.host = Some(HeaderValue::from_static("a.test:81")));
                assert_eq!(errand.finds().await, Ok(()));
                for ((head, body), host) in
                    server.seen().iter().zip([&*server.address.to_string(), "a.test:81"])
                {
                    assert_eq!((&head.method, head.version), (&Method::GET, version));
                    assert_eq!(head.uri.path_and_query().unwrap(), "/healthz?deep=1");
                    let asked = head.uri.authority().map(UriAuthority::as_str);
                    let asked = asked.or_else(|| head.headers["host"].to_str().ok());
                    assert_eq!(asked, Some(host));
                    assert!(head.headers["user-agent"].to_str().unwrap().starts_with("switchback-check/"));
                    assert!(body.is_empty());
                }
                assert_eq!(server.seen().len(), 2);
            }
        });
    }

    #[test]
    fn another_port_is_asked_where_one_is_named() {
        on_one_thread(async {
            let server = Server::http(|| status(200)).await;
            let errand =
                http_of(nobody(), Protocol::Http1).with(|config| config.port = Some(server.address.port()));
            assert_eq!(errand.finds().await, Ok(()));
            assert_eq!(server.seen()[0].0.headers["host"], *server.address.to_string());
        });
    }

    #[test]
    fn who_cannot_be_connected_to_is_ill() {
        on_one_thread(async {
            let folder = tempfile::tempdir().unwrap();
            let nowhere = Address::Unix(folder.path().join("none").into());
            for kind in [CheckKind::Tcp, CheckKind::Grpc { service: "".into() }] {
                assert_eq!(of(kind.clone(), nobody()).finds().await, ill("no connection: refused"));
                let found = of(kind, nowhere.clone()).finds().await;
                assert_eq!(found, ill("no connection: there is no such socket"));
            }
            assert_eq!(http_of(nobody(), Protocol::Http1).finds().await, ill("no connection: refused"));
        });
    }

    #[test]
    fn a_unix_socket_is_asked_like_any_other() {
        on_one_thread(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let errand =
                http_of(Address::Unix(path.into()), Protocol::Http1).with(|config| config.port = Some(1));
            let asking = errand.finds();
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                assert!(head.contains("host: localhost\r\n"), "{head}");
            };
            assert_eq!(tokio::join!(asking, serving).0, Ok(()));
        });
    }

    /// Reads a request of HTTP/1.1 without a body.
    async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn who_does_not_answer_in_time_is_ill() {
        on_one_thread(async {
            let server = Server::raw(async |stream| {
                std::future::pending::<()>().await;
                drop(stream);
            })
            .await;
            for errand in [
                http_of(server.address, Protocol::Http1),
                http_of(server.address, Protocol::Http2),
                grpc_of(server.address, ""),
            ] {
                let errand = errand.with(|config| config.timeout = SHORT);
                assert_eq!(errand.finds().await, ill("no answer within 50 ms"));
            }
            let folder = tempfile::tempdir().unwrap();
            let trusting = Authority::new().trusted(folder.path(), false);
            let errand =
                of(CheckKind::Tcp, server.address).over(&trusting).with(|config| config.timeout = SHORT);
            assert_eq!(errand.finds().await, ill("no connection within 50 ms"), "TLS is part of it");
        });
    }

    #[test]
    fn an_answer_that_is_none_or_breaks_off_is_bad() {
        on_one_thread(async {
            let unanswered = |why: &str| ill(&format!("GET /healthz?deep=1 was not answered: {why}"));
            let whole = "GET /healthz?deep=1 was not answered whole: the connection broke off";
            for (said, resets, expected) in [
                ("", false, unanswered("the connection broke off")),
                ("", true, unanswered("the connection broke off")),
                ("HTTP/1.1 200", false, unanswered("the connection broke off")),
                ("SSH-2.0-OpenSSH_9.2\r\n", false, unanswered("what came is not HTTP")),
                ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", false, ill(whole)),
                ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false, Ok(())),
                ("HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nok", false, {
                    ill("GET /healthz?deep=1 was answered with 503")
                }),
            ] {
                let server = Server::raw(move |mut stream| async move {
                    head(&mut stream).await;
                    stream.write_all(said.as_bytes()).await.unwrap();
                    if resets {
                        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                    }
                })
                .await;
                let found = http_of(server.address, Protocol::Http1).finds().await;
                assert_eq!(found, expected, "{said:?} {resets}");
            }
        });
    }

    #[test]
    fn who_speaks_another_protocol_is_ill() {
        on_one_thread(async {
            let server = Server::raw(async |mut stream| {
                let mut asked = [0; 16];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            })
            .await;
            let found = http_of(server.address, Protocol::Http2).finds().await.unwrap_err();
            assert!(found.starts_with("GET /healthz?deep=1 was not answered: "), "{found}");
        });
    }

    /// An answer without end.
    fn endless() -> Answer {
        let piece = || Ok(Frame::data(Bytes::from_static(&[7; 4 << 10])));
        let body = StreamBody::new(futures_util::stream::repeat_with(piece));
        Response::new(body.boxed_unsync())
    }

    #[test]
    fn a_long_answer_is_not_read_to_its_end() {
        on_one_thread(async {
            for protocol in BOTH {
                let server = Server::http(endless).await;
                assert_eq!(http_of(server.address, protocol).finds().await, Ok(()));
            }
        });
    }

    /// Reads until the check closes, and tells how it did.
    async fn closing(mut stream: TcpStream, said: &'static [u8], tell: mpsc::UnboundedSender<bool>) {
        if !said.is_empty() {
            head(&mut stream).await;
        }
        let _ = stream.write_all(said).await;
        let mut rest = Vec::new();
        let _ = tell.send(stream.read_to_end(&mut rest).await.is_ok());
    }

    #[test]
    fn a_connection_is_closed_and_not_broken_off() {
        on_one_thread(async {
            let (tell, mut told) = mpsc::unbounded_channel();
            let keeping = tell.clone();
            let kept = Server::raw(move |stream| {
                closing(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", keeping.clone())
            })
            .await;
            assert_eq!(http_of(kept.address, Protocol::Http1).finds().await, Ok(()));
            assert_eq!(told.recv().await, Some(true), "the endpoint did not close first");
            let keeping = tell.clone();
            let silent = Server::raw(move |stream| closing(stream, b"", keeping.clone())).await;
            assert_eq!(of(CheckKind::Tcp, silent.address).finds().await, Ok(()));
            assert_eq!(told.recv().await, Some(true));
            let errand = http_of(silent.address, Protocol::Http2).with(|config| config.timeout = SHORT);
            assert_eq!(errand.finds().await, ill("no answer within 50 ms"));
            assert_eq!(told.recv().await, Some(true), "it does not linger where nothing came");
        });
    }

    #[test]
    fn over_tls_an_endpoint_must_be_trusted_each_time() {
        on_one_thread(async {
            let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
            let other = tempfile::tempdir().unwrap();
            for (protocol, alpn) in [(Protocol::Http1, "http/1.1"), (Protocol::Http2, "h2")] {
                let trusting = authority.trusted(folder.path(), protocol == Protocol::Http2);
                let server =
                    Server::https(authority.endpoint("endpoint.test", &[alpn]), || status(200)).await;
                let errand = http_of(server.address, protocol).over(&trusting);
                assert_eq!(errand.finds().await, Ok(()));
                let errand = errand.over(&Authority::new().trusted(other.path(), false));
                let why = errand.finds().await.unwrap_err();
                assert!(why.starts_with("TLS failed: invalid peer certificate: "), "{why}");
                let server = Server::https(authority.endpoint("another.test", &[alpn]), || status(200)).await;
                let errand = http_of(server.address, protocol).over(&trusting);
                let why = errand.finds().await.unwrap_err();
                assert!(why.starts_with("TLS failed: invalid peer certificate: "), "{why}");
            }
            let deaf = Server::https(authority.endpoint("endpoint.test", &[]), || status(200)).await;
            let trusting = authority.trusted(folder.path(), true);
            let errand = http_of(deaf.address, Protocol::Http2).over(&trusting);
            assert_eq!(errand.finds().await, ill("it does not agree on http/2 over TLS (ALPN)"));
            assert_eq!(http_of(deaf.address, Protocol::Http1).over(&trusting).finds().await, Ok(()));
            assert_eq!(of(CheckKind::Tcp, deaf.address).over(&trusting).finds().await, Ok(()));
        });
    }

    #[test]
    fn no_session_is_resumed() {
        on_one_thread(async {
            let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
            let kinds = Rc::<RefCell<Vec<_>>>::default();
            let log = kinds.clone();
            let tls = authority.endpoint("endpoint.test", &["http/1.1"]);
            let server = Server::raw_tls(tls, move |mut stream| {
                let log = log.clone();
                async move {
                    log.borrow_mut().push(stream.get_ref().1.handshake_kind());
                    head(&mut stream).await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    let closed = stream.read_to_end(&mut Vec::new()).await;
                    assert!(closed.is_ok(), "TLS is closed too: {closed:?}");
                }
            })
            .await;
            let errand =
                http_of(server.address, Protocol::Http1).over(&authority.trusted(folder.path(), false));
            for _ in 0..3 {
                assert_eq!(errand.finds().await, Ok(()));
            }
            assert_eq!(*kinds.borrow(), [Some(HandshakeKind::Full); 3]);
        });
    }

    #[test]
    fn a_side_whose_tls_is_not_set_up_tells_nothing_of_its_endpoints() {
        on_one_thread(async {
            let server = Server::http(|| status(200)).await;
            let folder = tempfile::tempdir().unwrap();
            let settings = Authority::new().trusted(folder.path(), false).settings().clone();
            let errand = http_of(server.address, Protocol::Http1).over(&Arc::new(Connector::new(settings)));
            assert!(ask(&errand).await.unwrap_err().is_ours());
        });
    }

    #[test]
    fn grpc_is_asked_after_a_service() {
        on_one_thread(async {
            let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
            // The side itself speaks HTTP/1.1.
            let trusting = authority.trusted(folder.path(), false);
            for tls in [false, true] {
                let secured = tls.then(|| authority.endpoint("endpoint.test", &["h2"]));
                let server = Server::tonic(secured).await;
                for (service, expected) in [
                    ("", Ok(())),
                    ("well", Ok(())),
                    ("ill", ill("NOT_SERVING")),
                    ("unheard", ill("SERVICE_UNKNOWN")),
                    ("empty", ill("UNKNOWN")),
                    ("nonsense", ill("grpc.health.v1.Health/Check was answered with what is not its answer")),
                    ("nobody", ill("grpc.health.v1.Health/Check ended with NOT_FOUND")),
                ] {
                    let errand = grpc_of(server.address, service);
                    let errand = if tls { errand.over(&trusting) } else { errand };
                    assert_eq!(errand.finds().await, expected, "{service} {tls}");
                }
            }
        });
    }

    #[test]
    fn who_knows_nothing_of_grpc_is_ill() {
        on_one_thread(async {
            let server = Server::http(|| status(404)).await;
            let call = "grpc.health.v1.Health/Check";
            let found = grpc_of(server.address, "shop.Cart").finds().await;
            assert_eq!(found, ill(&format!("{call} was answered with 404")));
            let (head, body) = server.seen().remove(0);
            assert_eq!((&head.method, head.uri.path()), (&Method::POST, "/grpc.health.v1.Health/Check"));
            for (name, value) in
                [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "60000000u")]
            {
                assert_eq!(head.headers[name], value);
            }
            assert_eq!(&body[..], b"\0\0\0\0\x0b\x0a\x09shop.Cart");
            let server = Server::http(|| status(200)).await;
            let found = grpc_of(server.address, "").finds().await;
            assert_eq!(found, ill(&format!("{call} was answered with what is not its answer")), "no status");
        });
    }

    #[test]
    fn a_connection_is_made_and_that_is_all() {
        on_one_thread(async {
            let server = Server::raw(async |stream| drop(stream)).await;
            assert_eq!(of(CheckKind::Tcp, server.address).finds().await, Ok(()));
        });
    }

    #[test]
    fn who_is_told_where_connections_come_from_is_told_that_it_is_us() {
        on_one_thread(async {
            for (version, expected) in [
                (ProxyProtocol::V1, &b"PROXY UNKNOWN\r\n"[..]),
                (ProxyProtocol::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
            ] {
                let server = Server::raw(move |mut stream| async move {
                    let mut header = vec![0; expected.len()];
                    stream.read_exact(&mut header).await.unwrap();
                    assert_eq!(header, expected);
                    head(&mut stream).await;
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                })
                .await;
                let errand = http_of(server.address, Protocol::Http1);
                let errand = errand.with(|config| config.proxy_protocol = Some(version));
                assert_eq!(errand.finds().await, Ok(()));
            }
        });
    }
}
