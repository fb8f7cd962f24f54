//! Completions for shells: what may be typed comes from the command line's own description, and names come from the
//! running Switchback.
//!
//! The shell sources a few lines (`switchback completions bash`) that ask this program each time, with a variable set. So
//! what is completed is never older than the program.

mod bash;
mod candidates;
mod words;

use std::path::PathBuf;

use clap::Args;
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};
use clap_complete::{CompleteEnv, Shell};

use super::Failure;
use super::print::say;

use bash::Bash;

pub(super) use candidates::{clusters, scenarios, services, teams, webhooks};

/// By which a shell says that it wants completions. Not clap's usual `COMPLETE`: who has set that for another program
/// shall not find this one silent.
const VARIABLE: &str = "SWITCHBACK_COMPLETE";

const SHELLS: [&dyn EnvCompleter; 5] = [&Bash, &Elvish, &Fish, &Powershell, &Zsh];

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let name = self.shell.to_string();
        let shell = SHELLS.into_iter().find(|shell| shell.is(&name));
        let shell = shell.ok_or_else(|| Failure::Refused(format!("there are no completions for {name}")))?;
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, "switchback", "switchback", &program(), &mut script)
            .map_err(anyhow::Error::from)?;
        say(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

/// What the shell is to ask: this program by the name that it was called by; where that is a path, from everywhere.
fn program() -> String {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_else(|| "switchback".into()));
    let is_path = called.components().count() > 1;
    let path = if is_path { std::path::absolute(&called).unwrap_or(called) } else { called };
    path.to_string_lossy().into_owned()
}

/// Answers a shell that wants completions. Whether one did.
pub(super) fn complete() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(super::command)
        .var(VARIABLE)
        .shells(Shells(&SHELLS))
        .try_complete(std::env::args_os(), here.as_deref())
        .unwrap_or_else(|error| error.exit())
}
