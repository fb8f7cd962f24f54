//! What people write: one `switchback.toml`, and one file a service in `services/`.
//!
//! ```text
//! text ─parse─▶ raw (serde, with places) ─check─▶ Config (cannot be wrong)
//!                 └──────── every fault of every file, at once ────────┘
//! ```
//!
//! A configuration is taken whole or not at all: one fault in one file, and the last good one stays in force.
//! Raw types say what was written and serve the JSON Schema; checked types carry no file, no place and no
//! serde. All defaults stand in `raw_process` and `raw_service`, in the documentation of each key, and in the
//! checked types' makers.

mod at;
mod changes;
mod check_addresses;
mod check_checks;
mod check_failures;
mod check_fleet;
mod check_headers;
mod check_limits;
mod check_oidc;
mod check_process;
mod check_ramp;
mod check_rights;
mod check_service;
mod check_sources;
mod check_tls;
mod check_webhooks;
mod checked;
mod checks;
mod diff;
mod fault;
mod fleet;
mod limits;
mod load;
mod load_rights;
mod parse;
mod peers;
mod raw_checks;
mod raw_headers;
mod raw_process;
mod raw_ramp;
mod raw_rights;
mod raw_service;
mod raw_sources;
mod raw_tls;
mod raw_webhooks;
mod render;
mod rights;
mod routes;
mod schema;
mod show;
mod sources;
mod units;
mod webhooks;

pub use changes::{ChangesConfig, HeaderRules, TraceStart};
pub use check_ramp::parse_plan;
pub use check_rights::{is_entry_name, parse_day};
pub use checked::{
    AdminConfig, Affinity, Config, HostPattern, JudgeConfig, JudgeMode, ListenerConfig, MatchConfig,
    PathPrefix, Phase, ProcessConfig, Protocol, ProxyProtocol, RescueConfig, ServiceConfig, SideConfig,
    StreamEnd, StreamsConfig, TimeoutsConfig,
};
pub use checks::{CheckConfig, CheckKind};
pub use diff::{Diff, diff};
pub use fault::Fault;
pub use fleet::{FleetConfig, GuardConfig};
pub use limits::{ListenerLimits, ProcessLimits, Rate, ServiceLimits};
pub(crate) use load::reload;
pub use load::{Loaded, load, load_service, rights_file};
pub use load_rights::{LoadedRights, load_rights};
pub(crate) use load_rights::{load_rights_alone, reload_rights};
pub use peers::Peers;
pub use render::render;
pub use rights::{CertificateEntry, KeysAt, KeysUrl, OidcConfig, RightsConfig, TokenEntry, TokenHash};
pub use schema::{SchemaOf, plan_schema, schema};
pub use show::show;
pub use sources::{
    ClusterAccess, ClusterConfig, HostPort, Listed, MasterAddress, Masters, MastersConfig, Part, PortOf,
    Published, Registered, Source,
};
pub use units::{LONGEST_DURATION, in_words, parse_duration};
pub use webhooks::{Target, Topic, UrlFault, WebhookConfig, WebhookKind, WebhookUrl};
