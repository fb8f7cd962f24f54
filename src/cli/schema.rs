use clap::{Args, ValueEnum};

use crate::config::{SchemaOf, schema};

use super::Failure;
use super::print::say;

/// Arguments of `schema`.
#[derive(Args, Debug)]
pub(super) struct PrintSchema {
    /// `service` for services/NAME.toml, `switchback` for switchback.toml, `rights` for the file that it names there.
    #[arg(value_enum, default_value = "service")]
    file: File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum File {
    Service,
    Switchback,
    Rights,
}

impl PrintSchema {
    pub(super) fn run(self) -> Result<(), Failure> {
        let of = match self.file {
            File::Service => SchemaOf::Service,
            File::Switchback => SchemaOf::Process,
            File::Rights => SchemaOf::Rights,
        };
        say(&serde_json::to_string_pretty(&schema(of)).map_err(anyhow::Error::from)?);
        Ok(())
    }
}
