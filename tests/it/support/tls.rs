//! Certificates made for a test, and peers that speak TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::client::{Client, Over};
use super::endpoint::{Answer, Endpoint};

/// An authority that signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for these host names, addresses and `spiffe://` identities.
    pub(crate) fn sign(&self, names: &[&str]) -> Pair {
        self.sign_until(names, (2040, 1, 1))
    }

    /// The same, until a day.
    pub(crate) fn sign_until(&self, names: &[&str], (year, month, day): (i32, u8, u8)) -> Pair {
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { chain, key: key.serialize_pem() }
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, path: &Path) {
        put(path, &self.pem);
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient { roots: self.roots(), pair: None, versions: rustls::ALL_VERSIONS }
    }
}

impl Pair {
    /// Writes both files: `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        put(&folder.join(format!("{name}.pem")), &self.chain);
        put(&folder.join(format!("{name}.key")), &self.key);
    }

    fn certified(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// The certificate as it goes over the wire.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// As who renews certificates does it: nobody sees half a file.
fn put(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(&aside, path).unwrap();
}

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct TlsClient {
    roots: RootCertStore,
    pair: Option<Pair>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl TlsClient {
    /// Shows a certificate.
    pub(crate) fn showing(mut self, pair: &Pair) -> Self {
        self.pair = Some(pair.clone());
        self
    }

    /// Speaks nothing else.
    pub(crate) fn only(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    fn config(&self, alpn: &[u8]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = pair.certified();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// Connects so many times, one after the other, and asks for something each time. Tells whether each session was the one
    /// before it, resumed.
    pub(crate) async fn resumes(&self, address: SocketAddr, host: &str, times: usize) -> Vec<bool> {
        let config = self.config(b"http/1.1");
        let mut resumed = Vec::new();
        for _ in 0..times {
            let mut stream = say(&config, address, host, &last(host)).await;
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
            resumed.push(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
        }
        resumed
    }

    /// Says this; what comes is read by whoever says it.
    pub(crate) async fn say(&self, address: SocketAddr, host: &str, said: &str) -> TlsStream<TcpStream> {
        say(&self.config(b"http/1.1"), address, host, said).await
    }

    /// Agrees on TLS over a connection that is there, and speaks HTTP/1.1.
    pub(crate) async fn over(&self, stream: TcpStream, host: &str) -> std::io::Result<Client> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = TlsConnector::from(self.config(b"http/1.1")).connect(name, stream).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Client::of_http1(sender))
    }

    /// Connects to a host, and speaks what the two agree on. Gives the certificate that was shown, too.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
        over: Over,
    ) -> std::io::Result<(Client, CertificateDer<'static>)> {
        let wanted: &[u8] = if over == Over::Http2 { b"h2" } else { b"http/1.1" };
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = TlsConnector::from(self.config(wanted)).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(wanted));
        let certificate = session.peer_certificates().unwrap()[0].clone().into_owned();
        let client = match over {
            Over::Http1 => {
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                Client::of_http1(sender)
            }
            Over::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
                let (sender, connection) = handshake.await.map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                Client::of_http2(sender)
            }
        };
        Ok((client, certificate))
    }
}

/// How an endpoint speaks TLS.
pub(crate) struct TlsServer {
    pub(crate) pair: Pair,
    pub(crate) alpn: &'static [&'static str],
    /// Who must have signed its clients' certificates, if it asks for them.
    pub(crate) clients: Option<Authority>,
}

/// An endpoint that speaks TLS, and answers with what `handle` makes of a request.
pub(crate) async fn endpoint<F>(
    tls: TlsServer,
    handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) -> Endpoint
where
    F: Future<Output = Answer> + Send + 'static,
{
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(clients.roots().into(), provider).build().unwrap(),
        ),
    };
    let (chain, key) = tls.pair.certified();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let (acceptor, handle) = (TlsAcceptor::from(Arc::new(config)), Arc::new(handle));
    Endpoint::raw(move |stream| {
        let (acceptor, handle) = (acceptor.clone(), handle.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let answered = handle(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// A request behind which the client asks for nothing.
pub(crate) fn last(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

async fn say(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
    said: &str,
) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}
