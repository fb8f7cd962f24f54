use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program as a process. It is ended when the test is.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

/// How long a line that is bound to come may take.
const BOUND: Duration = Duration::from_secs(20);

impl Process {
    /// Starts the program with these arguments. Its standard output and error are read together.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sending, lines) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sending = sending.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // Who stops reading closes the pipe.
                    if sending.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// Runs the program to its end.
    pub(crate) fn run(arguments: &[&str]) -> Output {
        command(arguments).output().unwrap()
    }

    /// The same with these variables.
    pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        command(arguments).envs(variables.iter().copied()).output().unwrap()
    }

    /// Starts an endpoint, and tells where it listens.
    pub(crate) fn endpoint(name: &str) -> (Self, SocketAddr) {
        let mut process = Self::start(&["endpoint", "127.0.0.1:0", "--name", name]);
        let address = process.after("listens on ").parse().unwrap();
        (process, address)
    }

    /// Starts the proxy, and tells where it listens and where its admin interface is.
    pub(crate) fn serve(folder: &Path) -> (Self, SocketAddr, SocketAddr) {
        let mut process = Self::start(&["serve", "--config", &folder.display().to_string()]);
        let address = process.after("listening listener=\"http\" address=").parse().unwrap();
        let line = process.after("admin listening address=");
        let admin = line.split(' ').next().unwrap().parse().unwrap();
        (process, address, admin)
    }

    /// Waits for a line with this text, and gives back what follows the text.
    pub(crate) fn after(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(BOUND).unwrap_or_else(|_| {
                panic!("no line with {text:?} came; there were:\n{}", self.seen.join("\n"))
            });
            self.seen.push(line.clone());
            if let Some(place) = line.find(text) {
                return line[place + text.len()..].to_owned();
            }
        }
    }

    /// What it has said so far, as far as it was waited for.
    pub(crate) fn seen(&self) -> String {
        self.seen.join("\n")
    }

    /// Takes no more of what it says: the next lines find the pipe closed.
    pub(crate) fn stop_reading(&mut self) {
        self.lines = mpsc::channel().1;
    }

    /// By which the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory, by the kernel's name for what is asked: `VmRSS` now, `VmHWM` at most.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with these arguments, and nothing of the environment that says how it is to be.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchback"));
    for variable in
        ["ADMIN", "TOKEN", "TOKEN_FILE", "AUTHORITIES", "CERTIFICATE", "KEY", "CONFIG", "COMPLETE"]
    {
        command.env_remove(format!("SWITCHBACK_{variable}"));
    }
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}
