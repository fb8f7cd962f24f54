use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::control::{ApprovalStatus, ServiceStatus};

use super::change::{Because, tell_change};
use super::complete::services;
use super::foresee::{Sure, foresee};
use super::print::say;
use super::{Failure, block_on};

/// Arguments of `approve`.
#[derive(Args, Debug)]
pub(super) struct Approve {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// Does not agree: what was wanted is wanted no more.
    #[arg(long)]
    reject: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

impl Approve {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = format!("{}/approval", client::service(&self.service));
        let Because { reason, ticket, json } = self.because;
        let body = wire::Reason { reason, ticket };
        if self.reject {
            let text = block_on(client::ask_text(admin, Method::DELETE, &path, Some(&body)))?;
            say(&if json { text } else { format!("{}: rejected; nothing has changed", self.service) });
            return Ok(());
        }
        // They agree to what they are shown, and to nothing that takes its place meanwhile.
        let status: ServiceStatus =
            block_on(client::ask(admin, Method::GET, &client::service(&self.service), None::<&()>))?;
        let asked_unix_ms = status.approval.as_ref().map(|wanted| wanted.asked_unix_ms);
        if let (Some(wanted), false) = (&status.approval, json) {
            let ApprovalStatus { service, by, what, to_percent, reason, .. } = wanted;
            let to = format!("{to_percent:.2}");
            let to = if what.contains(&to) { String::new() } else { format!(", to {to}") };
            say(&format!("{service}: {by} wants {what}{to}: {reason}"));
        }
        let wanted = wire::Preview::Approve { service: self.service };
        let foreseen = foresee(admin, &wanted, &self.sure, json)?;
        let wire::Reason { reason, ticket } = body;
        let body = wire::Approval { reason, ticket, asked_unix_ms };
        tell_change(&block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?, &foreseen, json)
    }
}
