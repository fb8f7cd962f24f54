use clap::Args;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::TokenEntry;
use crate::model::{Scope, UnixMillis};

use super::super::Failure;
use super::super::print::{Cell, Column, Screen, Tone, say, table};
use super::file::RightsFile;
use super::{Place, is_good};

/// Arguments of `token list`.
#[derive(Args, Debug)]
pub(super) struct ListTokens {
    #[command(flatten)]
    place: Place,
    /// Prints them as JSON.
    #[arg(long)]
    json: bool,
}

impl ListTokens {
    pub(super) fn run(self) -> Result<(), Failure> {
        let file = RightsFile::open(&self.place.path()?)?;
        if !file.exists() {
            return Err(Failure::Refused(format!("there is no {}", file.path().display())));
        }
        let (rights, now) = (is_good(&file)?, Clock::start().wall());
        if self.json {
            let list: Vec<Value> =
                rights.tokens.iter().map(|(name, entry)| in_json(name, entry, now)).collect();
            say(&Value::from(list).to_string());
            return Ok(());
        }
        let columns = [
            Column::stays("NAME"),
            Column::stays("ROLE"),
            Column::shortens(2, "OVER"),
            Column::goes(1, "CREATED"),
            Column::stays("GOOD UNTIL"),
        ];
        let rows: Vec<_> = rights.tokens.iter().map(|(name, entry)| row(name, entry, now)).collect();
        say(&table(&columns, &rows, &Screen::of_output()));
        Ok(())
    }
}

fn row(name: &str, entry: &TokenEntry, now: UnixMillis) -> Vec<Cell> {
    let day = |day: Option<Date>| day.map_or_else(|| "–".to_owned(), |day| day.to_string());
    let expires = match entry.expires {
        Some(last) if has_ended(entry, now) => Cell::toned(Tone::Bad, format!("{last}, which is over")),
        expires => day(expires).into(),
    };
    let grant = &entry.grant;
    vec![
        name.into(),
        grant.role.to_string().into(),
        grant.scope.to_string().into(),
        day(entry.created).into(),
        expires,
    ]
}

fn in_json(name: &str, entry: &TokenEntry, now: UnixMillis) -> Value {
    let (teams, services) = match &entry.grant.scope {
        Scope::Everything => (Vec::new(), Vec::new()),
        Scope::Of { teams, services } => (
            teams.iter().map(ToString::to_string).collect(),
            services.iter().map(ToString::to_string).collect::<Vec<String>>(),
        ),
    };
    json!({
        "name": name,
        "role": entry.grant.role.as_str(),
        "everything": entry.grant.scope == Scope::Everything,
        "teams": teams,
        "services": services,
        "created": entry.created.map(|day| day.to_string()),
        "expires": entry.expires.map(|day| day.to_string()),
        "expired": has_ended(entry, now),
    })
}

fn has_ended(entry: &TokenEntry, now: UnixMillis) -> bool {
    entry.ends().is_some_and(|end| end <= now)
}
