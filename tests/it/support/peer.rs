//! Programs that others have written.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a program to its end, which must be a good one, and tells what it said.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(program).args(arguments).output().await;
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}{complaint}", output.status);
    said
}

/// Runs one of the scripts in `tests/it/peers`.
pub(crate) async fn run_script(name: &str, arguments: &[&str]) -> String {
    let script = script(name).display().to_string();
    run(&python(), &[&["-u", script.as_str()], arguments].concat()).await
}

/// A server in Python. It is ended when the test is.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Python's own server of files, on HTTP/1.0.
    pub(crate) fn of_files(folder: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        Self::start(command)
    }

    /// One of the scripts in `tests/it/peers`.
    pub(crate) fn script(name: &str, arguments: &[&Path]) -> Self {
        let mut command = Command::new(python());
        command.arg("-u").arg(script(name)).args(arguments);
        Self::start(command)
    }

    /// The first line that it says names its port.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next());
        let address = format!("127.0.0.1:{}", port.unwrap_or_else(|| panic!("no port in {line:?}")));
        Self { child, address: address.parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(name)
}

/// The Python that has the packages of `tests/it/peers/requirements.txt`.
fn python() -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python");
    assert!(python.exists(), "{} is not there; tests/run installs it", python.display());
    python.display().to_string()
}
