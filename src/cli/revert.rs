use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;

use super::change::{Because, tell_change};
use super::foresee::{Sure, foresee};
use super::scope::ScopeArguments;
use super::{Failure, block_on};

/// Arguments of `revert`.
#[derive(Args, Debug)]
pub(super) struct Revert {
    #[command(flatten)]
    scope: ScopeArguments,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

impl Revert {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let scope = wire::Scope::from(self.scope);
        let Because { reason, ticket, json } = self.because;
        let foreseen = foresee(admin, &wire::Preview::Revert(scope.clone()), &self.sure, json)?;
        let body = wire::OfScope::new(scope, reason, ticket);
        tell_change(
            &block_on(client::ask_text(admin, Method::POST, "/v1/revert", Some(&body)))?,
            &foreseen,
            json,
        )
    }
}
