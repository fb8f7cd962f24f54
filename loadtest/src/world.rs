//! A folder with everybody's settings, a certificate, the endpoints, and the proxies that were started before them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::generate::Speaks;
use crate::peers::{Peer, nginx};
use crate::process::{Process, Usage};

/// Everything that one scenario needs. It is gone, with all processes, when this is dropped.
pub(crate) struct World {
    // Processes end before their folder does.
    peers: BTreeMap<Peer, Process>,
    endpoints: Vec<Process>,
    ports: BTreeMap<String, u16>,
    folder: TempDir,
    pub(crate) cores: Cores,
    /// Switchback's program.
    pub(crate) switchback: PathBuf,
    /// Switchback's workers.
    workers: usize,
}

/// Who runs where.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) proxies: String,
    pub(crate) load: String,
}

/// Below those that the kernel gives to clients, and above most that anybody listens on.
const FIRST_PORT: u16 = 18_000;
const LAST_PORT: u16 = 30_000;
static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);

/// How long a proxy may take until it answers.
const STARTING: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// The large answer.
const MEBIBYTE: usize = 1 << 20;

impl World {
    /// A folder, and endpoints that answer.
    pub(crate) fn new(switchback: &Path, cores: &Cores, workers: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("loadtest-").tempdir()?;
        let switchback = switchback.canonicalize().context("Switchback's program")?;
        let (peers, endpoints, ports) = Default::default();
        let mut world = Self { peers, endpoints, ports, folder, cores: cores.clone(), switchback, workers };
        world.certify()?;
        fs::write(world.path("1m"), vec![b'x'; MEBIBYTE])?;
        // nginx' worker is another user if we are root.
        allow_everybody(&world.path(""))?;
        allow_everybody(&world.path("1m"))?;
        world.start_endpoints()?;
        Ok(world)
    }

    /// Starts a proxy, and waits until it answers.
    pub(crate) fn start(&mut self, peer: Peer) -> anyhow::Result<()> {
        let command = peer.prepare(self)?;
        self.start_as(peer, &command)?;
        self.wait(peer, Speaks::Http1, STARTING)
    }

    /// Starts a proxy by this command.
    pub(crate) fn start_as(&mut self, peer: Peer, command: &[String]) -> anyhow::Result<()> {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let log = self.path(&format!("{}.out", peer.name()));
        let process = Process::start(peer.name(), &self.cores.proxies, &command, &log)?;
        self.peers.insert(peer, process);
        Ok(())
    }

    /// Waits until a proxy answers a request.
    pub(crate) fn wait(&mut self, peer: Peer, speaks: Speaks, patience: Duration) -> anyhow::Result<()> {
        let port = peer.port(self, speaks);
        let begun = Instant::now();
        while !answers(port) {
            let ended = self.peers.get_mut(&peer).is_none_or(Process::has_ended);
            if ended || begun.elapsed() > patience {
                let log = fs::read_to_string(self.path(&format!("{}.out", peer.name()))).unwrap_or_default();
                bail!("{} does not answer on port {port}:\n{log}", peer.title());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends a proxy.
    pub(crate) fn end(&mut self, peer: Peer) {
        self.peers.remove(&peer);
    }

    pub(crate) fn process(&self, peer: Peer) -> anyhow::Result<&Process> {
        self.peers.get(&peer).with_context(|| format!("{} does not run", peer.title()))
    }

    /// What everything that runs here has used.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for process in self.peers.values().chain(&self.endpoints) {
            usage += process.usage();
        }
        usage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The port that goes by this name; it is found when it is first asked for.
    pub(crate) fn port(&mut self, name: &str) -> u16 {
        *self.ports.entry(name.to_owned()).or_insert_with(free_port)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Writes settings, with what stands between two `@` replaced: `dir`, `workers`, and ports by their names.
    pub(crate) fn write_settings(&mut self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let filled = self.fill(text);
        self.write(name, &filled)
    }

    fn fill(&mut self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        for (place, part) in text.split('@').enumerate() {
            match part.strip_prefix("port-") {
                _ if place % 2 == 0 => filled.push_str(part),
                Some(name) => filled.push_str(&self.port(name).to_string()),
                None if part == "dir" => filled.push_str(&self.folder.path().display().to_string()),
                None if part == "workers" => filled.push_str(&self.workers.to_string()),
                None => unreachable!("nothing is called @{part}@"),
            }
        }
        filled
    }

    /// Who has signed the proxies' certificate: it itself.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path("site.pem")
    }

    /// ECDSA on P-256, for everybody the same.
    fn certify(&self) -> anyhow::Result<()> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        fs::write(self.path("site.pem"), &chain)?;
        fs::write(self.path("site.key"), &key)?;
        // HAProxy wants both in one.
        fs::write(self.path("site.both"), chain + &key)?;
        // What wrk and h2load are to speak, so that all agree on the same.
        fs::write(self.path("openssl.cnf"), include_str!("../settings/openssl.cnf"))?;
        Ok(())
    }

    fn start_endpoints(&mut self) -> anyhow::Result<()> {
        let command = nginx(self, "endpoints.conf", include_str!("../settings/endpoints.conf"))?;
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (load, log) = (self.cores.load.clone(), self.path("endpoints.out"));
        self.endpoints.push(Process::start("the endpoints", &load, &command, &log)?);
        let calls = ["helios-a", "helios-b", "kubernetes-a", "kubernetes-b"];
        let calls = calls.map(|name| self.port(&format!("calls-{name}")));
        let ports = calls.map(|port| port.to_string()).join(",");
        let ourselves = std::env::current_exe()?.display().to_string();
        let command = [&ourselves, "endpoint", "--ports", &ports];
        self.endpoints.push(Process::start("the endpoints of gRPC", &load, &command, &log)?);
        let (plain, begun) = (self.port("helios-a"), Instant::now());
        let listens = |port| TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok();
        while !(answers(plain) && calls.into_iter().all(listens)) {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            ensure!(begun.elapsed() < STARTING, "the endpoints do not answer:\n{}", said());
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Whether somebody answers there with 200.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: service-0.test\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok::<bool, std::io::Error>(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// A port that nobody listens on. None is given out twice.
fn free_port() -> u16 {
    let mut tried = BTreeSet::new();
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if port >= LAST_PORT {
            NEXT_PORT.store(FIRST_PORT, Ordering::Relaxed);
        }
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free || !tried.insert(port) {
            return port;
        }
    }
}

fn allow_everybody(path: &Path) -> anyhow::Result<()> {
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    Ok(fs::set_permissions(path, everybody)?)
}
