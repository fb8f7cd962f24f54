use std::path::PathBuf;

use clap::Args;

use crate::admin::client;
use crate::tls::KeyPair;

/// What is shown to the admin interface. A token has no argument of its own: others can read those in the list of processes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Who asks")]
pub(super) struct Credentials {
    /// A file with a token; without it the one in the variable `SWITCHBACK_TOKEN` is shown, if it is set.
    #[arg(long, global = true, env = "SWITCHBACK_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities that must have signed the certificate of an https:// address. Default: the system's.
    #[arg(long, global = true, env = "SWITCHBACK_AUTHORITIES", value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// A client certificate to show there.
    #[arg(long, global = true, env = "SWITCHBACK_CERTIFICATE", value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, global = true, env = "SWITCHBACK_KEY", value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

impl From<Credentials> for client::Credentials {
    fn from(Credentials { token_file, authorities, certificate, key }: Credentials) -> Self {
        let token = std::env::var("SWITCHBACK_TOKEN").ok().filter(|token| !token.is_empty());
        let certificate = certificate.zip(key).map(|(chain, key)| KeyPair { chain, key });
        Self { token, token_file, authorities, certificate }
    }
}
