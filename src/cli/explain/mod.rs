//! What has happened to a service, and what would be seen.

mod receipt;
mod sensitivity;

use clap::Args;
use http::{Method, StatusCode};

use crate::admin::client::{self, Address, AskError};
use crate::control::{ReceiptRecord, ServiceStatus};

use super::complete::services;
use super::print::{Column, Screen, facts, moment, say, table};
use super::status::{evidence, word};
use super::{Failure, block_on};

use receipt::course;
pub(super) use receipt::{how_sure, on_helios, question_in_words, tell, what};

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that somebody types")]
pub(super) struct Explain {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// Explains an earlier revert: its number of milliseconds since 1970, as `--reverts` lists it.
    #[arg(long, value_name = "UNIX_MS")]
    at: Option<u64>,
    /// Tells all that is in the receipt: what each question had to say, and what happened second by second.
    #[arg(long)]
    full: bool,
    /// Lists the reverts whose receipts are kept.
    #[arg(long, conflicts_with_all = ["at", "full"])]
    reverts: bool,
    /// Tells instead how soon the judge would see trouble, at the present rates of requests.
    #[arg(long, conflicts_with_all = ["at", "full", "reverts"])]
    sensitivity: bool,
    /// Prints the receipt as it is kept, or what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let service = client::service(&self.service);
        let path = match self.at {
            _ if self.sensitivity => format!("{service}/sensitivity"),
            _ if self.reverts => format!("{service}/receipts"),
            Some(at) => format!("{service}/receipts/{at}"),
            None => format!("{service}/receipt"),
        };
        if self.json {
            say(&block_on(client::ask_text(admin, Method::GET, &path, None::<&()>))?);
            return Ok(());
        }
        let screen = Screen::of_output();
        if self.sensitivity {
            let sensitivity = block_on(client::ask(admin, Method::GET, &path, None::<&()>))?;
            say(&sensitivity::tell(&sensitivity, &screen));
            return Ok(());
        }
        if self.reverts {
            let receipts: Vec<ReceiptRecord> = block_on(client::ask(admin, Method::GET, &path, None::<&()>))?;
            say(&tell_reverts(&self.service, &receipts, &screen));
            return Ok(());
        }
        let receipt = match block_on(client::ask(admin, Method::GET, &path, None::<&()>)) {
            Ok(receipt) => Some(receipt),
            // It was never reverted, or there is no such service: its status tells which.
            Err(Failure::Admin(AskError::Refused { status: StatusCode::NOT_FOUND, .. }))
                if self.at.is_none() =>
            {
                None
            }
            Err(failure) => return Err(failure),
        };
        let status: ServiceStatus = block_on(client::ask(admin, Method::GET, &service, None::<&()>))?;
        let Some(receipt) = receipt else {
            say(&tell_state(&status, &screen));
            return Ok(());
        };
        // What is now follows from the last revert only.
        say(&tell(&receipt, Some(&status).filter(|_| self.at.is_none()), &screen));
        if self.full {
            say(&receipt::tell_more(&receipt, &screen));
        }
        Ok(())
    }
}

/// The reverts whose receipts are kept, the newest last, next to the prompt.
fn tell_reverts(service: &str, receipts: &[ReceiptRecord], screen: &Screen) -> String {
    if receipts.is_empty() {
        return format!("{service} has no receipts");
    }
    let rows: Vec<_> = receipts
        .iter()
        .rev()
        .map(|receipt| {
            vec![
                receipt.reverted_unix_ms.to_string().into(),
                moment(receipt.reverted_unix_ms).into(),
                receipt.by.to_string().into(),
                receipt.reason.as_str().into(),
            ]
        })
        .collect();
    let columns = [Column::stays(""), Column::stays(""), Column::shortens(2, ""), Column::shortens(1, "")];
    table(&columns, &rows, screen)
}

/// What the judge has to say of a service that was never reverted.
fn tell_state(status: &ServiceStatus, screen: &Screen) -> String {
    let mut rows = Vec::new();
    let mut add = |what: &str, text: String| rows.push([format!("  {what}"), text]);
    add("weight", format!("{:.2} ({})", status.weight_percent, status.why));
    add("judge", status.judge.clone());
    if status.judge != "off" {
        add("verdict", word(status));
        add("evidence", evidence(status));
        let gate = if status.shared { "shut: Helios is degraded too" } else { "not shut" };
        add("gate", gate.to_owned());
    }
    if let Some(case) = &status.case {
        add("what", what(case));
        add("", on_helios(case));
        add("how sure", how_sure(case));
        if let Some(course) = course(case) {
            add("", course);
        }
    }
    format!("{} has never been reverted.\n{}", status.service, facts(&rows, screen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_was_never_reverted_is_told_as_it_is() {
        let side = serde_json::json!({"endpoints": 1, "per_second": 9.0, "failed": 0.0});
        let status = serde_json::from_value(serde_json::json!({
            "service": "a", "team": "t", "weight_percent": 25.0, "why": "file", "file_percent": 25.0,
            "helios": side, "kubernetes": side, "judge": "revert", "verdict": "not worse", "evidence": 0.34,
            "leading": "slower", "leading_route": "GET /x", "shared": true
        }))
        .unwrap();
        let lines = [
            "a has never been reverted.",
            "  weight    25.00 (file)",
            "  judge     revert",
            "  verdict   not worse",
            "  evidence  34% (slower on GET /x)",
            "  gate      shut: Helios is degraded too",
        ];
        assert_eq!(tell_state(&status, &Screen::PAPER), lines.join("\n"));
        let quiet = ServiceStatus { evidence: 0.0, shared: false, ..status };
        let told = tell_state(&quiet, &Screen::PAPER);
        assert!(told.contains("  evidence  none\n") && told.ends_with("  gate      not shut"), "{told}");
        let off = ServiceStatus { judge: "off".to_owned(), ..quiet };
        assert_eq!(
            tell_state(&off, &Screen::PAPER),
            "a has never been reverted.\n  weight  25.00 (file)\n  judge   off"
        );
    }
}
