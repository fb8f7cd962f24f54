use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::clock::Clock;
use crate::config::{TokenHash, is_entry_name, parse_day, parse_duration};
use crate::model::Role;

use super::super::Failure;
use super::super::complete::{services, teams};
use super::super::print::{complain, say};
use super::file::RightsFile;
use super::{Place, is_good};

/// Arguments of `token new`.
#[derive(Args, Debug)]
pub(super) struct NewToken {
    /// The name under which records have whoever shows it.
    name: String,
    /// What it is good for.
    #[arg(long, value_enum)]
    role: RoleArgument,
    /// Over the services of this team; without this and --service, over everything.
    #[arg(long = "team", value_name = "TEAM", add = teams())]
    teams: Vec<String>,
    /// Over this service.
    #[arg(long = "service", value_name = "SERVICE", add = services())]
    services: Vec<String>,
    /// How long it is good, such as 90d, or the last day, such as 2027-11-22. Default: until it is revoked.
    #[arg(long, value_name = "DURATION|DAY", value_parser = expiry)]
    expires: Option<Expiry>,
    #[command(flatten)]
    place: Place,
    /// Prints all of it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArgument {
    /// Looks.
    Viewer,
    /// Moves traffic, too.
    Operator,
    /// Does also what concerns Switchback itself.
    Admin,
}

/// When a token ends.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    After(std::time::Duration),
    On(Date),
}

impl NewToken {
    pub(super) fn run(self) -> Result<(), Failure> {
        let file = RightsFile::open(&self.place.path()?)?;
        let (name, is_new) = (&self.name, !file.exists());
        let rights = is_good(&file)?;
        if !is_entry_name(name) {
            return Err(Failure::Refused(
                "a name has 1 to 128 characters on one line, and no blank at either end".to_owned(),
            ));
        }
        if rights.tokens.contains_key(name.as_str()) {
            return Err(Failure::Refused(format!(
                "there is a token {name} already: choose another name, or revoke it first (switchback token revoke {name})"
            )));
        }
        let (token, hash) = make()?;
        let today = day_of(Clock::start().wall().0)?;
        let expires = self.expires.map(|expiry| expiry.day(today)).transpose()?;
        if expires.is_some_and(|day| day < today) {
            return Err(Failure::Refused("the token would have expired already".to_owned()));
        }
        file.add(&self.entry(&hash, today, expires))?;
        if self.json {
            say(&self.in_json(&token, file.path(), today, expires));
        } else {
            say(&token);
        }
        self.explain(file.path(), is_new, expires);
        Ok(())
    }

    fn entry(&self, hash: &TokenHash, today: Date, expires: Option<Date>) -> String {
        let mut entry = format!("[tokens.{}]\nrole = \"{}\"\n", key(&self.name), self.role());
        for (what, list) in [("teams", &self.teams), ("services", &self.services)] {
            if !list.is_empty() {
                let list: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                let _ = writeln!(entry, "{what} = [{}]", list.join(", "));
            }
        }
        let _ = writeln!(entry, "salt = \"{}\"\nhash = \"{}\"", digits(&hash.salt), digits(&hash.hash));
        let _ = writeln!(entry, "created = \"{today}\"");
        if let Some(day) = expires {
            let _ = writeln!(entry, "expires = \"{day}\"");
        }
        entry
    }

    fn in_json(&self, token: &str, file: &Path, today: Date, expires: Option<Date>) -> String {
        let value = json!({
            "name": self.name,
            "token": token,
            "role": self.role().as_str(),
            "teams": self.teams,
            "services": self.services,
            "created": today.to_string(),
            "expires": expires.map(|day| day.to_string()),
            "file": file,
        });
        value.to_string()
    }

    fn explain(&self, file: &Path, is_new: bool, expires: Option<Date>) {
        let until = match expires {
            Some(day) => format!("until the end of {day} UTC"),
            None => "until it is revoked".to_owned(),
        };
        let whose = match (self.teams.as_slice(), self.services.as_slice()) {
            ([], []) => "everything".to_owned(),
            (teams, services) => {
                let teams = teams.iter().map(|team| format!("team {team}"));
                let services = services.iter().map(|service| format!("service {service}"));
                teams.chain(services).collect::<Vec<_>>().join(", ")
            }
        };
        let (name, role, path) = (&self.name, self.role(), file.display());
        complain(&format!("{name} is {role} over {whose}, {until}; its entry is in {path}"));
        complain(
            "this is the only time that the token is shown; a running Switchback knows it within a second\n\
             to use it: export SWITCHBACK_TOKEN=…, or --token-file FILE, or Authorization: Bearer …",
        );
        if is_new {
            complain(&format!(
                "{path} was made, and only you can read it: let the user that runs Switchback read it, and name it as \
                 rights = \"…\" in [admin] of switchback.toml"
            ));
        }
    }

    fn role(&self) -> Role {
        match self.role {
            RoleArgument::Viewer => Role::Viewer,
            RoleArgument::Operator => Role::Operator,
            RoleArgument::Admin => Role::Admin,
        }
    }
}

impl Expiry {
    fn day(self, today: Date) -> Result<Date, Failure> {
        match self {
            Expiry::On(day) => Ok(day),
            Expiry::After(duration) => {
                let days = duration.as_secs().div_ceil(86_400);
                let hours = i64::try_from(days).ok().and_then(|days| days.checked_mul(24));
                let far = hours.and_then(|hours| today.checked_add(SignedDuration::from_hours(hours)).ok());
                far.ok_or_else(|| Failure::Refused("nobody lives that long".to_owned()))
            }
        }
    }
}

/// A token of 256 random bits, and what it is told by.
fn make() -> Result<(String, TokenHash), Failure> {
    let (mut secret, mut salt) = ([0; 32], [0; 16]);
    for bytes in [&mut secret[..], &mut salt[..]] {
        rand::fill(bytes).map_err(|_| Failure::Refused("the system has no random numbers".to_owned()))?;
    }
    let token = format!("sbt_{}", URL_SAFE_NO_PAD.encode(secret));
    let hash = TokenHash::new(salt, &token);
    Ok((token, hash))
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if let Some(day) = parse_day(text) {
        return Ok(Expiry::On(day));
    }
    parse_duration(text)
        .map(Expiry::After)
        .map_err(|_| "a duration such as 90d, or a day such as 2027-11-22".to_owned())
}

fn day_of(unix_ms: u64) -> Result<Date, Failure> {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let now = Timestamp::from_millisecond(ms).map_err(anyhow::Error::from)?;
    Ok(now.to_zoned(TimeZone::UTC).date())
}

/// A name as the key of a table.
fn key(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
