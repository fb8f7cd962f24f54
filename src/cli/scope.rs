use clap::Args;

use crate::admin::wire;

use super::complete::{clusters, services, teams};

/// Which services a command is about.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, id = "scope")]
pub(super) struct ScopeArguments {
    /// The services.
    #[arg(add = services())]
    services: Vec<String>,
    /// The services of this team.
    #[arg(long, add = teams())]
    team: Option<String>,
    /// The services that are on this cluster.
    #[arg(long, add = clusters())]
    cluster: Option<String>,
    /// Every service.
    #[arg(long)]
    all: bool,
}

impl From<ScopeArguments> for wire::Scope {
    fn from(ScopeArguments { services, team, cluster, all }: ScopeArguments) -> Self {
        Self { services: (!services.is_empty()).then_some(services), team, cluster, all: all.then_some(true) }
    }
}
