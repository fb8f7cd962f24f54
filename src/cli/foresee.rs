use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use clap::Args;
use http::Method;

use crate::admin::client::{self, Address, AskError};
use crate::admin::wire;
use crate::control::PreviewStatus;

use super::print::rate;
use super::{Failure, block_on};

/// How a change is asked for.
#[derive(Args, Debug)]
pub(super) struct Sure {
    /// Does not ask whether to go on when much traffic would move.
    #[arg(long, short)]
    yes: bool,
}

/// What a change would bring, as people read it, before it is made. Who is at a terminal is asked once more if that is much.
///
/// Where the preview cannot be had, or not soon, nobody is asked: a revert waits for nothing, and the change itself will say what
/// is wrong with it.
pub(super) fn foresee(
    admin: &Address,
    wanted: &wire::Preview,
    sure: &Sure,
    json: bool,
) -> Result<Vec<PreviewStatus>, Failure> {
    let foreseen = block_on(client::ask_soon(admin, Method::POST, "/v1/preview", Some(wanted)));
    let foreseen: Vec<PreviewStatus> = match foreseen {
        Ok(foreseen) => foreseen,
        Err(Failure::Admin(
            AskError::Refused { .. }
            | AskError::Strange { .. }
            | AskError::Slow { .. }
            | AskError::Broken { .. },
        )) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let much: Vec<_> = foreseen.iter().filter(|one| one.much).collect();
    let is_person = stdin().is_terminal() && stderr().is_terminal() && !json;
    if much.is_empty() || sure.yes || !is_person {
        return Ok(foreseen);
    }
    let mut out = stderr().lock();
    for one in much {
        // Where standard error is closed nobody would see the question either.
        let _ = writeln!(out, "{}: {}", one.service, tell(one));
    }
    let _ = write!(out, "go on? [y/N] ");
    let _ = out.flush();
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).map_err(anyhow::Error::from)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(foreseen),
        _ => Err(Failure::Refused("nothing was changed".to_owned())),
    }
}

/// What a change brings: `Helios will get 975/s, 1.3 times its present load; it has served 1,240/s well`.
pub(super) fn tell(one: &PreviewStatus) -> String {
    let toward_helios = one.after_percent < one.before_percent;
    let (side, then) = if toward_helios {
        ("Helios", one.helios_then_per_second)
    } else {
        ("Kubernetes", one.kubernetes_then_per_second)
    };
    if then == 0.0 {
        return "nobody asks for it at present".to_owned();
    }
    let times = match one.times {
        Some(times) => format!(", {times:.1} times its present load"),
        None => ", and gets nothing now".to_owned(),
    };
    let able = match &one.fit {
        Some(fit) if fit.at_unix_ms.is_some() => {
            format!("; Helios has served {} well", rate(fit.able_per_second))
        }
        Some(fit) => format!("; Helios can serve {} by its capacity", rate(fit.able_per_second)),
        None => String::new(),
    };
    let warning = match &one.fit {
        Some(fit) if !fit.fits => ": it could not take everything back",
        Some(_) | None => "",
    };
    format!("{side} will get {}{times}{able}{warning}", rate(then))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::FitStatus;

    fn preview(before: f64, after: f64, times: Option<f64>, fits: Option<bool>) -> PreviewStatus {
        PreviewStatus {
            service: "playlist".into(),
            before_percent: before,
            after_percent: after,
            helios_per_second: 750.0,
            helios_then_per_second: 975.0,
            kubernetes_per_second: 225.0,
            kubernetes_then_per_second: 0.0,
            times,
            much: false,
            fit: fits.map(|fits| FitStatus {
                fits,
                able_per_second: 1_240.0,
                at_unix_ms: Some(1),
                needed_per_second: 975.0,
            }),
            approval: false,
        }
    }

    #[test]
    fn what_a_change_brings_is_told_of_the_side_that_gets_more() {
        assert_eq!(
            tell(&preview(25.0, 0.0, Some(1.3), Some(true))),
            "Helios will get 975/s, 1.3 times its present load; Helios has served 1,240/s well"
        );
        assert_eq!(tell(&preview(0.0, 0.0, None, None)), "nobody asks for it at present");
        assert!(
            tell(&preview(25.0, 0.0, Some(1.3), Some(false))).ends_with("could not take everything back")
        );
    }
}
