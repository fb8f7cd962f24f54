use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::runtime::{Builder, LocalOptions};

use crate::config::{load, render};
use crate::model::Side;

use super::Failure;
use super::demo::{Behaviour, Endpoint as Server};
use super::print::{complain, complaints_take_colour, say};

/// Arguments of `endpoint`.
#[derive(Args, Debug)]
pub(super) struct Endpoint {
    /// Addresses to listen on, such as 127.0.0.1:9001; port 0 takes any free one.
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    addresses: Vec<SocketAddr>,
    /// Listens on every loopback address that this configuration names as an endpoint.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// The name that answers carry in x-endpoint. Default: the address.
    #[arg(long)]
    name: Option<String>,
    /// The median time that an answer takes, in milliseconds.
    #[arg(long, default_value_t = 0.0, value_name = "MS")]
    delay: f64,
    /// The percentage of requests that fail …
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", value_parser = super::weight::parse_percent)]
    failures: f64,
    /// … with this status.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Takes requests and never answers.
    #[arg(long)]
    hang: bool,
    /// Prints where each listens as one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Endpoint {
    pub(super) fn run(self) -> Result<(), Failure> {
        let behaviour = Behaviour {
            delay_ms: self.delay,
            failures: self.failures / 100.0,
            status: self.status,
            hang: self.hang,
        };
        let named = match &self.config {
            Some(folder) => configured(folder)?,
            None => self.addresses.iter().map(|address| (self.name.clone(), *address)).collect(),
        };
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.map_err(anyhow::Error::from)?.block_on(async {
            let mut servers = Vec::new();
            for (name, address) in named {
                let name = name.unwrap_or_else(|| address.to_string());
                let server = Server::start(address, &name, behaviour)
                    .map_err(|error| Failure::Refused(format!("cannot listen on {address}: {error}")))?;
                let address = server.address();
                if self.json {
                    say(&json!({ "endpoint": name, "address": address }).to_string());
                } else {
                    say(&format!("{name} listens on {address}"));
                }
                servers.push(server);
            }
            if !self.json {
                say("PUT /-/behave changes how they answer, as in {\"failures\": 0.1, \"delay_ms\": 20}");
            }
            tokio::signal::ctrl_c().await.map_err(anyhow::Error::from)?;
            Ok(())
        })
    }
}

/// The endpoints of a configuration that have a port on this machine, named after their service and side.
fn configured(folder: &std::path::Path) -> Result<Vec<(Option<String>, SocketAddr)>, Failure> {
    let loaded = load(folder).map_err(|faults| {
        complain(&render(&faults, complaints_take_colour()));
        Failure::Said
    })?;
    let mut named = Vec::new();
    for service in loaded.config.services.values() {
        for side in Side::ALL {
            let addresses = service.sides[side]
                .parts
                .iter()
                .flat_map(|part| part.source.fixed())
                .filter_map(|endpoint| endpoint.address.tcp());
            for (number, address) in (1..).zip(addresses.filter(|address| address.ip().is_loopback())) {
                named.push((Some(format!("{side}-{}-{number}", service.name)), address));
            }
        }
    }
    Ok(named)
}
