use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Fault, Loaded, reload};

/// Changes come in bursts: it is waited until they have been quiet for so long …
const QUIET: Duration = Duration::from_millis(50);
/// … but not longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// Also where the system tells of changes, files are looked at: some file systems tell nothing.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Where it does not.
const LOOK_OFTEN: Duration = Duration::from_secs(2);

/// Reads the configuration again when a file changes, when a mounted `ConfigMap` is swapped, and when
/// `again` is rung; sends what came of it if that is something new. `last` is the configuration in force.
pub(super) async fn run(
    folder: PathBuf,
    mut last: Loaded,
    again: Arc<Notify>,
    out: mpsc::Sender<Result<Loaded, Vec<Fault>>>,
) {
    let (telling, mut told) = mpsc::channel::<()>(1);
    // What has changed since the configuration was read, and before anybody watched.
    let _ = telling.try_send(());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change: it is what comes of one.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // One that waits to be seen is as good as many.
            let _ = telling.try_send(());
        }
    })
    .ok();
    let mut faults = Vec::new();
    loop {
        let is_told = follow(watcher.as_mut(), &folder);
        let seen = signature(folder.clone()).await;
        let asked = wait(&folder, seen, is_told, &mut told, &again).await;
        let (from, before) = (folder.clone(), last.clone());
        let reading = tokio::task::spawn_blocking(move || reload(&from, &before.config));
        let Ok(result) = reading.await else { continue };
        let news = match &result {
            Ok(loaded) => {
                let changed = loaded.fingerprint != last.fingerprint || !faults.is_empty();
                last.clone_from(loaded);
                faults.clear();
                changed
            }
            Err(found) => {
                let found: Vec<String> = found.iter().map(|fault| format!("{fault:?}")).collect();
                let changed = found != faults;
                faults = found;
                changed
            }
        };
        if !news && faults.is_empty() && asked == Asked::ByPerson {
            info!("the configuration has not changed");
        }
        // Who asks is told again what is wrong, and what could not come into force may be able to by now.
        if (news || asked == Asked::ByPerson) && out.send(result).await.is_err() {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    ByPerson,
    ByChange,
}

/// Waits until there may be something new to read.
async fn wait(
    folder: &Path,
    seen: u64,
    is_told: bool,
    told: &mut mpsc::Receiver<()>,
    reload: &Notify,
) -> Asked {
    let look = if is_told { LOOK_EVERY } else { LOOK_OFTEN };
    loop {
        tokio::select! {
            Some(()) = told.recv() => {
                let settle = async { while timeout(QUIET, told.recv()).await.is_ok() {} };
                // Files that never come to rest are read as they are.
                let _ = timeout(PATIENCE, settle).await;
                return Asked::ByChange;
            }
            () = reload.notified() => return Asked::ByPerson,
            () = tokio::time::sleep(look) => {
                if signature(folder.to_owned()).await != seen {
                    return Asked::ByChange;
                }
            }
        }
    }
}

/// Watches the folders that there are; a folder may have come or been replaced since the last time. Tells
/// whether the system will tell.
fn follow(watcher: Option<&mut RecommendedWatcher>, folder: &Path) -> bool {
    let Some(watcher) = watcher else { return false };
    let services = folder.join("services");
    let above = watcher.watch(folder, RecursiveMode::NonRecursive);
    if let Err(error) = &above {
        warn!(%error, folder = %folder.display(), "the system does not tell of changes: looking at files");
    }
    // It may not be there; then the folder above tells when it comes.
    let below = !services.exists() || watcher.watch(&services, RecursiveMode::NonRecursive).is_ok();
    above.is_ok() && below
}

/// Changes when a file does: names, sizes, times and inodes, seen through symbolic links.
async fn signature(folder: PathBuf) -> u64 {
    let looked = tokio::task::spawn_blocking(move || {
        let mut hasher = DefaultHasher::new();
        let folders = [folder.clone(), folder.join("services")];
        for folder in folders {
            let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .collect();
            paths.sort();
            for path in paths {
                path.hash(&mut hasher);
                if let Ok(meta) = std::fs::metadata(&path)
                    && meta.is_file()
                {
                    (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    });
    looked.await.unwrap_or_default()
}
