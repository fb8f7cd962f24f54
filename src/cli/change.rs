use clap::Args;

use crate::admin::wire;
use crate::control::PreviewStatus;

use super::Failure;
use super::foresee::tell;
use super::print::say;

/// Why something is changed.
#[derive(Args, Debug)]
pub(super) struct Because {
    /// Why: others will read it at three in the morning.
    #[arg(long)]
    pub(super) reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as INC-4711.
    #[arg(long)]
    pub(super) ticket: Option<String>,
    /// Prints what the admin interface answers.
    #[arg(long)]
    pub(super) json: bool,
}

/// Tells what a change came to, with what was foreseen of it. One that waits for a second person has come to nothing yet.
pub(super) fn tell_change(text: &str, foreseen: &[PreviewStatus], json: bool) -> Result<(), Failure> {
    if json {
        say(text);
    }
    let changed: wire::Changed = serde_json::from_str(text).map_err(anyhow::Error::from)?;
    if json {
        return if changed.approval.is_some() { Err(Failure::Unapproved) } else { Ok(()) };
    }
    if let Some(approval) = &changed.approval {
        let name = &approval.service;
        say(&format!("{name}: {} takes a second person; nothing has changed yet", approval.what));
        say(&format!("somebody else says: switchback approve {name} --reason …"));
        return Err(Failure::Unapproved);
    }
    if changed.changes.is_empty() {
        say("nothing to change: no service gets requests on Kubernetes");
        return Ok(());
    }
    for change in &changed.changes {
        let why = if change.why == "held" { ", held" } else { "" };
        let brings = foreseen.iter().find(|one| {
            one.service == change.service && (one.after_percent - change.after_percent).abs() < 1e-9
        });
        let moves = (change.before_percent - change.after_percent).abs() > 1e-9;
        let brings = brings.filter(|_| moves).map(|one| format!("; {}", tell(one))).unwrap_or_default();
        say(&format!(
            "{}: weight {:.2} → {:.2}{why}{brings}",
            change.service, change.before_percent, change.after_percent
        ));
    }
    if let Some(applied) = &changed.applied {
        let took = applied.took_us as f64 / 1e3;
        say(&format!("applied on {} of {} workers in {took:.1} ms", applied.workers, applied.of));
    }
    if changed.written == Some(false) {
        say("not on disk yet: the disk is slow, or full; it is being tried again");
    }
    Ok(())
}
