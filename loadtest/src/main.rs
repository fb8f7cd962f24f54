//! Measures Switchback beside its peers.
//!
//! `compare` starts Switchback and its peers, puts the same load on each in turns, and tells what it cost; its page
//! ([`compare`]) says how. `generate`, `idle` and `endpoint` are what it needs for that, each a process of its own.
//! `instructions` counts what a request takes, without looking at a clock ([`instructions`]).

mod compare;
mod endpoint;
mod generate;
mod idle;
mod instructions;
mod peers;
mod process;
mod report;
mod statistics;
mod train;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Switchback beside its peers. Only loopback; it ends by itself, and ends only what it has started.
#[derive(Parser)]
#[command(name = "loadtest", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compares Switchback with HAProxy, nginx and Envoy.
    Compare(compare::Compare),
    /// Counts instructions, allocations and system calls a request.
    Instructions(instructions::Instructions),
    /// Builds Switchback by what it does under load: the program that is meant to be shipped.
    Train(train::Train),
    /// Asks for something, at a steady rate or so many times, and tells how long answers took.
    #[command(hide = true)]
    Generate(generate::Generate),
    /// Opens connections, asks once over each, and keeps them until its standard input ends.
    #[command(hide = true)]
    Idle(idle::Idle),
    /// Answers gRPC calls.
    #[command(hide = true)]
    Endpoint(endpoint::Endpoint),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Compare(compare) => compare.run(),
        Command::Instructions(instructions) => instructions.run(),
        Command::Train(train) => train.run(),
        Command::Generate(generate) => generate.run(),
        Command::Idle(idle) => idle.run(),
        Command::Endpoint(endpoint) => endpoint.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
