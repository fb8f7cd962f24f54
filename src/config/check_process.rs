use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::Address;

use super::at::At;
use super::check_addresses;
use super::check_limits;
use super::check_service::network;
use super::check_sources;
use super::check_tls::{self, Files, Speaks};
use super::checked::{AdminConfig, ListenerConfig, ProcessConfig};
use super::fault::Faults;
use super::load_rights::read_rights;
use super::parse::Lost;
use super::peers::Peers;
use super::raw_process::{RawAccessLog, RawAdmin, RawListener, RawProcess, RawState};
use super::units;

/// The most threads that serve requests.
const WORKERS: RangeInclusive<i64> = 1..=256;

/// Who may connect to a Unix socket unless it is said: its owner and group.
const SOCKET_MODE: u32 = 0o660;
/// The same for the admin interface's: its owner.
const ADMIN_MODE: u32 = 0o600;

/// Checks `switchback.toml`. What is at fault gets its default: the result counts only if no fault was found.
pub(super) fn check(
    raw: RawProcess,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> ProcessConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = raw.workers.and_then(|raw| within(&raw, WORKERS, "a number of threads", faults));
    let RawState { directory: folder, history } = raw.state.unwrap_or_default();
    let state = directory(folder, faults);
    ProcessConfig {
        workers: workers.and_then(|workers| usize::try_from(workers).ok()).unwrap_or(cores),
        listeners: listeners(raw.listeners, lost, files, faults),
        admin: admin(raw.admin.unwrap_or_default(), &state, lost, files, faults),
        state,
        history_bytes: history_bytes(history, faults),
        access_log: raw.access_log.and_then(|raw| access_log(raw, lost, faults)),
        shutdown: duration(
            raw.shutdown.and_then(|shutdown| shutdown.deadline),
            Duration::from_secs(30),
            faults,
        ),
        limits: check_limits::process(raw.limits.unwrap_or_default(), faults),
        helios: raw.helios.and_then(|raw| check_sources::helios(raw, lost, files, faults)),
        clusters: check_sources::clusters(raw.clusters.unwrap_or_default(), faults),
    }
}

/// A duration that is more than nothing.
pub(super) fn duration(raw: Option<At<String>>, default: Duration, faults: &mut Faults<'_>) -> Duration {
    let Some(raw) = raw else { return default };
    match units::parse_duration(&raw.value) {
        Ok(duration) if duration.is_zero() => {
            faults.at(&raw.span, "no time at all", "more than nothing");
            default
        }
        Ok(duration) => duration,
        Err(wanted) => {
            faults.at(&raw.span, "not a duration", wanted);
            default
        }
    }
}

/// A duration between these two.
pub(super) fn duration_within(
    raw: Option<At<String>>,
    range: &RangeInclusive<Duration>,
    default: Duration,
    faults: &mut Faults<'_>,
) -> Duration {
    let span = raw.as_ref().map(|raw| raw.span.clone());
    let duration = duration(raw, default, faults);
    if let Some(span) = span.filter(|_| !range.contains(&duration)) {
        let label = format!("{} to {}", units::in_words(*range.start()), units::in_words(*range.end()));
        faults.at(&span, "out of range", label);
        return default;
    }
    duration
}

/// An address and port.
pub(super) fn address(raw: &At<String>, faults: &mut Faults<'_>) -> Option<SocketAddr> {
    let address = raw.value.trim().parse::<SocketAddr>().ok();
    if address.is_none() {
        let ip = |text: &str| text.parse::<IpAddr>().is_ok();
        let help = match raw.value.trim().rsplit_once(':') {
            _ if raw.value.contains('[') || raw.value.matches(':').count() > 1 => {
                "an IPv6 address stands in brackets, with the port behind them"
            }
            Some((host, _)) if ip(host) => "the port is a number, 1 to 65535",
            None if ip(raw.value.trim()) => "the port is missing",
            Some(_) | None => {
                "write an IP address; endpoints may have host names, of letters, digits and hyphens"
            }
        };
        faults
            .at(&raw.span, "not an address and port", "such as 10.4.1.17:8080 or [fd00::7]:8080")
            .help(help);
    }
    address
}

/// A number in a range.
pub(super) fn within(
    raw: &At<i64>,
    range: RangeInclusive<i64>,
    what: &str,
    faults: &mut Faults<'_>,
) -> Option<i64> {
    let fits = range.contains(&raw.value);
    if !fits {
        faults.at(&raw.span, "out of range", format!("{what}: {} to {}", range.start(), range.end()));
    }
    fits.then_some(raw.value)
}

fn listeners(
    raw: Option<BTreeMap<String, At<RawListener>>>,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Vec<ListenerConfig> {
    let raw = raw.unwrap_or_default();
    if raw.is_empty() && !lost.has("listeners") {
        faults
            .whole("no listener", "clients have nowhere to connect")
            .help("add\n[listeners.http]\naddress = \"127.0.0.1:8080\"");
    }
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for (name, listener) in raw {
        let Some(raw) = listener.value.address else {
            if !lost.has("address") {
                faults
                    .at(&listener.span, "a listener without an address", "where do clients connect?")
                    .help("add address = \"127.0.0.1:8080\"");
            }
            continue;
        };
        let mode = mode(listener.value.mode.as_ref(), &raw, faults);
        let tls =
            listener.value.tls.and_then(|raw| check_tls::accept(raw, Speaks::Http2Too, lost, files, faults));
        let told_by = peers(listener.value.proxy_protocol_from, faults);
        let trusted = peers(listener.value.trusted_proxies, faults);
        let limits = check_limits::listener(listener.value.limits.unwrap_or_default(), faults);
        let Some(address) = check_addresses::listener(&raw, faults) else { continue };
        // Port 0 asks for any free port, so two of them are two ports.
        let is_any = address.tcp().is_some_and(|address| address.port() == 0);
        let twin = listeners.iter().find(|other| other.address == address && !is_any);
        if let Some(twin) = twin {
            let label = format!("also the address of listener {}", twin.name);
            let what = if address.tcp().is_some() { "port" } else { "socket" };
            faults
                .at(&raw.span, "two listeners on one address", label)
                .help(format!("give each its own {what}"));
        }
        listeners.push(ListenerConfig { name: name.into(), address, mode, tls, told_by, trusted, limits });
    }
    listeners
}

/// The permissions of a Unix socket's file.
fn mode(raw: Option<&At<String>>, address: &At<String>, faults: &mut Faults<'_>) -> u32 {
    let Some(raw) = raw else { return SOCKET_MODE };
    if !address.value.trim().starts_with(Address::UNIX) {
        faults
            .at(&raw.span, "a mode of no file", "only a Unix socket has permissions")
            .help("leave mode out, or listen on a Unix socket: address = \"unix:/run/switchback.sock\"");
        return SOCKET_MODE;
    }
    permissions(raw, faults).unwrap_or(SOCKET_MODE)
}

fn permissions(raw: &At<String>, faults: &mut Faults<'_>) -> Option<u32> {
    let digits = raw.value.trim();
    let is_octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    if mode.is_none() {
        faults.at(&raw.span, "not a mode", "three octal digits, perhaps behind a 0: 0600, 0660, 0666");
    }
    mode
}

/// Networks, and `unix` for whoever connects to a Unix socket.
fn peers(raw: Option<Vec<At<String>>>, faults: &mut Faults<'_>) -> Peers {
    let mut peers = Peers::default();
    for raw in raw.into_iter().flatten() {
        let text = raw.value.trim();
        if text == Peers::UNIX {
            peers.unix = true;
        } else if text.starts_with(Address::UNIX) {
            faults
                .at(
                    &raw.span,
                    "not a network",
                    "who connects by a Unix socket does not tell by which of theirs",
                )
                .help("write \"unix\" for all of them; the socket's mode says who they are");
        } else {
            peers.networks.extend(network(&raw, faults));
        }
    }
    peers
}

fn admin(raw: RawAdmin, state: &Path, lost: &Lost, files: Files<'_>, faults: &mut Faults<'_>) -> AdminConfig {
    let (has_tls, has_rights) = (raw.tls.is_some(), raw.rights.is_some());
    let default = SocketAddr::from(([127, 0, 0, 1], 7070));
    let checked = raw.address.and_then(|raw| {
        let address = address(&raw, faults)?;
        let missing = match (has_tls || lost.has("tls"), has_rights || lost.has("rights")) {
            (true, true) => None,
            _ if address.ip().is_loopback() => None,
            (false, false) => Some("not a loopback address, without TLS and without rights"),
            (false, true) => Some("not a loopback address, without TLS"),
            (true, false) => Some("not a loopback address, without rights"),
        };
        let Some(missing) = missing else { return Some(address) };
        faults.at(&raw.span, "the admin interface would be open to others", missing).help(
            "use 127.0.0.1 or [::1], or add [admin.tls] and rights = \"rights.toml\": whoever gets in can move every \
             service's traffic",
        );
        None
    });
    let clients = raw.tls.as_ref().and_then(|tls| tls.value.clients.as_ref());
    if let Some(forward) = clients.and_then(|clients| clients.value.forward.as_ref()).filter(|it| it.value) {
        faults
            .at(&forward.span, "nobody to forward to", "there are no endpoints behind the admin interface")
            .help("leave it out");
    }
    let socket = raw.socket.map_or_else(|| "admin.sock".into(), |raw| PathBuf::from(raw.value));
    AdminConfig {
        address: checked.unwrap_or(default),
        socket: state.join(socket),
        mode: raw.socket_mode.and_then(|raw| permissions(&raw, faults)).unwrap_or(ADMIN_MODE),
        tls: raw.tls.and_then(|raw| check_tls::accept(raw, Speaks::Http1, lost, files, faults)),
        rights: raw.rights.and_then(|raw| rights(&raw, files, faults)),
    }
}

/// The file of who may do what. What is wrong with it is wrong with the configuration, until it is in force: from then on it
/// is followed by itself.
fn rights(raw: &At<String>, files: Files<'_>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    let path = check_tls::file_like("rights.toml", raw, faults)?;
    let is_read = match files {
        Files::Read => true,
        Files::ReadUnless(known) => !known.has_rights(&path),
        Files::Leave => false,
    };
    if is_read && !path.exists() {
        faults.at(&raw.span, "no rights file", format!("{} is not there", path.display())).help(
            "switchback token new makes it; an empty one lets in root and the user that runs Switchback, by the socket",
        );
    } else if is_read && let Err(others) = read_rights(&path, Files::Read) {
        faults.take_over(others);
    }
    Some(path)
}

fn access_log(raw: At<RawAccessLog>, lost: &Lost, faults: &mut Faults<'_>) -> Option<PathBuf> {
    let Some(file) = raw.value.file else {
        if !lost.has("file") {
            faults
                .at(&raw.span, "an access log without a file", "where is it written?")
                .help("add file = \"/var/log/switchback/access.log\", or leave the table out");
        }
        return None;
    };
    if file.value.is_empty() || file.value.ends_with('/') {
        faults.at(&file.span, "not a file", "such as /var/log/switchback/access.log");
        return None;
    }
    Some(file.value.into())
}

fn history_bytes(raw: Option<At<String>>, faults: &mut Faults<'_>) -> u64 {
    const USUAL: u64 = 256 << 20;
    const RANGE: RangeInclusive<u64> = 16 << 20..=16 << 30;
    let Some(raw) = raw else { return USUAL };
    match units::parse_size(&raw.value).map(|bytes| bytes as u64) {
        Ok(bytes) if RANGE.contains(&bytes) => return bytes,
        Ok(_) => {
            faults.at(&raw.span, "out of range", "16MiB to 16GiB").help("an entry takes some 400 bytes");
        }
        Err(wanted) => {
            faults.at(&raw.span, "not a size", wanted);
        }
    }
    USUAL
}

fn directory(raw: Option<At<String>>, faults: &mut Faults<'_>) -> PathBuf {
    let default = PathBuf::from("/var/lib/switchback");
    match raw {
        Some(raw) if raw.value.is_empty() => {
            faults.at(&raw.span, "no directory", "holds and overrides are kept here");
            default
        }
        Some(raw) => raw.value.into(),
        None => default,
    }
}
