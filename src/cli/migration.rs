use clap::{Args, ValueEnum};
use http::Method;

use crate::admin::client::{self, Address};
use crate::control::{MigrationRow, MigrationStatus, MigrationSum};

use super::print::{say, table};
use super::{Failure, block_on};

/// Arguments of `migration`.
#[derive(Args, Debug)]
pub(super) struct Migration {
    /// Only the services of this team.
    #[arg(long)]
    team: Option<String>,
    /// Only the sums.
    #[arg(long)]
    sums: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// As --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

impl Migration {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { self.format };
        let path = if format == Format::Csv { "/v1/migration?format=csv" } else { "/v1/migration" };
        if format == Format::Csv && self.team.is_none() {
            let text = block_on(client::ask_text(admin, Method::GET, path, None::<&()>))?;
            say(text.trim_end());
            return Ok(());
        }
        if format == Format::Csv {
            return Err(Failure::Refused(
                "--team goes with a table or JSON: CSV has a column for it".to_owned(),
            ));
        }
        let mut status: MigrationStatus = block_on(client::ask(admin, Method::GET, path, None::<&()>))?;
        if let Some(team) = &self.team {
            status.services.retain(|row| row.team == *team);
            status.teams.retain(|sum| sum.name == *team);
        }
        if format == Format::Json {
            say(&serde_json::to_string_pretty(&status).map_err(anyhow::Error::from)?);
            return Ok(());
        }
        say(&describe(&status, self.sums));
        Ok(())
    }
}

fn describe(status: &MigrationStatus, sums_only: bool) -> String {
    let mut parts = Vec::new();
    if !sums_only {
        let head = [
            "SERVICE",
            "TEAM",
            "OWNER",
            "PHASE",
            "STAGE",
            "DAYS",
            "WEIGHT",
            "REVERTS",
            "VERDICT",
            "NEXT STEP WAITS FOR",
        ];
        let head = head.map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(head).chain(status.services.iter().map(row)).collect();
        parts.push(table(&rows));
    }
    let head = [
        "",
        "SERVICES",
        "HELIOS ONLY",
        "DUAL RUN",
        "KUBERNETES ONLY",
        "RAMPING",
        "HELD",
        "AT 100",
        "MEAN WEIGHT",
        "REVERTS",
    ];
    let head = head.map(str::to_owned).to_vec();
    let sums = status.phases.iter().chain(&status.teams).chain([&status.all]);
    let rows: Vec<_> = std::iter::once(head).chain(sums.map(sum)).collect();
    parts.push(table(&rows));
    parts.join("\n\n")
}

fn row(row: &MigrationRow) -> Vec<String> {
    vec![
        row.service.clone(),
        row.team.clone(),
        row.owner.clone().unwrap_or_else(|| "–".to_owned()),
        row.phase.clone(),
        row.stage.clone(),
        format!("{:.0}", row.days_at_stage),
        format!("{:.2}", row.weight_percent),
        (row.reverts_by_judge + row.reverts_by_others).to_string(),
        row.verdict.clone(),
        row.next_gate.clone(),
    ]
}

fn sum(sum: &MigrationSum) -> Vec<String> {
    let counts = [
        sum.services,
        sum.helios_only,
        sum.dual_run,
        sum.kubernetes_only,
        sum.ramping,
        sum.held,
        sum.at_full_weight,
    ];
    let mut cells = vec![sum.name.clone()];
    cells.extend(counts.map(|count| count.to_string()));
    cells.push(format!("{:.2}", sum.mean_weight_percent));
    cells.push(sum.reverts_by_judge.to_string());
    cells
}
