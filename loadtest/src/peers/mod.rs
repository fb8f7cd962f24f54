//! Who is measured, and how each is set up: as alike as they can be. Settings are in `loadtest/settings`, Envoy's here.

mod envoy;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::generate::Speaks;
use crate::world::World;

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    Switchback,
    Haproxy,
    Nginx,
    Envoy,
    /// HAProxy that relays bytes: the floor.
    Relay,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Switchback, Self::Haproxy, Self::Nginx, Self::Envoy, Self::Relay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switchback => "switchback",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Relay => "relay",
        }
    }

    /// As people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Switchback => "Switchback",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
            Self::Relay => "floor (TCP relay)",
        }
    }

    /// Where it listens for clients that speak so.
    pub(crate) fn port(self, world: &mut World, speaks: Speaks) -> u16 {
        let listener = match speaks {
            Speaks::Http1 => "plain",
            Speaks::TlsHttp1 | Speaks::TlsHttp2 => "tls",
            Speaks::Grpc => "grpc",
        };
        world.port(&format!("{}-{listener}", self.name()))
    }

    /// Writes its settings, and tells how it is started.
    pub(crate) fn prepare(self, world: &mut World) -> anyhow::Result<Vec<String>> {
        let command = match self {
            Self::Switchback => {
                let folder = world.write_settings(
                    "switchback/switchback.toml",
                    include_str!("../../settings/switchback.toml"),
                )?;
                world.write_settings(
                    "switchback/services/bench.toml",
                    include_str!("../../settings/bench.toml"),
                )?;
                world.write_settings(
                    "switchback/services/calls.toml",
                    include_str!("../../settings/calls.toml"),
                )?;
                let folder = folder.parent().context("it lies in a folder")?.display().to_string();
                vec![
                    world.switchback.display().to_string(),
                    "serve".to_owned(),
                    "--config".to_owned(),
                    folder,
                ]
            }
            Self::Haproxy => {
                let file = world.write_settings("haproxy.cfg", include_str!("../../settings/haproxy.cfg"))?;
                vec![program("haproxy")?, "-db".to_owned(), "-f".to_owned(), file.display().to_string()]
            }
            Self::Relay => {
                let file = world.write_settings("relay.cfg", include_str!("../../settings/relay.cfg"))?;
                vec![program("haproxy")?, "-db".to_owned(), "-f".to_owned(), file.display().to_string()]
            }
            Self::Nginx => nginx(world, "nginx.conf", include_str!("../../settings/nginx.conf"))?,
            Self::Envoy => {
                let settings = envoy::settings(world);
                let file = world.write("envoy.json", &settings)?;
                let file = file.display().to_string();
                let flags =
                    ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn", "--config-path"];
                let program = envoy_program().context("Envoy is not installed")?.display().to_string();
                std::iter::once(program).chain(flags.map(str::to_owned)).chain([file]).collect()
            }
        };
        Ok(command)
    }
}

/// How nginx is started with these settings.
pub(crate) fn nginx(world: &mut World, file: &str, settings: &str) -> anyhow::Result<Vec<String>> {
    let log = world.path(&format!("{file}.log")).display().to_string();
    let file = world.write_settings(file, settings)?.display().to_string();
    Ok(vec![program("nginx")?, "-c".to_owned(), file, "-e".to_owned(), log])
}

/// Where Debian puts what only root needs.
const MORE_PLACES: [&str; 2] = ["/usr/sbin", "/sbin"];
/// Envoy is a Python package: a folder of its own, so that nothing of the system is touched.
pub(crate) const ENVOY_FOLDER: &str = "target/envoy";

/// Where a program is.
pub(crate) fn program(name: &str) -> anyhow::Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(MORE_PLACES.map(PathBuf::from));
    for place in places {
        let found = place.join(name);
        if found.is_file() {
            return Ok(found.display().to_string());
        }
    }
    bail!("{name} is not installed")
}

/// The program itself, which the package brings along.
pub(crate) fn envoy_program() -> Option<PathBuf> {
    let libraries = std::fs::read_dir(Path::new(ENVOY_FOLDER).join("lib")).ok()?;
    let places = libraries.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    places.into_iter().find(|place| place.is_file())
}
