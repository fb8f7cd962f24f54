use clap::{Args, Subcommand};
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire::{Reason, TestResult, Tested};
use crate::control::WebhookStatus;

use super::complete::webhooks;
use super::print::{Cell, Column, Screen, Tone, ago, ahead, counted, say, table};
use super::{Failure, block_on};

/// Arguments of `webhooks`.
#[derive(Args, Debug)]
pub(super) struct Webhooks {
    #[command(subcommand)]
    what: Option<What>,
    /// Prints what the admin interface answers.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sends a message to one of them, and waits up to 15 s for what comes of it.
    Test(Test),
}

#[derive(Args, Debug)]
struct Test {
    /// The webhook.
    #[arg(add = webhooks())]
    webhook: String,
    /// Why: whoever is told will read it
    #[arg(long)]
    reason: String,
}

impl Webhooks {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        match self.what {
            None => list(admin, self.json),
            Some(What::Test(test)) => test.run(admin, self.json),
        }
    }
}

fn list(admin: &Address, json: bool) -> Result<(), Failure> {
    let text = block_on(client::ask_text(admin, Method::GET, "/v1/webhooks", None::<&()>))?;
    if json {
        say(&text);
        return Ok(());
    }
    let webhooks: Vec<WebhookStatus> = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
    if webhooks.is_empty() {
        say("nobody is told what happens: there are no [webhooks] in switchback.toml");
        return Ok(());
    }
    let columns = [
        Column::stays("WEBHOOK"),
        Column::goes(3, "KIND"),
        Column::shortens(1, "TO"),
        Column::stays("WAITING"),
        Column::goes(2, "DELIVERED"),
        Column::goes(4, "LAST"),
        Column::shortens(5, "TROUBLE"),
    ];
    let rows: Vec<_> = webhooks.iter().map(row).collect();
    say(&table(&columns, &rows, &Screen::of_output()));
    Ok(())
}

fn row(webhook: &WebhookStatus) -> Vec<Cell> {
    let waiting = match webhook.oldest_unix_ms {
        Some(oldest) => Cell::toned(Tone::Waiting, format!("{} for {}", webhook.waiting, ago(oldest))),
        None => webhook.waiting.to_string().into(),
    };
    let last = webhook.delivered_unix_ms.map(|at| format!("{} ago", ago(at))).unwrap_or_default();
    let tone = if webhook.troubled { Tone::Bad } else { Tone::Plain };
    vec![
        webhook.webhook.as_str().into(),
        webhook.kind.as_str().into(),
        webhook.to.as_str().into(),
        waiting,
        webhook.delivered.to_string().into(),
        last.into(),
        Cell::toned(tone, trouble(webhook)),
    ]
}

fn trouble(webhook: &WebhookStatus) -> String {
    let mut parts = Vec::new();
    if let (true, Some(trouble), Some(at)) = (webhook.troubled, &webhook.trouble, webhook.trouble_unix_ms) {
        parts.push(format!("{} ago it {trouble}", ago(at)));
    }
    parts.extend(webhook.next_try_unix_ms.map(|at| format!("tried again in {}", ahead(at))));
    let lost = [(webhook.given_up, "given up"), (webhook.dropped, "dropped")];
    parts.extend(lost.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    parts.join("; ")
}

/// What is wrong with webhooks now, for whoever looks at everything.
pub(super) fn warnings(webhooks: &[WebhookStatus]) -> impl Iterator<Item = String> {
    webhooks.iter().filter(|webhook| webhook.troubled).map(|webhook| {
        let (name, waiting) = (&webhook.webhook, counted(webhook.waiting as u64, "message"));
        let trouble = webhook.trouble.as_deref().unwrap_or_default();
        format!("! webhook {name} is not told what happens: it {trouble}; {waiting} waiting")
    })
}

impl Test {
    fn run(self, admin: &Address, json: bool) -> Result<(), Failure> {
        let path = client::webhook_test(&self.webhook);
        let body = Reason { reason: self.reason, ticket: None };
        let text = block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?;
        let tested: Tested = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
        if json {
            say(&text);
            return if tested.result == TestResult::Delivered { Ok(()) } else { Err(Failure::Said) };
        }
        let (webhook, trouble) = (&tested.webhook, tested.trouble.as_deref().unwrap_or_default());
        match tested.result {
            TestResult::Delivered => {
                let status = tested.status.unwrap_or_default();
                say(&format!("{webhook}: delivered, and answered with {status} (message {})", tested.id));
                Ok(())
            }
            TestResult::GivenUp => {
                Err(Failure::Refused(format!("{webhook}: not delivered, and given up: it {trouble}")))
            }
            TestResult::Waiting => {
                let waiting = counted(tested.waiting as u64, "message");
                let why = if trouble.is_empty() { String::new() } else { format!(": it {trouble}") };
                Err(Failure::Refused(format!(
                    "{webhook}: not delivered yet{why}; {waiting} waiting, and tried again until they are a day old"
                )))
            }
        }
    }
}
