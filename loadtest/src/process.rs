//! Processes that we start, and what the kernel says that they have used.

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::{AddAssign, Sub};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// A process that runs for as long as this lives.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
}

/// What a process has used so far: all its threads, and those of its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// Of 10 ms, in which the kernel finds the process at work outside itself, …
    user_ticks: u64,
    /// … and inside. Their sum is less exact than `cpu_ns`: what counts is their proportion.
    system_ticks: u64,
    /// Times that a thread went to sleep: as often it was woken.
    pub(crate) sleeps: u64,
}

/// How long a process may take to end when it is asked to; then it is killed.
const LAST_WORDS: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

impl Process {
    /// Starts a program on these cores, such as `0` or `0,1`. It is ended when this is dropped, and by the kernel if we end
    /// without that.
    pub(crate) fn start(
        name: &'static str,
        cores: &str,
        command: &[&str],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", cores])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.join(" ")))?;
        Ok(Self { child, name })
    }

    /// The same for what says on its standard output that it is ready, in one line.
    pub(crate) fn start_and_hear(
        name: &'static str,
        cores: &str,
        command: &[&str],
    ) -> anyhow::Result<(Self, String)> {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", cores])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.join(" ")))?;
        let mut said = String::new();
        let mut byte = [0];
        let out = child.stdout.as_mut().context("its output is piped")?;
        while out.read(&mut byte)? == 1 && byte[0] != b'\n' {
            said.push(char::from(byte[0]));
        }
        Ok((Self { child, name }, said))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in tree(self.id()) {
            for thread in threads(pid) {
                usage += Usage::of_thread(&thread);
            }
        }
        usage
    }

    /// What each thread of this name has used, by its number.
    pub(crate) fn usage_of(&self, thread: &str) -> Vec<(String, Usage)> {
        let mut found = Vec::new();
        for folder in threads(self.id()) {
            let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
            if name.trim().starts_with(thread) {
                found.push((folder.clone(), Usage::of_thread(&folder)));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// Memory in use, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        tree(self.id()).into_iter().map(|pid| field(&format!("/proc/{pid}/status"), "VmRSS:")).sum()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // One that has ended already needs none.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = Instant::now();
        while !self.has_ended() {
            if asked.elapsed() > LAST_WORDS {
                let _ = self.child.kill();
                let _ = self.child.wait();
                eprintln!("{} had to be killed", self.name);
                return;
            }
            self.signal(Signal::TERM);
            std::thread::sleep(LOOK);
        }
    }
}

impl Usage {
    fn of_thread(folder: &str) -> Self {
        let schedstat = fs::read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
        let cpu_ns = schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        let (user_ticks, system_ticks) = ticks(&format!("{folder}/stat"), 11);
        let sleeps = field(&format!("{folder}/status"), "voluntary_ctxt_switches:");
        Self { cpu_ns, user_ticks, system_ticks, sleeps }
    }

    /// The share that was spent outside the kernel, if anything was.
    pub(crate) fn user_share(self) -> Option<f64> {
        let all = self.user_ticks + self.system_ticks;
        (all > 0).then(|| self.user_ticks as f64 / all as f64)
    }

    pub(crate) fn ticks(self) -> u64 {
        self.user_ticks + self.system_ticks
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.user_ticks += other.user_ticks;
        self.system_ticks += other.system_ticks;
        self.sleeps += other.sleeps;
    }
}

impl Sub for Usage {
    type Output = Self;

    /// A thread may have ended meanwhile, and taken what it had used along.
    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }
}

/// Two fields of a `stat` file: time in user mode and in the kernel, in ticks. They are counted from behind the name,
/// which may have blanks in it.
pub(crate) fn ticks(stat: &str, place: usize) -> (u64, u64) {
    let text = fs::read_to_string(stat).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(place);
    let mut next = || fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// A process, and all that it has started.
fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    for thread in threads(pid) {
        let children = fs::read_to_string(format!("{thread}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse().ok()).flat_map(tree));
    }
    all
}

fn threads(pid: u32) -> Vec<String> {
    let Ok(folders) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    folders.flatten().map(|folder| folder.path().display().to_string()).collect()
}

/// A number behind a name, in a file of such lines.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
