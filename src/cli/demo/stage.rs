use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::app::{Ending, Running, build};
use crate::model::{PerSide, Side};

use super::endpoint::{Behaviour, Endpoint};

/// The shipped configuration; the demo changes nothing in it but addresses.
const SWITCHBACK: &str = include_str!("../../../config/switchback.toml");
const PLAYLIST: &str = include_str!("../../../config/services/playlist.toml");

/// The service of the demo, and a host that is its.
pub(super) const SERVICE: &str = "playlist";
pub(super) const HOST: &str = "playlist.example.net";

/// Endpoints of each side in the shipped file.
const ENDPOINTS: usize = 3;

/// Two platforms and the proxy between them, in a folder of their own.
pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) platforms: PerSide<Vec<Endpoint>>,
    pub(super) proxy: Running,
    pub(super) listener: SocketAddr,
}

/// A folder that goes when the demo does.
pub(super) struct Folder(PathBuf);

impl Stage {
    /// Sets everything up. Call on a runtime that runs local tasks.
    pub(super) fn set(delay_ms: f64) -> Result<Self> {
        let start = |side: Side, index: usize| {
            let name = format!("{side}-{}", index + 1);
            let behaviour = Behaviour { delay_ms, ..Behaviour::default() };
            Endpoint::start(([127, 0, 0, 1], 0).into(), &name, behaviour)
        };
        let platform = |side| (0..ENDPOINTS).map(|index| start(side, index)).collect::<Result<Vec<_>, _>>();
        let platforms = PerSide { helios: platform(Side::Helios)?, kubernetes: platform(Side::Kubernetes)? };
        let folder = Folder::new()?;
        folder.write(&platforms)?;
        let bound = build(&folder.0).map_err(|error| match error {
            crate::app::BuildError::Config(faults) => anyhow::anyhow!(crate::config::render(&faults, false)),
            other => other.into(),
        })?;
        let proxy = bound.start()?;
        let listener =
            proxy.address("http").context("the shipped configuration has a listener called http")?;
        Ok(Self { folder, platforms, proxy, listener })
    }

    /// Ends the proxy gracefully: the platforms, on this thread, answer meanwhile.
    pub(super) async fn strike(&mut self) {
        self.proxy.stop(Ending::Graceful);
        while !self.proxy.has_ended() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.proxy.join();
    }
}

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("switchback-demo-{}", std::process::id()));
        let make = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        make(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let folder = Self(path);
        make(&folder.0.join("services"))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, platforms: &PerSide<Vec<Endpoint>>) -> Result<()> {
        let state = self.0.join("state").display().to_string();
        let switchback = SWITCHBACK
            .replace("127.0.0.1:8080", "127.0.0.1:0")
            .replace("127.0.0.1:7070", "127.0.0.1:0")
            .replace("\".switchback\"", &format!("{state:?}"));
        let mut playlist = PLAYLIST.to_owned();
        for (side, first) in [(Side::Helios, 9001), (Side::Kubernetes, 9101)] {
            for (port, endpoint) in (first..).zip(&platforms[side]) {
                playlist = playlist.replace(&format!("127.0.0.1:{port}"), &endpoint.address().to_string());
            }
        }
        fs::write(self.0.join("switchback.toml"), switchback)?;
        fs::write(self.0.join("services").join(format!("{SERVICE}.toml")), playlist)?;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies in the system's folder for such things, which is emptied some day anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}
