use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;

use super::scope::ScopeArguments;
use super::weight::tell;
use super::{Failure, block_on};

/// Arguments of `revert`.
#[derive(Args, Debug)]
pub(super) struct Revert {
    #[command(flatten)]
    scope: ScopeArguments,
    /// Why: others will read it at three in the morning
    #[arg(long)]
    reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as INC-4711.
    #[arg(long)]
    ticket: Option<String>,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl Revert {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let body = wire::OfScope::new(self.scope.into(), self.reason, self.ticket);
        tell(&block_on(client::ask_text(admin, Method::POST, "/v1/revert", Some(&body)))?, self.json)
    }
}
