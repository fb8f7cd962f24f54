//! The command line: one file a subcommand.
//!
//! Every command says what it did, to what, and what follows; `--json` says the same to programs. Errors go to
//! standard error. Exit codes: 0 done, 1 refused or at fault, 2 wrong usage, 3 Switchback cannot be reached.

mod approve;
mod calibrate;
mod change;
mod check;
mod complete;
mod credentials;
mod demo;
mod endpoint;
mod events;
mod explain;
mod foresee;
mod help;
mod history;
mod judged_by;
mod man;
mod migrate;
mod migration;
mod print;
mod ramp;
mod release;
mod replay;
mod revert;
mod schema;
mod scope;
mod serve;
mod simulate;
mod status;
mod token;
mod webhooks;
mod weight;
mod whoami;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::admin::client::{Address, AskError};

use credentials::Credentials;
use print::{WhenColour, complain};

/// Splits each service's requests between Helios and Kubernetes, compares the two sides, and goes back to
/// Helios by itself.
#[derive(Debug, Parser)]
#[command(name = "switchback", version, after_help = help::after(), max_term_width = 100)]
struct Arguments {
    /// Where the admin interface is: `127.0.0.1:7070`, `https://switchback.example.net:7070`, or
    /// `unix:/var/lib/switchback/admin.sock`.
    #[arg(
        long,
        global = true,
        env = "SWITCHBACK_ADMIN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS",
        help_heading = "Everywhere"
    )]
    admin: Address,

    /// When there is colour: `auto` is on a terminal, unless `NO_COLOR` is set or TERM is dumb.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "auto|always|never",
        help_heading = "Everywhere"
    )]
    color: WhenColour,

    #[command(flatten)]
    credentials: Credentials,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy.
    Serve(serve::Serve),
    /// Checks a configuration and says what is wrong with it.
    Check(check::Check),
    /// Prints the JSON Schema of a configuration file, for editors; or the OpenAPI document of the admin API.
    Schema(schema::PrintSchema),
    /// Shows every service, or one: weight, both sides, verdict.
    Status(status::Status),
    /// Sets a service's weight: the percentage of its requests that go to Kubernetes.
    Weight(weight::SetWeight),
    /// Takes services back to Helios at once, and holds them there.
    Revert(revert::Revert),
    /// Ends a hold.
    Release(release::Release),
    /// Raises a service's weight step by step, each only if the judge is content.
    Ramp(ramp::Ramp),
    /// Agrees to what another person wants, where raising a weight takes two.
    Approve(approve::Approve),
    /// Begins a service's migration: checks that it is ready, and starts its ramp.
    Migrate(migrate::Migrate),
    /// Shows how far the migration is: the ledger.
    Migration(migration::Migration),
    /// Shows who did what, when and why; or checks that nobody has changed that since.
    History(history::History),
    /// Explains the last revert of a service: its receipt. Without one, what the judge has to say now.
    Explain(explain::Explain),
    /// Compares Helios with itself: how noisy a service is, and whether the judge keeps its promise with it.
    Calibrate(calibrate::Calibrate),
    /// Follows what happens.
    Events(events::Events),
    /// Says who you are to the admin interface, and what you may do.
    Whoami(whoami::WhoAmIs),
    /// Makes, lists and revokes tokens, in the rights file.
    Token(token::Token),
    /// Shows who is told what happens, by webhooks, and how that goes.
    Webhooks(webhooks::Webhooks),
    /// Lets the judge judge recorded requests, and tells what it would have decided, and when.
    Replay(replay::ReplayTrace),
    /// Rehearses what might happen to a service: what the judge would make of it, and how soon.
    Simulate(simulate::Simulate),
    /// Shows Switchback at work: two small platforms, load, a failure, and the way back.
    Demo(demo::Demo),
    /// Runs small endpoints that answer as they are told to, to try a configuration with.
    Endpoint(endpoint::Endpoint),
    /// Prints what a shell sources to complete commands, and names of services from the running Switchback.
    Completions(complete::Completions),
    /// Prints the manual page, or writes one for each command.
    Man(man::PrintManual),
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It was refused, or something is at fault. The text says all.
    #[error("{0}")]
    Refused(String),
    /// As `Refused`, and it has been said already.
    #[error("")]
    Said,
    /// It was taken in, and a second person is to agree before anything changes. That has been said already.
    #[error("")]
    Unapproved,
    /// The admin interface did not do it.
    #[error("{0}")]
    Admin(#[from] AskError),
    /// Something that should not happen.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// All that can be typed, for those who write of it: help, manual pages, tests.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    if complete::complete() {
        return ExitCode::SUCCESS;
    }
    WhenColour::among(std::env::args_os()).apply();
    let serve = serve::Serve::read(std::env::args_os().skip(1), std::env::vars_os());
    let done = serve.map_or_else(run_any, serve::Serve::run);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Said | Failure::Unapproved) {
                complain(&format!("switchback: {failure}"));
            }
            match failure {
                Failure::Admin(AskError::Unreachable { .. }) => ExitCode::from(3),
                Failure::Unapproved => ExitCode::from(4),
                Failure::Admin(_) | Failure::Refused(_) | Failure::Said | Failure::Other(_) => {
                    ExitCode::FAILURE
                }
            }
        }
    }
}

fn run_any() -> Result<(), Failure> {
    let Arguments { admin, credentials, color: _, command } = Arguments::parse();
    command.run(&admin.with(credentials.into()))
}

impl Command {
    fn run(self, admin: &Address) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Check(check) => check.run(),
            Self::Schema(schema) => schema.run(),
            Self::Status(status) => status.run(admin),
            Self::Weight(weight) => weight.run(admin),
            Self::Revert(revert) => revert.run(admin),
            Self::Release(release) => release.run(admin),
            Self::Ramp(ramp) => ramp.run(admin),
            Self::Approve(approve) => approve.run(admin),
            Self::Migrate(migrate) => migrate.run(admin),
            Self::Migration(migration) => migration.run(admin),
            Self::History(history) => history.run(admin),
            Self::Explain(explain) => explain.run(admin),
            Self::Calibrate(calibrate) => calibrate.run(admin),
            Self::Events(events) => events.run(admin),
            Self::Whoami(whoami) => whoami.run(admin),
            Self::Token(token) => token.run(),
            Self::Webhooks(webhooks) => webhooks.run(admin),
            Self::Replay(replay) => replay.run(),
            Self::Simulate(simulate) => simulate.run(),
            Self::Demo(demo) => demo.run(),
            Self::Endpoint(endpoint) => endpoint.run(),
            Self::Completions(completions) => completions.run(),
            Self::Man(man) => man.run(),
        }
    }
}

/// Runs what asks the admin interface.
fn block_on<T>(future: impl Future<Output = Result<T, AskError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(anyhow::Error::from)?.block_on(future)?)
}
