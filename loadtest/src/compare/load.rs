//! Puts load on a proxy: by wrk and h2load as much as it takes, by our own generator at a steady rate.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::generate::{GRPC_PATH, Generated, Speaks, grpc_message};
use crate::peers::{Peer, program};
use crate::world::World;

/// What is asked, and over what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) speaks: Speaks,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    /// Absent for the address that is asked.
    pub(crate) host: Option<&'static str>,
    pub(crate) path: &'static str,
    /// Bytes that are sent along.
    pub(crate) body: usize,
    /// Each request over a connection of its own.
    pub(crate) anew: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    /// What the tool said, if something failed.
    pub(crate) said: String,
}

impl Load {
    /// 64 connections that ask for 125 bytes.
    pub(crate) const PLAIN: Self = Self {
        speaks: Speaks::Http1,
        connections: 64,
        streams: 1,
        host: None,
        path: "/",
        body: 0,
        anew: false,
    };

    /// Whether a request takes many times what most do.
    pub(crate) fn is_large(&self) -> bool {
        self.body > 0 || self.path != "/" || (self.anew && self.speaks.has_tls())
    }

    /// As much as the proxy takes, for so many seconds.
    pub(crate) fn saturate(&self, world: &mut World, peer: Peer, seconds: u64) -> anyhow::Result<Answered> {
        let port = peer.port(world, self.speaks);
        if self.speaks.has_streams() {
            self.h2load(world, port, seconds)
        } else {
            self.wrk(world, port, seconds)
        }
    }

    /// `rate` requests a second, for so many seconds.
    pub(crate) fn steady(
        &self,
        world: &mut World,
        peer: Peer,
        rate: f64,
        seconds: f64,
    ) -> anyhow::Result<Generated> {
        let arguments = ["--rate".to_owned(), rate.to_string(), "--seconds".to_owned(), seconds.to_string()];
        let port = peer.port(world, self.speaks);
        self.generate(world, port, &arguments)
    }

    /// By our own generator.
    pub(crate) fn generate(&self, world: &World, port: u16, more: &[String]) -> anyhow::Result<Generated> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &world.cores.load]).arg(std::env::current_exe()?);
        command.arg("generate").args(self.arguments(world, port)).args(more);
        Ok(serde_json::from_str(&run(&mut command)?)?)
    }

    /// What our own generator is told.
    pub(crate) fn arguments(&self, world: &World, port: u16) -> Vec<String> {
        let mut arguments = vec![
            format!("--to=127.0.0.1:{port}"),
            format!("--speaks={}", self.speaks.name()),
            format!("--connections={}", self.connections),
            format!("--streams={}", self.streams),
            format!("--path={}", self.path),
            format!("--body={}", self.body),
            format!("--authority={}", world.authority().display()),
        ];
        arguments.extend(self.anew.then(|| "--anew".to_owned()));
        arguments
    }

    fn wrk(&self, world: &World, port: u16, seconds: u64) -> anyhow::Result<Answered> {
        let mut command = tool(world, "wrk")?;
        let scheme = if self.speaks.has_tls() { "https" } else { "http" };
        command.args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s")]);
        if self.anew {
            command.args(["-H", "Connection: close"]);
        }
        if let Some(host) = self.host {
            command.args(["-H", &format!("Host: {host}")]);
        }
        if self.body > 0 {
            let script = world.path(&format!("post-{}.lua", self.body));
            let text = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {})\n", self.body);
            std::fs::write(&script, text)?;
            command.arg("-s").arg(script);
        }
        command.arg(format!("{scheme}://127.0.0.1:{port}{}", self.path));
        wrk_said(&run(&mut command)?)
    }

    fn h2load(&self, world: &World, port: u16, seconds: u64) -> anyhow::Result<Answered> {
        let mut command = tool(world, "h2load")?;
        command.args(["-t1", &format!("-c{}", self.connections), &format!("-m{}", self.streams)]);
        command.args(["-D", &format!("{seconds}s")]);
        let url = if self.speaks == Speaks::Grpc {
            let message = world.path("message");
            std::fs::write(&message, grpc_message())?;
            command.arg("-d").arg(message).args([
                "-H",
                "content-type: application/grpc",
                "-H",
                "te: trailers",
            ]);
            format!("http://127.0.0.1:{port}{GRPC_PATH}")
        } else {
            format!("https://127.0.0.1:{port}{}", self.path)
        };
        h2load_said(&run(command.arg(url))?, seconds)
    }
}

/// A tool on the load's core, that speaks TLS as everybody here does.
fn tool(world: &World, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &world.cores.load]).arg(program(name)?);
    command.env("OPENSSL_CONF", world.path("openssl.cnf"));
    Ok(command)
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} failed: {out}{error}");
    Ok(out.into_owned())
}

/// `  98765 requests in 2.00s, 23.45MB read`, and what went wrong if something did.
fn wrk_said(said: &str) -> anyhow::Result<Answered> {
    let line = said.lines().find(|line| line.contains(" requests in "));
    let line = line.with_context(|| format!("wrk says no requests: {said}"))?;
    let mut words = line.split_whitespace();
    let requests = words.next().and_then(|word| word.parse().ok()).context("wrk says no number")?;
    let seconds = words.nth(2).and_then(in_seconds).context("wrk says no time")?;
    // `Socket errors: connect 0, read 3, write 0, timeout 2` and `Non-2xx or 3xx responses: 7`
    let complaints = said.lines().filter(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    let counts =
        complaints.filter_map(|line| line.split_once(": ")).flat_map(|(_, counts)| counts.split(' '));
    let failed = counts.filter_map(|word| word.trim_end_matches(',').parse::<u64>().ok()).sum();
    Ok(Answered { requests, failed, seconds, said: complaint(failed, said) })
}

/// `requests: 131072 total, 131200 started, 131072 done, 131072 succeeded, 0 failed, 0 errored, 0 timeout`.
fn h2load_said(said: &str, seconds: u64) -> anyhow::Result<Answered> {
    let line = said.lines().find_map(|line| line.strip_prefix("requests: "));
    let line = line.with_context(|| format!("h2load says no requests: {said}"))?;
    let count = |name: &str| {
        let part = line.split(", ").find_map(|part| part.strip_suffix(name))?;
        part.trim().parse::<u64>().ok()
    };
    let requests = count("succeeded").context("h2load says no successes")?;
    let failed = ["failed", "timeout"].iter().filter_map(|name| count(name)).sum();
    Ok(Answered { requests, failed, seconds: seconds as f64, said: complaint(failed, said) })
}

fn complaint(failed: u64, said: &str) -> String {
    if failed > 0 { said.trim().to_owned() } else { String::new() }
}

/// `2.00s` or `500.12ms`.
fn in_seconds(word: &str) -> Option<f64> {
    let word = word.trim_end_matches(',');
    let (number, seconds) = match word.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (word.strip_suffix('s')?, 1.0),
    };
    number.parse::<f64>().ok().map(|number| number * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "Running 2s test @ http://127.0.0.1:1/\n  80713 requests in 2.10s, 23.71MB read\nRequests/sec: 1\n";
        let answered = wrk_said(said).unwrap();
        assert_eq!((answered.requests, answered.failed, answered.seconds), (80_713, 0, 2.1));
        let bad = format!(
            "{said}  Socket errors: connect 0, read 3, write 0, timeout 2\n  Non-2xx or 3xx responses: 7\n"
        );
        assert_eq!(wrk_said(&bad).unwrap().failed, 12);
    }

    #[test]
    fn what_h2load_says_is_understood() {
        let said = "finished in 2.00s, 1 req/s, 1MB/s\n\
                    requests: 900 total, 910 started, 900 done, 897 succeeded, 3 failed, 3 errored, 0 timeout\n";
        let answered = h2load_said(said, 2).unwrap();
        assert_eq!((answered.requests, answered.failed), (897, 3));
    }
}
