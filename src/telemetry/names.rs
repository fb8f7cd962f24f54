//! Every metric that Switchback exports. All begin with `switchback_`; labels have known values: services and
//! sides from the configuration, outcomes and reasons from [`Cause`](crate::model::Cause).

/// Tries that ended, by `service`, `side`, `outcome` (`ok` or the cause) and `fault` (`none`, `client`, `side`, `proxy`).
pub(crate) const TRIES: &str = "switchback_tries_total";
/// Seconds from asking an endpoint to the head of its answer, by `service` and `side`.
pub(crate) const ANSWER_SECONDS: &str = "switchback_answer_seconds";
/// Answers that clients got, by `service` and `class` (`2xx` …).
pub(crate) const ANSWERS: &str = "switchback_answers_total";
/// Requests that failed on Kubernetes, by `service` and `result`: `rescued`, `unrescued` (the client was told),
/// `over_budget`; and those that Kubernetes was slow to answer, and Helios answered first: `hedged`.
pub(crate) const RESCUES: &str = "switchback_rescues_total";
/// Requests and connections that no side was asked for, by `reason`, and by `service` if they belong to one.
pub(crate) const REFUSED: &str = "switchback_refused_requests_total";
/// The weight in force, in percent, by `service`.
pub(crate) const WEIGHT: &str = "switchback_weight_percent";
/// 1 while a service is held, by `service`.
pub(crate) const HELD: &str = "switchback_held";
/// Endpoints that a source knows, by `service`, `side`, `cluster` (empty but on a side that is on several) and `standing`:
/// `live`, `suspect`, `unknown`, `draining`, `not-ready`; those that are kept against its word among them.
pub(crate) const ENDPOINTS: &str = "switchback_endpoints";
/// Endpoints that are not asked for a while, because they do much worse than the others, by `service` and `side`.
pub(crate) const ENDPOINTS_OUT: &str = "switchback_endpoints_out";
/// Endpoints that fail their checks, by `service` and `side`.
pub(crate) const ENDPOINTS_ILL: &str = "switchback_endpoints_ill";
/// 1 while a cluster is not asked, because it does much worse than the side's others, by `service`, `side` and `cluster`.
pub(crate) const CLUSTER_OUT: &str = "switchback_cluster_out";
/// Seconds since a source has last said where endpoints are, by `service`, `side` and `cluster`. Not there for fixed addresses.
pub(crate) const SOURCE_AGE: &str = "switchback_source_age_seconds";
/// 1 while it cannot be said where endpoints are, or what is said is not believed, by `service`, `side` and `cluster`.
pub(crate) const SOURCE_TROUBLED: &str = "switchback_source_troubled";
/// Requests a second that Helios can take, by `service`. Not there while too little is known.
pub(crate) const HELIOS_CAPACITY: &str = "switchback_helios_capacity_per_second";
/// 1 if Helios can take everything back, by `service`. Not there while too little is known.
pub(crate) const REVERT_FITS: &str = "switchback_revert_fits";
/// 1 while Helios gets more than it can take, and what is too much is refused, by `service`.
pub(crate) const SHEDDING: &str = "switchback_shedding";
/// Reverts, by `service` and `by`: `judge`, `guard` or `person`.
pub(crate) const REVERTS: &str = "switchback_reverts_total";
/// Times that the judge was said to be wrong more often than is promised, by `service`.
pub(crate) const PROMISES_BROKEN: &str = "switchback_promises_broken_total";
/// 1 while Helios is compared with itself, by `service`.
pub(crate) const CALIBRATING: &str = "switchback_calibrating";
/// 1 for the judge's word, by `service` and `verdict`: `worse`, `not worse`, `too little evidence`, `blind` or `off`.
pub(crate) const VERDICT: &str = "switchback_verdict";
/// How much of the evidence that a revert takes there is, 0 to 1, by `service`.
pub(crate) const EVIDENCE: &str = "switchback_evidence";
/// Always 1, by `service`, `team`, `phase` and `owner` (empty if nobody answers for it).
pub(crate) const SERVICE: &str = "switchback_service_info";
/// 1 for the stage that a service is at, by `service` and `stage`: `helios only`, `dual run` or `kubernetes only`.
pub(crate) const STAGE: &str = "switchback_migration_stage";
/// Days that a service is at its stage, by `service`.
pub(crate) const STAGE_DAYS: &str = "switchback_migration_stage_days";
/// Days that a service is at its weight, by `service`.
pub(crate) const WEIGHT_DAYS: &str = "switchback_migration_weight_days";
/// The highest weight that a service ever had, in percent, by `service`.
pub(crate) const HIGHEST_WEIGHT: &str = "switchback_migration_highest_weight_percent";
/// Reverts that the ledger knows of, also before the last restart, by `service` and `by`: `judge` or `others`.
pub(crate) const LEDGER_REVERTS: &str = "switchback_migration_reverts";
/// Those of the judge's that were said to be false, by `service`.
pub(crate) const FALSE_REVERTS: &str = "switchback_migration_false_reverts";
/// How many services there are, by `team`, `phase` and `stage`.
pub(crate) const MIGRATION_SERVICES: &str = "switchback_migration_services";
/// The number of the step that a ramp has come to, by `service`. 0 without a ramp.
pub(crate) const RAMP_STEP: &str = "switchback_ramp_step";
/// How many steps it has, by `service`.
pub(crate) const RAMP_STEPS: &str = "switchback_ramp_steps";
/// 1 while a ramp is paused, by `service`.
pub(crate) const RAMP_PAUSED: &str = "switchback_ramp_paused";
/// 1 for each thing that a ramp waits for, by `service` and `kind`.
pub(crate) const RAMP_WAITS: &str = "switchback_ramp_waits_for";
/// 1 while a change waits for a second person, by `service`.
pub(crate) const APPROVAL_WANTED: &str = "switchback_approval_wanted";
/// 1 while several services were taken back at once.
pub(crate) const FLEET_GUARD: &str = "switchback_fleet_guard";
/// Records, and entries of the history, that are not on disk yet, by `what`: `records` or `history`.
pub(crate) const UNWRITTEN: &str = "switchback_state_unwritten";
/// 1 if the configuration that was read last is in force, 0 if it had faults.
pub(crate) const CONFIGURATION_GOOD: &str = "switchback_configuration_good";
/// When the configuration in force was loaded, in seconds since 1970.
pub(crate) const CONFIGURATION_LOADED: &str = "switchback_configuration_loaded_timestamp_seconds";
/// 1 if the rights file that was read last is in force, 0 if it had faults. Not there without one.
pub(crate) const RIGHTS_GOOD: &str = "switchback_rights_good";
/// Requests to the admin interface by who could not be told from a stranger.
pub(crate) const LOGIN_FAILURES: &str = "switchback_login_failures_total";
/// Clients' connections, by `worker`.
pub(crate) const CONNECTIONS: &str = "switchback_connections";
/// Times that a worker stopped accepting because it had as many connections as it may.
pub(crate) const ACCEPTS_PAUSED: &str = "switchback_accepts_paused_total";
/// Clients with whom TLS could not be agreed on.
pub(crate) const HANDSHAKES_FAILED: &str = "switchback_tls_handshake_failures_total";
/// When a certificate in use ends, in seconds since 1970, by `file`.
pub(crate) const CERTIFICATE_ENDS: &str = "switchback_certificate_ends_timestamp_seconds";
/// The generation of the latest snapshot.
pub(crate) const GENERATION: &str = "switchback_snapshot_generation";
/// Records that could not be written to the state directory.
pub(crate) const WRITE_FAILURES: &str = "switchback_state_write_failures_total";
/// Votes that were lost because too many waited.
pub(crate) const VOTES_LOST: &str = "switchback_votes_lost_total";
/// Requests that the access log does not have, because its writer did not keep up.
pub(crate) const ACCESS_LOG_DROPPED: &str = "switchback_access_log_dropped_total";
/// Times that the access log could not be written, or its file not be opened.
pub(crate) const ACCESS_LOG_WRITE_FAILURES: &str = "switchback_access_log_write_failures_total";
/// Messages that have arrived, by `webhook`.
pub(crate) const WEBHOOK_DELIVERED: &str = "switchback_webhook_delivered_total";
/// Tries to deliver one that have failed and are repeated, by `webhook`.
pub(crate) const WEBHOOK_FAILED_TRIES: &str = "switchback_webhook_failed_tries_total";
/// Messages that were given up, because their receiver refused them or they were a day old, by `webhook`.
pub(crate) const WEBHOOK_GIVEN_UP: &str = "switchback_webhook_given_up_total";
/// Messages that there was no room for, or that could not be read, by `webhook`.
pub(crate) const WEBHOOK_DROPPED: &str = "switchback_webhook_dropped_total";
/// Messages that wait, by `webhook`.
pub(crate) const WEBHOOK_WAITING: &str = "switchback_webhook_waiting";
/// Seconds since that happened which the oldest of them tells of, by `webhook`; 0 if none waits.
pub(crate) const WEBHOOK_OLDEST: &str = "switchback_webhook_oldest_seconds";
/// Always 1; `version` is the program's.
pub(crate) const BUILD: &str = "switchback_build_info";

/// What each name means, and what kind it is.
pub(super) const DESCRIBED: &[(&str, Kind, &str)] = &[
    (TRIES, Kind::Counter, "Tries that ended, by service, side, outcome and fault."),
    (ANSWER_SECONDS, Kind::Histogram, "Seconds from asking an endpoint to the head of its answer."),
    (ANSWERS, Kind::Counter, "Answers that clients got, by service and class."),
    (RESCUES, Kind::Counter, "Requests that failed on Kubernetes, by service and result."),
    (REFUSED, Kind::Counter, "Requests that no side was asked, by reason and service."),
    (WEIGHT, Kind::Gauge, "The weight in force, in percent."),
    (HELD, Kind::Gauge, "1 while a service is held."),
    (ENDPOINTS, Kind::Gauge, "Endpoints that are known, by service, side and standing."),
    (ENDPOINTS_OUT, Kind::Gauge, "Endpoints that are not asked for a while, by service and side."),
    (ENDPOINTS_ILL, Kind::Gauge, "Endpoints that fail their checks, by service and side."),
    (CLUSTER_OUT, Kind::Gauge, "1 while a cluster is not asked for a while."),
    (SOURCE_AGE, Kind::Gauge, "Seconds since it was last said where endpoints are."),
    (SOURCE_TROUBLED, Kind::Gauge, "1 while a source fails or is not believed."),
    (HELIOS_CAPACITY, Kind::Gauge, "Requests a second that Helios can take."),
    (REVERT_FITS, Kind::Gauge, "1 if Helios can take everything back."),
    (SHEDDING, Kind::Gauge, "1 while what is too much for Helios is refused."),
    (REVERTS, Kind::Counter, "Reverts, by service and by whom."),
    (PROMISES_BROKEN, Kind::Counter, "Times that the judge was wrong more often than is promised."),
    (CALIBRATING, Kind::Gauge, "1 while Helios is compared with itself."),
    (VERDICT, Kind::Gauge, "1 for the judge's word, by service."),
    (EVIDENCE, Kind::Gauge, "How much of the evidence that a revert takes there is, 0 to 1."),
    (SERVICE, Kind::Gauge, "Always 1; who a service belongs to is in the labels."),
    (STAGE, Kind::Gauge, "1 for the stage that a service is at."),
    (STAGE_DAYS, Kind::Gauge, "Days that a service is at its stage."),
    (WEIGHT_DAYS, Kind::Gauge, "Days that a service is at its weight."),
    (HIGHEST_WEIGHT, Kind::Gauge, "The highest weight that a service ever had, in percent."),
    (LEDGER_REVERTS, Kind::Gauge, "Reverts that the ledger knows of, by service and by whom."),
    (FALSE_REVERTS, Kind::Gauge, "Reverts by the judge that were said to be false."),
    (MIGRATION_SERVICES, Kind::Gauge, "Services, by team, phase and stage."),
    (RAMP_STEP, Kind::Gauge, "The step that a ramp has come to; 0 without one."),
    (RAMP_STEPS, Kind::Gauge, "Steps that a ramp has."),
    (RAMP_PAUSED, Kind::Gauge, "1 while a ramp is paused."),
    (RAMP_WAITS, Kind::Gauge, "1 for each thing that a ramp waits for."),
    (APPROVAL_WANTED, Kind::Gauge, "1 while a change waits for a second person."),
    (FLEET_GUARD, Kind::Gauge, "1 while several services were taken back at once."),
    (UNWRITTEN, Kind::Gauge, "Records and entries of the history that are not on disk yet."),
    (CONFIGURATION_GOOD, Kind::Gauge, "1 if the configuration that was read last is in force."),
    (CONFIGURATION_LOADED, Kind::Gauge, "When the configuration in force was loaded, Unix seconds."),
    (RIGHTS_GOOD, Kind::Gauge, "1 if the rights file that was read last is in force."),
    (LOGIN_FAILURES, Kind::Counter, "Requests to the admin interface by strangers."),
    (CONNECTIONS, Kind::Gauge, "Connections of clients, by worker."),
    (ACCEPTS_PAUSED, Kind::Counter, "Times that a worker stopped accepting for too many connections."),
    (HANDSHAKES_FAILED, Kind::Counter, "Clients with whom TLS could not be agreed on."),
    (CERTIFICATE_ENDS, Kind::Gauge, "When a certificate in use ends, Unix seconds, by file."),
    (GENERATION, Kind::Gauge, "The generation of the latest snapshot."),
    (WRITE_FAILURES, Kind::Counter, "Records that could not be written to the state directory."),
    (VOTES_LOST, Kind::Counter, "Votes that were lost because too many waited."),
    (ACCESS_LOG_DROPPED, Kind::Counter, "Requests that the access log does not have."),
    (ACCESS_LOG_WRITE_FAILURES, Kind::Counter, "Times that the access log could not be written."),
    (WEBHOOK_DELIVERED, Kind::Counter, "Messages that have arrived, by webhook."),
    (WEBHOOK_FAILED_TRIES, Kind::Counter, "Tries to deliver a message that have failed, by webhook."),
    (WEBHOOK_GIVEN_UP, Kind::Counter, "Messages that were given up, by webhook."),
    (WEBHOOK_DROPPED, Kind::Counter, "Messages that there was no room for, by webhook."),
    (WEBHOOK_WAITING, Kind::Gauge, "Messages that wait, by webhook."),
    (WEBHOOK_OLDEST, Kind::Gauge, "Seconds since that happened which the oldest one tells of."),
    (BUILD, Kind::Gauge, "Always 1; the version is a label."),
];

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}
