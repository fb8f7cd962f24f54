use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::peers::{Peer, program};
use crate::world::World;

use super::profile::Profile;

/// Switchback under callgrind.
pub(super) struct Callgrind {
    out: PathBuf,
    dumps: u32,
}

/// What a phase took, by thread.
pub(super) struct Phase {
    threads: Vec<Profile>,
}

impl Callgrind {
    /// How Switchback is started under it.
    pub(super) fn prepare(world: &mut World) -> anyhow::Result<(Self, Vec<String>)> {
        let out = world.path("callgrind");
        let valgrind = [
            program("valgrind")?,
            "--tool=callgrind".to_owned(),
            "--separate-threads=yes".to_owned(),
            format!("--callgrind-out-file={}", out.display()),
        ];
        let command = valgrind.into_iter().chain(Peer::Switchback.prepare(world)?).collect();
        Ok((Self { out, dumps: 0 }, command))
    }

    /// Ends a phase: what was counted since the last is given back, and counting begins anew.
    pub(super) fn phase(&mut self, world: &World) -> anyhow::Result<Phase> {
        let pid = world.process(Peer::Switchback)?.id().to_string();
        let output = Command::new(program("callgrind_control")?).args(["--dump=phase", &pid]).output()?;
        ensure!(output.status.success(), "callgrind_control: {}", String::from_utf8_lossy(&output.stderr));
        self.dumps += 1;
        let folder = self.out.parent().context("it lies in a folder")?;
        let name = format!("callgrind.{}-", self.dumps);
        let mut threads = Vec::new();
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                threads.push(Profile::parse(&fs::read_to_string(entry.path())?));
            }
        }
        ensure!(!threads.is_empty(), "callgrind has written nothing");
        Ok(Phase { threads })
    }
}

impl Phase {
    /// The worker's thread: under load it does most.
    pub(super) fn worker(&self) -> &Profile {
        let most = self.threads.iter().max_by_key(|profile| profile.total());
        most.unwrap_or_else(|| unreachable!("a phase has threads"))
    }

    pub(super) fn total(&self) -> u64 {
        self.threads.iter().map(Profile::total).sum()
    }
}
