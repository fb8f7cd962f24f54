use std::time::Duration;

use crate::config::in_words;
use crate::control::{DegradationStatus, SensitivityStatus};

use super::super::print::{Screen, facts};

/// How soon trouble would be seen, as people read it.
pub(super) fn tell(sensitivity: &SensitivityStatus, screen: &Screen) -> String {
    let SensitivityStatus { service, helios_per_second: helios, kubernetes_per_second: kubernetes, .. } =
        sensitivity;
    let promise = in_words(Duration::from_secs_f64(sensitivity.promise_s));
    let head = format!(
        "{service}: at {helios:.1}/s on Helios and {kubernetes:.1}/s on Kubernetes, with one false revert in \
         {promise}, this is how soon it would be seen if on Kubernetes …"
    );
    let rows: Vec<_> = sensitivity
        .degradations
        .iter()
        .map(|DegradationStatus { text, seen_in_s, why_never, .. }| {
            let seen_in = match (seen_in_s, why_never) {
                (Some(s), _) => in_words(Duration::from_secs_f64(*s)),
                (None, Some(why)) => format!("never: {why}"),
                (None, None) => "never, as it is".to_owned(),
            };
            [format!("  {text}"), seen_in]
        })
        .collect();
    let off = match sensitivity.judge.as_str() {
        "off" => "\nthe judge of this service is off",
        "advise" => "\nthe judge of this service only advises",
        _ => "",
    };
    format!("{head}\n{}{off}", facts(&rows, screen))
}
