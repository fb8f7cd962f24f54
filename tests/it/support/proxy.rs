use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;
use switchback::app::{Ending, Running, build};
use switchback::model::Address;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{self, Answer, Over, request};
use super::eventually;

/// The program in process, with a configuration of its own.
pub(crate) struct Proxy {
    pub(crate) folder: Folder,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    running: Option<Running>,
}

/// A configuration folder.
pub(crate) struct Folder(TempDir);

/// A service's file.
pub(crate) struct Service {
    name: String,
    team: String,
    host: String,
    path: String,
    weight: f64,
    helios: Vec<Address>,
    kubernetes: Vec<Address>,
    protocols: [&'static str; 2],
    sides: [&'static str; 2],
    /// In place of addresses: the source of each side.
    sources: [Option<String>; 2],
    split: String,
    rest: String,
}

impl Service {
    /// A service with a host of its name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            team: "t".to_owned(),
            host: format!("{name}.test"),
            path: "/".to_owned(),
            weight: 0.0,
            helios: Vec::new(),
            kubernetes: Vec::new(),
            protocols: ["http/1.1", "http/1.1"],
            sides: ["", ""],
            sources: [None, None],
            split: String::new(),
            rest: String::new(),
        }
    }

    pub(crate) fn team(mut self, team: &str) -> Self {
        team.clone_into(&mut self.team);
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn weight(mut self, percent: f64) -> Self {
        self.weight = percent;
        self
    }

    pub(crate) fn helios(mut self, address: impl Into<Address>) -> Self {
        self.helios.push(address.into());
        self
    }

    pub(crate) fn kubernetes(mut self, address: impl Into<Address>) -> Self {
        self.kubernetes.push(address.into());
        self
    }

    /// Where Helios' endpoints come from, in place of addresses: what stands in the braces of `source`.
    pub(crate) fn helios_source(mut self, source: &str) -> Self {
        self.sources[0] = Some(format!("{{ {source} }}"));
        self
    }

    /// Where the kubernetes side's endpoints come from, in place of addresses.
    pub(crate) fn kubernetes_source(mut self, source: &str) -> Self {
        self.sources[1] = Some(source.to_owned());
        self
    }

    /// What each side speaks.
    pub(crate) fn protocols(mut self, helios: &'static str, kubernetes: &'static str) -> Self {
        self.protocols = [helios, kubernetes];
        self
    }

    /// More lines of `[helios]`, and of `[kubernetes]`.
    pub(crate) fn sides(mut self, helios: &'static str, kubernetes: &'static str) -> Self {
        self.sides = [helios, kubernetes];
        self
    }

    /// More lines of `[split]`.
    pub(crate) fn split(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.split);
        self
    }

    /// More sections.
    pub(crate) fn rest(mut self, sections: &str) -> Self {
        sections.clone_into(&mut self.rest);
        self
    }

    pub(crate) fn text(&self) -> String {
        let side = |name: &str, place: usize, addresses: &[Address]| {
            let source = match &self.sources[place] {
                Some(source) => source.clone(),
                None if addresses.is_empty() => return String::new(),
                None => {
                    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                    format!("{{ addresses = {addresses:?} }}")
                }
            };
            let (protocol, more) = (self.protocols[place], self.sides[place]);
            format!(
                "[{name}]
source = {source}
protocol = {protocol:?}
{more}
"
            )
        };
        format!(
            "team = {:?}\n[match]\nhosts = [{:?}]\npaths = [{:?}]\n[split]\nkubernetes = {:?}\n{}\n{}{}{}\n",
            self.team,
            self.host,
            self.path,
            self.weight,
            self.split,
            side("helios", 0, &self.helios),
            side("kubernetes", 1, &self.kubernetes),
            self.rest
        )
    }
}

impl Folder {
    /// A folder with these services, for any free ports.
    pub(crate) fn with(services: &[Service]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("services")).unwrap();
        let state = folder.state();
        folder.write_process(&format!(
            "workers = 2\n[listeners.http]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [state]\ndirectory = \"{}\"\n[shutdown]\ndeadline = \"5s\"\n",
            state.display()
        ));
        for service in services {
            folder.write(service);
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Where a service's file is.
    pub(crate) fn file(&self, service: &str) -> PathBuf {
        self.path().join(format!("services/{service}.toml"))
    }

    pub(crate) fn write(&self, service: &Service) {
        std::fs::write(self.file(&service.name), service.text()).unwrap();
    }

    /// Adds lines to the listener of `switchback.toml`.
    pub(crate) fn add_to_listener(&self, lines: &str) {
        let text = std::fs::read_to_string(self.path().join("switchback.toml")).unwrap();
        let listener = "[listeners.http]\n";
        self.write_process(&text.replace(listener, &format!("{listener}{lines}\n")));
    }

    /// Adds lines to `[admin]` of `switchback.toml`.
    pub(crate) fn add_to_admin(&self, lines: &str) {
        let text = std::fs::read_to_string(self.path().join("switchback.toml")).unwrap();
        self.write_process(&text.replace("[admin]\n", &format!("[admin]\n{lines}\n")));
    }

    /// Adds sections to `switchback.toml`.
    pub(crate) fn add_to_process(&self, sections: &str) {
        let text = std::fs::read_to_string(self.path().join("switchback.toml")).unwrap();
        self.write_process(&format!("{text}{sections}"));
    }

    pub(crate) fn write_process(&self, text: &str) {
        std::fs::write(self.path().join("switchback.toml"), text).unwrap();
    }
}

impl Proxy {
    /// Starts the program with these services.
    pub(crate) fn start(services: &[Service]) -> Self {
        Self::start_in(Folder::with(services))
    }

    /// Starts the program with this configuration.
    pub(crate) fn start_in(folder: Folder) -> Self {
        let running = match build(folder.path()) {
            Ok(bound) => bound.start().unwrap(),
            Err(switchback::app::BuildError::Config(faults)) => {
                panic!("{}", switchback::config::render(&faults, false))
            }
            Err(error) => panic!("{error}"),
        };
        let address = running.address("http").unwrap();
        Self { folder, address, admin: running.admin_address(), running: Some(running) }
    }

    /// Where the listener listens that speaks TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.running().address("https").unwrap()
    }

    /// Asks over a connection of its own.
    pub(crate) async fn get(&self, host: &str, path: &str) -> Answer {
        client::send(self.address, request(Over::Http1, Method::GET, host, path, "")).await
    }

    /// Asks the admin interface.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client::send(self.admin, request(Over::Http1, method, "localhost", path, body)).await
    }

    /// A service's status.
    pub(crate) async fn status(&self, service: &str) -> Value {
        self.ask(Method::GET, &format!("/v1/services/{service}"), &Value::Null).await.json()
    }

    /// The weight in force, in percent.
    pub(crate) async fn weight(&self, service: &str) -> f64 {
        self.status(service).await["weight_percent"].as_f64().unwrap()
    }

    /// One of the metrics, summed over everything whose labels contain all of `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.ask(Method::GET, "/metrics", &Value::Null).await;
        text.text()
            .lines()
            .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until what has happened has been counted.
    pub(crate) async fn counted(&self, name: &str, labels: &[&str], wanted: f64) {
        let what = format!("{name}{labels:?} is {wanted}");
        eventually(&what, async || (self.metric(name, labels).await - wanted).abs() < 1e-9).await;
    }

    /// Sees that this was not counted, also not by a worker that has not told yet: all workers have told of something later.
    pub(crate) async fn never(&self, name: &str, labels: &[&str]) {
        // However connections are dealt out, that none of so many comes to a worker is next to impossible. A listener that
        // speaks TLS counts what does not.
        const LATER: u8 = 20;
        let told = async || {
            let strange = self.metric("switchback_refused_requests_total", &["reason=\"no_service\""]).await;
            strange + self.metric("switchback_tls_handshake_failures_total", &[]).await
        };
        let before = told().await;
        for _ in 0..LATER {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let asked = b"GET / HTTP/1.1\r\nHost: never.invalid\r\nConnection: close\r\n\r\n";
            stream.write_all(asked).await.unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
        }
        eventually("workers have told", async || told().await >= before + f64::from(LATER)).await;
        let counted = self.metric(name, labels).await;
        assert!(counted.abs() < 1e-9, "{name}{labels:?} is {counted}");
    }

    /// Ends the program as SIGTERM does, and gives its folder back.
    pub(crate) async fn end(mut self) -> Folder {
        if let Some(mut running) = self.running.take() {
            tokio::task::spawn_blocking(move || {
                running.stop(Ending::Graceful);
                running.join();
            })
            .await
            .unwrap();
        }
        std::mem::replace(&mut self.folder, Folder(tempfile::tempdir().unwrap()))
    }

    /// The running program.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.stop(Ending::Now);
            running.join();
        }
    }
}
