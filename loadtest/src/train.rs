//! Builds Switchback by what it does under load (profile-guided optimisation).
//!
//! The compiler does not know which of two ways a request takes, and lays out, inlines and keeps in registers by guess. Here it
//! is told: a program that counts its own branches is put under the load of every scenario, and is built once more by what it
//! has counted. Nothing of it is kept in the repository: a profile is of one compiler and one state of the code.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::compare::load::Load;
use crate::compare::{checked, install, loads, split, warm_up};
use crate::peers::Peer;
use crate::world::World;

/// What is trained, and with what.
#[derive(Args, Debug)]
pub(crate) struct Train {
    /// Seconds of load of each kind.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Trains with a program that counts its branches already, and builds none; its counts are in target/trained/counts.
    #[arg(long, value_name = "FILE")]
    counting: Option<PathBuf>,
}

/// Here programs are linked by LLVM's linker unless somebody wants another.
const LINKED_BY_LLD: &str = "x86_64-unknown-linux-gnu";

/// Where everything of it is: other builds go on as they were.
const FOLDER: &str = "target/trained";

impl Train {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        install(&[Peer::Switchback])?;
        let host = said("rustc", &["-vV"])?;
        let host =
            host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let merge = merge(host)?;
        fs::create_dir_all(FOLDER)?;
        let folder = Path::new(FOLDER).canonicalize()?;
        let (counts, merged) = (folder.join("counts"), folder.join("merged.profdata"));
        let counting = match &self.counting {
            Some(program) => program.clone(),
            None => build(host, &folder, &format!("-Cprofile-generate={}", counts.display()))?,
        };
        forget(&folder, &counts)?;
        for (name, load) in loads() {
            eprintln!("training: {name}");
            let before = counted(&counts)?;
            self.put_under(&counting, &load)?;
            ensure!(counted(&counts)? != before, "{} has not told what it has counted", counting.display());
        }
        checked(Command::new(&merge).arg("merge").arg("-o").arg(&merged).arg(&counts))?;
        // Cargo looks at what the compiler is told, and not into the profile: another one has another name.
        let profile = folder.join(format!("{:016x}.profdata", fingerprint(&fs::read(&merged)?)));
        fs::rename(&merged, &profile)?;
        let order = order(host, &merge, &profile)?;
        let trained = build(host, &folder, &format!("-Cprofile-use={}{order}", profile.display()))?;
        println!("{}", trained.display());
        Ok(())
    }

    /// The program writes what it has counted when it ends, as it does when the world is gone.
    fn put_under(&self, program: &Path, load: &Load) -> anyhow::Result<()> {
        let mut world = World::new(program, &split(), 1)?;
        world.start(Peer::Switchback)?;
        warm_up(&mut world, Peer::Switchback, load)?;
        let answered = load.saturate(&mut world, Peer::Switchback, self.seconds)?;
        ensure!(answered.failed == 0, "requests failed: {}", answered.said);
        Ok(())
    }
}

/// What the linker is told: to lay side by side what was run at all, and what was run often. Programs are read in pieces of many
/// functions, and what is never run would lie between those that are, and take as much memory as they do. Only one linker can be
/// told, and it is not everywhere that the compiler comes with it.
fn order(host: &str, merge: &Path, profile: &Path) -> anyhow::Result<String> {
    if host != LINKED_BY_LLD {
        return Ok(String::new());
    }
    let merge = merge.display().to_string();
    let covered = said(&merge, &["show", "--covered", &profile.display().to_string()])?;
    // Those that only one file knows are named with it.
    let names: Vec<&str> =
        covered.lines().map(|line| line.rsplit_once(';').map_or(line, |(_, name)| name)).collect();
    ensure!(!names.is_empty(), "nothing was run");
    let file = profile.with_extension("order");
    fs::write(&file, names.join("\n"))?;
    let options = ["-z,keep-text-section-prefix", "--no-warn-symbol-ordering", "--symbol-ordering-file"];
    let options = options.map(|option| format!(" -Clink-arg=-Wl,{option}")).concat();
    Ok(format!("{options}={}", file.display()))
}

/// Builds for this machine, so that what runs while it is built is not counted.
fn build(host: &str, folder: &Path, flags: &str) -> anyhow::Result<PathBuf> {
    eprintln!("building with {flags}");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--release", "--quiet", "--bin", "switchback", "--target", host]);
    checked(cargo.arg("--target-dir").arg(folder).env("RUSTFLAGS", flags))?;
    Ok(folder.join(host).join("release/switchback"))
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Of earlier trainings nothing is left to be taken for this one's.
fn forget(folder: &Path, counts: &Path) -> anyhow::Result<()> {
    if counts.exists() {
        fs::remove_dir_all(counts)?;
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "profdata" || extension == "order") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What tells one state of the counts from another: each program adds its own to what is there, or has a file of its own.
fn counted(counts: &Path) -> anyhow::Result<u64> {
    let Ok(files) = fs::read_dir(counts) else { return Ok(0) };
    let mut all = 0;
    for file in files {
        all ^= fingerprint(&fs::read(file?.path())?);
    }
    Ok(all)
}

/// The program that merges counts: it has to be of the compiler's own LLVM.
fn merge(host: &str) -> anyhow::Result<PathBuf> {
    let program = PathBuf::from(said("rustc", &["--print", "sysroot"])?.trim());
    let program = program.join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !program.exists() {
        checked(Command::new("rustup").args(["component", "add", "llvm-tools"]))?;
    }
    ensure!(program.exists(), "there is no {}: install rustup's component llvm-tools", program.display());
    Ok(program)
}

fn said(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
