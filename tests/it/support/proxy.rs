use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;
use switchback::app::{Ending, Running, build};
use switchback::model::Address;
use tempfile::TempDir;

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
    host: String,
    path: String,
    weight: f64,
    helios: Vec<Address>,
    kubernetes: Vec<Address>,
    kubernetes_source: Option<String>,
    protocols: [&'static str; 2],
    sides: [&'static str; 2],
    split: String,
    rest: String,
}

impl Service {
    /// A service with a host of its name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: format!("{name}.test"),
            path: "/".to_owned(),
            weight: 0.0,
            helios: Vec::new(),
            kubernetes: Vec::new(),
            kubernetes_source: None,
            protocols: ["http/1.1", "http/1.1"],
            sides: ["", ""],
            split: String::new(),
            rest: String::new(),
        }
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

    /// Where the kubernetes side's endpoints come from, in place of addresses.
    pub(crate) fn kubernetes_source(mut self, source: &str) -> Self {
        self.kubernetes_source = Some(source.to_owned());
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
        let listed = |addresses: &[Address]| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            (!addresses.is_empty()).then(|| format!("{{ addresses = {addresses:?} }}"))
        };
        let side = |name: &str, source: Option<String>, protocol: &str, more: &str| {
            let Some(source) = source else { return String::new() };
            format!("[{name}]\nsource = {source}\nprotocol = {protocol:?}\n{more}\n")
        };
        let kubernetes = self.kubernetes_source.clone().or_else(|| listed(&self.kubernetes));
        format!(
            "team = \"t\"\n[match]\nhosts = [{:?}]\npaths = [{:?}]\n[split]\nkubernetes = {:?}\n{}\n{}{}{}\n",
            self.host,
            self.path,
            self.weight,
            self.split,
            side("helios", listed(&self.helios), self.protocols[0], self.sides[0]),
            side("kubernetes", kubernetes, self.protocols[1], self.sides[1]),
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
