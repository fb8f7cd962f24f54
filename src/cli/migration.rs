use clap::{Args, ValueEnum};
use http::Method;

use crate::admin::client::{self, Address};
use crate::control::{MigrationRow, MigrationStatus, MigrationSum};

use super::complete::teams;
use super::print::{Cell, Column, Screen, Tone, say, table};
use super::{Failure, block_on};

/// Arguments of `migration`.
#[derive(Args, Debug)]
pub(super) struct Migration {
    /// Only the services of this team.
    #[arg(long, add = teams())]
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
        say(&describe(&status, self.sums, &Screen::of_output()));
        Ok(())
    }
}

fn describe(status: &MigrationStatus, sums_only: bool, screen: &Screen) -> String {
    let mut parts = Vec::new();
    if !sums_only {
        let columns = [
            Column::stays("SERVICE"),
            Column::shortens(7, "TEAM"),
            Column::goes(2, "OWNER"),
            Column::goes(4, "PHASE"),
            Column::stays("STAGE"),
            Column::goes(3, "DAYS"),
            Column::stays("WEIGHT"),
            Column::goes(5, "REVERTS"),
            Column::goes(6, "VERDICT"),
            Column::shortens(1, "NEXT STEP WAITS FOR"),
        ];
        let rows: Vec<_> = status.services.iter().map(row).collect();
        parts.push(table(&columns, &rows, screen));
    }
    let columns = [
        Column::stays(""),
        Column::stays("SERVICES"),
        Column::goes(5, "HELIOS ONLY"),
        Column::goes(6, "DUAL RUN"),
        Column::goes(7, "KUBERNETES ONLY"),
        Column::goes(2, "RAMPING"),
        Column::goes(4, "HELD"),
        Column::goes(3, "AT 100"),
        Column::stays("MEAN WEIGHT"),
        Column::goes(1, "REVERTS"),
    ];
    let sums = status.phases.iter().chain(&status.teams).chain([&status.all]);
    let rows: Vec<_> = sums.map(sum).map(Cell::row).collect();
    parts.push(table(&columns, &rows, screen));
    parts.join("\n\n")
}

fn row(row: &MigrationRow) -> Vec<Cell> {
    let verdict_tone = if row.verdict == "worse" { Tone::Bad } else { Tone::Plain };
    vec![
        row.service.as_str().into(),
        row.team.as_str().into(),
        row.owner.as_deref().unwrap_or("–").into(),
        row.phase.as_str().into(),
        row.stage.as_str().into(),
        format!("{:.0}", row.days_at_stage).into(),
        format!("{:.2}", row.weight_percent).into(),
        (row.reverts_by_judge + row.reverts_by_others).to_string().into(),
        Cell::toned(verdict_tone, row.verdict.as_str()),
        row.next_gate.as_str().into(),
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
