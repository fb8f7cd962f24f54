use clap::Args;
use serde_json::json;

use super::super::Failure;
use super::super::print::say;
use super::file::RightsFile;
use super::{Place, is_good};

/// Arguments of `token revoke`.
#[derive(Args, Debug)]
pub(super) struct RevokeToken {
    /// The token's name.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Prints what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl RevokeToken {
    pub(super) fn run(self) -> Result<(), Failure> {
        let file = RightsFile::open(&self.place.path()?)?;
        let name = &self.name;
        if !is_good(&file)?.tokens.contains_key(name.as_str()) {
            return Err(Failure::Refused(format!("there is no token {name} in {}", file.path().display())));
        }
        file.remove(name)?;
        if self.json {
            say(&json!({ "revoked": name, "file": file.path() }).to_string());
        } else {
            say(&format!("{name} is revoked: a running Switchback lets it in for a second at most"));
        }
        Ok(())
    }
}
