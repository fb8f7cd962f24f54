use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire::{GrantStatus, WhoAmI};

use super::print::say;
use super::{Failure, block_on};

/// Arguments of `whoami`.
#[derive(Args, Debug)]
pub(super) struct WhoAmIs {
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl WhoAmIs {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        if self.json {
            say(&block_on(client::ask_text(admin, Method::GET, "/v1/whoami", None::<&()>))?);
            return Ok(());
        }
        let WhoAmI { name, via, grants } =
            block_on(client::ask(admin, Method::GET, "/v1/whoami", None::<&()>))?;
        let via = match via.as_str() {
            "word" => "by their own word",
            "token" => "by a token",
            "certificate" => "by a certificate",
            "oidc" => "by the identity provider",
            "user" => "a user of that machine",
            other => other,
        };
        say(&format!("{name}, {via}"));
        for grant in grants {
            say(&format!("  {}", in_words(&grant)));
        }
        Ok(())
    }
}

fn in_words(GrantStatus { role, everything, teams, services }: &GrantStatus) -> String {
    if *everything {
        return format!("{role} over everything");
    }
    let teams = teams.iter().map(|team| format!("team {team}"));
    let services = services.iter().map(|service| format!("service {service}"));
    format!("{role} over {}", teams.chain(services).collect::<Vec<_>>().join(", "))
}
