use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;

use super::weight::tell;
use super::{Failure, block_on};

/// Arguments of `revert`.
#[derive(Args, Debug)]
pub(super) struct Revert {
    /// The services.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    services: Vec<String>,
    /// Every service that gets requests on Kubernetes.
    #[arg(long)]
    all: bool,
    /// Why: others will read it at three in the morning
    #[arg(long)]
    reason: String,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl Revert {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let body = wire::Revert { services: self.services, all: self.all, reason: self.reason };
        tell(&block_on(client::ask_text(admin, Method::POST, "/v1/revert", Some(&body)))?, self.json)
    }
}
