use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use switchback::config::{self, Config};
use tempfile::TempDir;

/// As many as a large company has.
pub(crate) const MANY: usize = 5_000;
/// Of each side.
const ENDPOINTS: usize = 10;

/// The configuration of many services, gone with this.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn of(services: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for services");
        let process = "[listeners.plain]\naddress = \"127.0.0.1:18080\"\n";
        fs::create_dir(folder.path().join("services")).expect("a folder within");
        fs::write(folder.path().join("switchback.toml"), process).expect("a file");
        for place in 0..services {
            let file = folder.path().join(format!("services/service-{place}.toml"));
            fs::write(file, service(place)).expect("a file");
        }
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn load(&self) -> Config {
        config::load(self.path()).expect("there is no fault in it").config
    }
}

fn service(place: usize) -> String {
    let mut text =
        format!("team = \"bench\"\n[match]\nhosts = [\"service-{place}.test\"]\n[split]\nkubernetes = 50\n");
    for (side, third) in [("helios", 1), ("kubernetes", 2)] {
        let addresses =
            (0..ENDPOINTS).map(|endpoint| format!("\"10.{third}.{}.{endpoint}:80\"", place % 250));
        let addresses: Vec<String> = addresses.collect();
        let _ = writeln!(text, "[{side}]\nsource = {{ addresses = [{}] }}", addresses.join(", "));
    }
    text
}
