use std::fmt::Write as _;

use crate::control::{MigrationRow, MigrationStatus};

/// The ledger of migrations as CSV (RFC 4180).
pub(super) fn ledger(status: &MigrationStatus) -> String {
    let mut text = "service,team,owner,phase,stage,days_at_stage,weight_percent,why,days_at_weight,highest_percent,\
                    reverts_by_judge,reverts_by_others,false_reverts,last_revert_unix_ms,verdict,next_gate\r\n"
        .to_owned();
    for row in &status.services {
        let MigrationRow { days_at_stage, weight_percent, days_at_weight, highest_percent, .. } = row;
        let MigrationRow { reverts_by_judge, reverts_by_others, false_reverts, .. } = row;
        let last = row.last_revert_unix_ms.map(|at| at.to_string()).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "{},{},{},{},{},{days_at_stage:.2},{weight_percent:.2},{},{days_at_weight:.2},{highest_percent:.2},\
             {reverts_by_judge},{reverts_by_others},{false_reverts},{last},{},{}\r\n",
            cell(&row.service),
            cell(&row.team),
            cell(row.owner.as_deref().unwrap_or_default()),
            cell(&row.phase),
            cell(&row.stage),
            cell(&row.why),
            cell(&row.verdict),
            cell(&row.next_gate),
        );
    }
    text
}

/// A cell in quotation marks where it needs them. What a spreadsheet would take for a formula gets an apostrophe.
fn cell(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_back_and_is_no_formula() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a, b", "\"a, b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("@a,b", "\"'@a,b\""),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
