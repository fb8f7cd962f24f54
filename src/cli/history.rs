use std::path::PathBuf;

use clap::Args;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::admin::client::{self, Address};
use crate::control::{DeedOutcome, HistoryEntry, Page, Reader, Verification};

use super::complete::services;
use super::print::{counted, moment, say};
use super::{Failure, block_on};

/// Arguments of `history`.
#[derive(Args, Debug)]
pub(super) struct History {
    /// The service. Default: all that you may see.
    #[arg(add = services())]
    service: Option<String>,
    /// Checks whether the history is as it was written, instead of showing it.
    #[arg(long, conflicts_with_all = ["service", "limit", "before"])]
    verify: bool,
    /// At most so many entries, the newest: 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those before the entry with this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// Reads this state directory in place of asking a running Switchback.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        if self.verify { self.verify(admin) } else { self.show(admin) }
    }

    fn show(self, admin: &Address) -> Result<(), Failure> {
        let mut entries = self.entries(admin)?;
        // As one reads: the newest is last, next to the prompt.
        entries.reverse();
        for entry in &entries {
            if self.json {
                say(&serde_json::to_string(entry).map_err(anyhow::Error::from)?);
            } else {
                say(&describe(entry));
            }
        }
        if entries.is_empty() && !self.json {
            say("there is nothing");
        }
        Ok(())
    }

    fn entries(&self, admin: &Address) -> Result<Vec<HistoryEntry>, Failure> {
        if let Some(state) = &self.state {
            let page = Page { most: usize::from(self.limit), before: self.before };
            let wanted = |entry: &HistoryEntry| self.service.is_none() || entry.what.service == self.service;
            return Reader::of(state).read(&page, wanted).map_err(|error| unreadable(state, &error));
        }
        let mut path = format!("/v1/history?limit={}", self.limit);
        if let Some(service) = &self.service {
            path = format!("{path}&service={}", utf8_percent_encode(service, NON_ALPHANUMERIC));
        }
        if let Some(before) = self.before {
            path = format!("{path}&before={before}");
        }
        block_on(client::ask(admin, Method::GET, &path, None::<&()>))
    }

    fn verify(self, admin: &Address) -> Result<(), Failure> {
        let found: Verification = match &self.state {
            Some(state) => Reader::of(state).verify().map_err(|error| unreadable(state, &error))?,
            None => block_on(client::ask(admin, Method::GET, "/v1/history/verification", None::<&()>))?,
        };
        if self.json {
            say(&serde_json::to_string_pretty(&found).map_err(anyhow::Error::from)?);
        } else {
            say(&format!(
                "{} from number {} to {}, and {}; the last has the hash {}",
                counted(found.entries, "entry").replace("entrys", "entries"),
                found.first,
                found.last,
                counted(found.receipts, "receipt"),
                found.hash
            ));
            for fault in &found.faults {
                let line = fault.line.map(|line| format!(":{line}")).unwrap_or_default();
                say(&format!("{}{line}: {}", fault.file, fault.what));
            }
        }
        match found.faults.len() {
            0 => Ok(()),
            faults => Err(Failure::Refused(format!(
                "the history is not as it was written: {}",
                counted(faults as u64, "fault")
            ))),
        }
    }
}

fn unreadable(state: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::Refused(format!("cannot read the history in {}: {error}", state.display()))
}

/// An entry as people read it.
fn describe(entry: &HistoryEntry) -> String {
    let what = &entry.what;
    let deed = serde_json::to_value(what.deed).ok();
    let deed = deed.as_ref().and_then(|deed| deed.as_str()).unwrap_or_default().replace('-', " ");
    let mut text = format!("{:>6}  {}  {deed}", entry.seq, moment(entry.at_unix_ms));
    let mut add = |more: String| {
        text.push_str("  ");
        text.push_str(&more);
    };
    if let Some(service) = &what.service {
        add(service.clone());
    }
    if let (Some(before), Some(after)) = (what.before_percent, what.after_percent) {
        add(format!("{before:.2} → {after:.2}"));
    }
    match what.outcome {
        DeedOutcome::Done => {}
        DeedOutcome::Refused => add("REFUSED".to_owned()),
        DeedOutcome::NotWritten => add("NOT WRITTEN".to_owned()),
        DeedOutcome::Overtaken => add("OVERTAKEN".to_owned()),
    }
    if let Some(by) = &what.by {
        let via = what.via.as_ref().map(|via| format!(" ({via}")).unwrap_or_default();
        let from = match (&what.via, &what.from) {
            (Some(_), Some(from)) => format!(", {from})"),
            (Some(_), None) => ")".to_owned(),
            (None, _) => String::new(),
        };
        add(format!("by {by}{via}{from}"));
    } else if let Some(from) = &what.from {
        add(format!("from {from}"));
    }
    if let Some(second) = &what.approved_by {
        add(format!("approved by {second}"));
    }
    for more in [&what.reason, &what.details].into_iter().flatten() {
        add(more.clone());
    }
    if let Some(ticket) = what
        .ticket
        .as_ref()
        .filter(|ticket| !what.reason.as_ref().is_some_and(|reason| reason.contains(ticket.as_str())))
    {
        add(format!("[{ticket}]"));
    }
    text
}
