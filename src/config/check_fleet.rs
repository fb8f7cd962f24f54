use super::check_tls::Files;
use super::check_webhooks;
use super::fault::Faults;
use super::fleet::FleetConfig;
use super::parse::Lost;
use super::raw_process::RawProcess;

/// Checks what of `switchback.toml` concerns all services, and takes it out: the rest is the process's.
pub(super) fn check(
    raw: &mut RawProcess,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> FleetConfig {
    FleetConfig {
        webhooks: check_webhooks::webhooks(raw.webhooks.take().unwrap_or_default(), lost, files, faults),
    }
}
