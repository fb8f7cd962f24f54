//! Tokens: made, listed and revoked in the rights file. It is files that are changed here, and nobody is asked: a running
//! Switchback sees it within a second.

mod file;
mod list;
mod new;
mod revoke;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{load_rights_alone, render, rights_file};

use super::Failure;
use super::print::{complain, complaints_take_colour};

use file::RightsFile;

/// Arguments of `token`.
#[derive(Args, Debug)]
pub(super) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a token and adds its entry to the rights file. It is printed this once: the file has a hash of it.
    New(new::NewToken),
    /// Lists the tokens of the rights file.
    List(list::ListTokens),
    /// Takes a token out of the rights file.
    Revoke(revoke::RevokeToken),
}

/// Where the rights file is.
#[derive(Args, Debug)]
struct Place {
    /// The rights file.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    rights: Option<PathBuf>,
    /// The folder with the switchback.toml that names it.
    #[arg(long, value_name = "DIR", env = "SWITCHBACK_CONFIG")]
    config: Option<PathBuf>,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::New(new) => new.run(),
            What::List(list) => list.run(),
            What::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Place {
    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(rights) = &self.rights {
            return Ok(rights.clone());
        }
        let folder = self.config.as_deref().unwrap_or(std::path::Path::new("."));
        let named = rights_file(folder).map_err(|faults| {
            complain(&render(&faults, complaints_take_colour()));
            Failure::Refused("switchback.toml has faults".to_owned())
        })?;
        let none = || {
            Failure::Refused(format!(
                "{} names no rights file: add rights = \"rights.toml\" to its [admin], or say --rights FILE",
                folder.join("switchback.toml").display()
            ))
        };
        named.ok_or_else(none)
    }
}

/// Refuses to change a file with faults: what is added to it would not come into force.
fn is_good(file: &RightsFile) -> Result<crate::config::RightsConfig, Failure> {
    if !file.exists() {
        return Ok(crate::config::RightsConfig::default());
    }
    load_rights_alone(file.path()).map(|loaded| loaded.rights).map_err(|faults| {
        complain(&render(&faults, complaints_take_colour()));
        Failure::Refused(format!("{} has faults, and was not changed", file.path().display()))
    })
}
