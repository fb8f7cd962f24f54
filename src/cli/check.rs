use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::{Config, Fault, Loaded, LoadedRights, load, load_rights, render, show};
use crate::model::{Scope, ServiceName};

use super::Failure;
use super::complete::services;
use super::print::{complain, complaints_take_colour, counted, say};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The folder with switchback.toml and services/.
    #[arg(value_name = "DIR")]
    config: PathBuf,
    /// Prints this service's settings with every default written out.
    #[arg(long, value_name = "SERVICE", add = services())]
    show: Option<String>,
    /// Prints the faults as one JSON array; with --show, the settings as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = match load(&self.config) {
            Ok(loaded) => loaded,
            Err(faults) => return self.refuse(&faults),
        };
        if let Some(name) = &self.show {
            let service = ServiceName::parse(name).ok().and_then(|name| loaded.config.services.get(&name));
            let service = service.ok_or_else(|| Failure::Refused(format!("there is no service {name}")))?;
            let settings = show(service);
            say(&if self.json { in_json(&settings)? } else { settings.trim_end().to_owned() });
            return Ok(());
        }
        if self.json {
            say("[]");
            return Ok(());
        }
        for path in &loaded.ignored {
            complain(&format!("note: {} is not read: it does not end in .toml", path.display()));
        }
        for note in unknown(&loaded) {
            complain(&format!("note: {note}"));
        }
        let files = counted(loaded.files as u64, "file");
        say(&format!("no faults in {files}: {}", counted(loaded.config.services.len() as u64, "service")));
        Ok(())
    }

    fn refuse(&self, faults: &[Fault]) -> Result<(), Failure> {
        if self.json {
            let list: Vec<_> = faults
                .iter()
                .map(|fault| {
                    let (line, column) = fault.line_and_column();
                    json!({
                        "file": fault.path(),
                        "line": line,
                        "column": column,
                        "message": fault.message,
                        "label": fault.label(),
                        "help": fault.help,
                    })
                })
                .collect();
            say(&serde_json::to_string_pretty(&list).map_err(anyhow::Error::from)?);
        } else {
            complain(&format!(
                "{}{}; nothing was changed",
                render(faults, complaints_take_colour()),
                count(faults.len())
            ));
        }
        Err(Failure::Said)
    }
}

/// Teams and services that somebody has rights over, and that there are not: a rights file may be ahead of the services'
/// files or behind them, and may be mistyped.
fn unknown(loaded: &Loaded) -> Vec<String> {
    let Config { process, services, .. } = &loaded.config;
    let rights = process.admin.rights.as_ref().and_then(|path| Some((path, load_rights(path).ok()?)));
    let Some((path, LoadedRights { rights, .. })) = rights else { return Vec::new() };
    let mut notes = BTreeSet::new();
    for grant in rights.grants() {
        let Scope::Of { teams, services: named } = &grant.scope else { continue };
        let strange = teams.iter().filter(|team| !services.values().any(|service| service.team == **team));
        notes.extend(
            strange.map(|team| format!("{} names team {team}, and no service is of it", path.display())),
        );
        let strange = named.iter().filter(|name| !services.contains_key(*name));
        notes.extend(
            strange.map(|name| format!("{} names service {name}, and there is none", path.display())),
        );
    }
    notes.into_iter().collect()
}

/// Settings as programs read them, with the keys of a service's file.
fn in_json(settings: &str) -> Result<String, Failure> {
    let settings: serde_json::Value = toml::from_str(settings).map_err(anyhow::Error::from)?;
    Ok(serde_json::to_string_pretty(&settings).map_err(anyhow::Error::from)?)
}

/// `1 fault`, `2 faults`.
pub(super) fn count(faults: usize) -> String {
    counted(faults as u64, "fault")
}
