use std::ops::RangeInclusive;
use std::time::Duration;

use super::check_process::{duration_within, within};
use super::check_ramp;
use super::check_tls::Files;
use super::check_webhooks;
use super::fault::Faults;
use super::fleet::{FleetConfig, GuardConfig};
use super::parse::Lost;
use super::raw_process::RawProcess;
use super::raw_ramp::RawGuard;

const GUARDED: RangeInclusive<i64> = 2..=1_000;
const GUARDED_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Checks what of `switchback.toml` concerns all services, and takes it out: the rest is the process's.
pub(super) fn check(
    raw: &mut RawProcess,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> FleetConfig {
    let webhooks = check_webhooks::webhooks(raw.webhooks.take().unwrap_or_default(), lost, files, faults);
    let ramps = raw.ramps.take().unwrap_or_default();
    let (zone, freezes) = check_ramp::of_fleet(ramps, faults);
    let approvals = raw.approvals.take().and_then(|approvals| approvals.raises);
    FleetConfig {
        zone,
        freezes,
        approvals: approvals.is_some_and(|raises| raises.value),
        guard: guard(raw.fleet_guard.take().unwrap_or_default(), faults),
        webhooks,
    }
}

fn guard(raw: RawGuard, faults: &mut Faults<'_>) -> GuardConfig {
    let usual = GuardConfig::default();
    let services = raw.services.and_then(|raw| within(&raw, GUARDED, "services", faults));
    GuardConfig {
        services: services.and_then(|services| usize::try_from(services).ok()).unwrap_or(usual.services),
        within: duration_within(raw.within, &GUARDED_WITHIN, usual.within, faults),
        revert_cluster: raw.revert_cluster.is_some_and(|raw| raw.value),
    }
}
