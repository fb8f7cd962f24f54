use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::compare::load::Load;
use crate::compare::{build_commit, split};

use super::count;

/// A commit's files, for as long as this lives.
struct Worktree {
    folder: PathBuf,
    commit: String,
}

/// Where they are laid out.
const FOLDER: &str = "target/loadtest/commits";

/// Counts both, and prints what has changed.
pub(super) fn compare(commits: [&str; 2], loads: &[(&str, Load)], requests: u64) -> anyhow::Result<()> {
    let programs = commits.map(program);
    let [before, after] = programs;
    let (before, after) = (before?, after?);
    println!(
        "| | instructions before | after | change | allocations before | after | system calls before | after |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (name, load) in loads {
        let before = count(&before, &split(), load, requests).with_context(|| format!("{name}, before"))?;
        let after = count(&after, &split(), load, requests).with_context(|| format!("{name}, after"))?;
        let change = (after.each / before.each - 1.0) * 100.0;
        println!(
            "| {name} | {:.0} | {:.0} | {change:+.2} % | {:.2} | {:.2} | {:.2} | {:.2} |",
            before.each,
            after.each,
            before.allocations,
            after.allocations,
            before.system_calls,
            after.system_calls
        );
    }
    Ok(())
}

/// The program of a commit; one that was built before is not built again.
fn program(commit: &str) -> anyhow::Result<PathBuf> {
    let commit = git(&["rev-parse", "--verify", &format!("{commit}^{{commit}}")])?;
    let built = Path::new(FOLDER).join(format!("switchback-{commit}"));
    if !built.is_file() {
        let worktree = Worktree::lay(commit)?;
        build_commit(&worktree.folder, &built).with_context(|| format!("commit {}", worktree.commit))?;
    }
    Ok(built)
}

impl Worktree {
    fn lay(commit: String) -> anyhow::Result<Self> {
        let folder = Path::new(FOLDER).join(&commit);
        std::fs::create_dir_all(FOLDER)?;
        git(&["worktree", "add", "--force", "--detach", &folder.display().to_string(), &commit])?;
        Ok(Self { folder, commit })
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        if let Err(error) = git(&["worktree", "remove", "--force", &self.folder.display().to_string()]) {
            eprintln!("{error:#}");
        }
    }
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).output().context("git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
