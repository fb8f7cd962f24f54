use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use switchback::config::TokenHash;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::issuer::{AUDIENCE, ISSUER, Key, published};
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::{Authority, Pair};

/// The program with a rights file, and two services of two teams.
pub(super) struct World {
    pub(super) proxy: Proxy,
    /// Signs the certificate of the admin interface, if that speaks TLS.
    pub(super) site: Authority,
    /// Signs those of clients.
    pub(super) clients: Authority,
    wire: Wire,
    _endpoint: Endpoint,
}

/// What the admin interface speaks on its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    Tls,
}

/// Who asks: from where, and what they show.
#[derive(Clone)]
pub(super) struct Guest {
    from: Ipv4Addr,
    by: By,
    headers: Vec<String>,
    certificate: Option<Pair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Address,
    Socket,
}

/// The services, and the teams that they are of.
pub(super) const OWN: &str = "own-service";
pub(super) const OTHER: &str = "other-service";
pub(super) const OWN_TEAM: &str = "own-team";
pub(super) const OTHER_TEAM: &str = "other-team";

impl World {
    /// Starts it with these rights.
    pub(super) async fn start(wire: Wire, rights: &str) -> Self {
        Self::start_with(wire, rights, "", "").await
    }

    /// The same, with more lines in `[admin]`, and more sections.
    pub(super) async fn start_with(wire: Wire, rights: &str, admin: &str, sections: &str) -> Self {
        let endpoint = Endpoint::named("endpoint").await;
        let service = |name: &str, team: &str| {
            Service::new(name).team(team).weight(5.0).helios(endpoint.address).kubernetes(endpoint.address)
        };
        let folder = Folder::with(&[service(OWN, OWN_TEAM), service(OTHER, OTHER_TEAM)]);
        let (site, clients) = (Authority::new("site"), Authority::new("clients"));
        folder.add_to_admin(&format!("rights = \"rights.toml\"\n{admin}"));
        if wire == Wire::Tls {
            site.sign(&["localhost", "127.0.0.1"]).write(folder.path(), "admin");
            site.write(&folder.path().join("site.pem"));
            clients.write(&folder.path().join("clients.pem"));
            folder.add_to_process(
                "[admin.tls]\ncertificates = [{ chain = \"admin.pem\", key = \"admin.key\" }]\n\
                 clients = { authorities = \"clients.pem\", required = false }\n",
            );
        }
        folder.add_to_process(sections);
        std::fs::write(folder.path().join("rights.toml"), rights).unwrap();
        std::fs::write(folder.path().join("jwks.json"), published(Key::all())).unwrap();
        Self { proxy: Proxy::start_in(folder), site, clients, wire, _endpoint: endpoint }
    }

    /// A file in its configuration's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.proxy.folder.path().join(name)
    }

    /// Puts other rights in place, as an editor does.
    pub(super) fn write_rights(&self, rights: &str) {
        std::fs::write(self.path("rights.new"), rights).unwrap();
        std::fs::rename(self.path("rights.new"), self.path("rights.toml")).unwrap();
    }

    /// Connects as somebody.
    pub(super) async fn connect(&self, guest: &Guest) -> std::io::Result<Client> {
        if guest.by == By::Socket {
            let stream = UnixStream::connect(self.proxy.folder.state().join("admin.sock")).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            return Ok(Client::of_http1(sender));
        }
        let stream = self.reach(guest.from).await?;
        match self.wire {
            Wire::Plain => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                Ok(Client::of_http1(sender))
            }
            Wire::Tls => {
                let client = self.site.client();
                let client = match &guest.certificate {
                    Some(pair) => client.showing(pair),
                    None => client,
                };
                client.over(stream, "localhost").await
            }
        }
    }

    /// Connects from one of this machine's addresses.
    pub(super) async fn reach(&self, from: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(self.proxy.admin).await
    }

    /// Asks over a connection of its own.
    pub(super) async fn ask(&self, guest: &Guest, method: Method, path: &str, body: &Value) -> Answer {
        let mut client = self.connect(guest).await.unwrap();
        client.send(guest.request(method, path, body)).await
    }

    pub(super) async fn get(&self, guest: &Guest, path: &str) -> Answer {
        self.ask(guest, Method::GET, path, &Value::Null).await
    }

    /// The head of an answer that may never end.
    pub(super) async fn begin(&self, guest: &Guest, path: &str) -> (Client, Response<Incoming>) {
        let mut client = self.connect(guest).await.unwrap();
        let head = client.begin(guest.request(Method::GET, path, &Value::Null)).await.unwrap();
        (client, head)
    }

    /// The whole history, the newest first: as who runs Switchback sees it.
    pub(super) async fn history(&self) -> Vec<Value> {
        let (mut entries, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/history?limit=1000{before}");
            let page = self.get(&Guest::at_the_socket(), &path).await.json().as_array().unwrap().clone();
            let Some(last) = page.last() else { return entries };
            before = format!("&before={}", last["seq"]);
            entries.extend(page);
        }
    }

    /// Waits until the history has so many entries of a kind, and gives them, the oldest first.
    pub(super) async fn entries(&self, deed: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        eventually(&format!("the history has {count} times {deed}"), async || {
            found = self.history().await.into_iter().filter(|entry| entry["deed"] == deed).collect();
            found.len() >= count
        })
        .await;
        assert_eq!(found.len(), count, "{deed}: {found:#?}");
        found.reverse();
        found
    }
}

impl Guest {
    /// Somebody at the address.
    pub(super) fn new() -> Self {
        Self { from: Ipv4Addr::LOCALHOST, by: By::Address, headers: Vec::new(), certificate: None }
    }

    /// Somebody at the Unix socket: the user that runs the tests, and Switchback.
    pub(super) fn at_the_socket() -> Self {
        Self { by: By::Socket, ..Self::new() }
    }

    /// Who shows this token.
    pub(super) fn bearing(token: &str) -> Self {
        Self::new().authorization(&format!("Bearer {token}"))
    }

    pub(super) fn authorization(mut self, value: &str) -> Self {
        self.headers.push(value.to_owned());
        self
    }

    pub(super) fn showing(self, pair: &Pair) -> Self {
        Self { certificate: Some(pair.clone()), ..self }
    }

    /// From another of this machine's addresses.
    pub(super) fn from(self, last: u8) -> Self {
        Self { from: Ipv4Addr::new(127, 0, 0, last), ..self }
    }

    pub(super) fn socket(self) -> Self {
        Self { by: By::Socket, ..self }
    }

    /// As the history has where it comes from.
    pub(super) fn origin(&self) -> String {
        match self.by {
            By::Socket => "unix".to_owned(),
            By::Address => self.from.to_string(),
        }
    }

    pub(super) fn request(&self, method: Method, path: &str, body: &Value) -> Request<Full<Bytes>> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = request(Over::Http1, method, "localhost", path, body);
        for value in &self.headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(HeaderName::from_static("authorization"), value);
        }
        request
    }
}

/// A token of Switchback's own, made of a number.
pub(super) fn token(number: u8) -> String {
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let letter = char::from(letters.as_bytes()[usize::from(number) % 26]);
    format!("sbt_{}{}", number % 10, letter.to_string().repeat(42))
}

/// The entry of such a token.
pub(super) fn entry(name: &str, lines: &str, number: u8) -> String {
    let TokenHash { salt, hash } = TokenHash::new([number; 16], &token(number));
    let digits =
        |bytes: &[u8]| bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    format!("[tokens.{name}]\n{lines}\nsalt = \"{}\"\nhash = \"{}\"\n", digits(&salt), digits(&hash))
}

fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).unwrap()
}

/// The identity provider whose keys lie beside the rights file.
pub(super) fn provider() -> String {
    format!("[oidc]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nkeys = \"jwks.json\"\n")
}

/// What `GET /v1/whoami` says of whom.
pub(super) fn known(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    json!([answer.json()["name"], answer.json()["via"]])
}
