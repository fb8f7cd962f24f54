use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::model::{GrpcCode, Side, Statuses};
use crate::rollout::{Plan, Step};
use crate::splitter::Sticky;
use crate::tls::ConnectSettings;

use super::changes::{ChangesConfig, TraceStart};
use super::checked::{Affinity, ProxyProtocol, ServiceConfig, StreamEnd};
use super::checks::{CheckConfig, CheckKind};
use super::limits::{Rate, ServiceLimits};
use super::sources::{Masters, Part, Registered, Source};

/// A service's configuration with every default written out, as a file that reads back to the same.
pub fn show(service: &ServiceConfig) -> String {
    let mut out = String::new();
    let s = service;
    // Writing to a String does not fail.
    let _ = writeln!(out, "team  = {:?}\nphase = {:?}", s.team, s.phase.as_str());
    for (key, name) in [("owner", &s.owner), ("contact", &s.contact)] {
        if let Some(name) = name {
            let _ = writeln!(out, "{key} = {name:?}");
        }
    }
    out.push_str("\n[match]\n");
    if !s.matches.listeners.is_empty() {
        let _ = writeln!(out, "listeners = {:?}", s.matches.listeners);
    }
    let _ = writeln!(out, "hosts = {:?}", strings(&s.matches.hosts));
    let _ = writeln!(out, "paths = {:?}", strings(&s.matches.paths));
    let _ = writeln!(out, "\n[split]\nkubernetes = {}", s.weight);
    if let Some(sticky) = &s.sticky {
        let _ = writeln!(out, "sticky = {}", user(sticky));
    }
    match &s.affinity {
        Some(Affinity::User(by)) => {
            let _ = writeln!(out, "affinity = {}", user(by));
        }
        Some(Affinity::Path) => out.push_str("affinity = { path = true }\n"),
        None => {}
    }
    if let Some(force) = &s.force {
        let _ = writeln!(
            out,
            "force = {{ header = {:?}, from = {:?} }}",
            force.header.as_str(),
            strings(&force.from)
        );
    }
    for side in Side::ALL {
        if s.is_on(side) {
            let side_config = &s.sides[side];
            let _ = writeln!(
                out,
                "\n[{side}]\nsource = {}\nprotocol = {:?}",
                source(&side_config.parts),
                side_config.protocol.as_str()
            );
            if let Some(version) = side_config.proxy_protocol {
                let version = if version == ProxyProtocol::V1 { "v1" } else { "v2" };
                let _ = writeln!(out, "proxy-protocol = {version:?}");
            }
            if let Some(host) = &side_config.host {
                let _ = writeln!(out, "host = {}", quoted(host));
            }
            if let Some(in_flight) = side_config.in_flight {
                let _ = writeln!(out, "in-flight = {in_flight}");
            }
            let _ = writeln!(out, "idle-connections = \"{}\"", exact(side_config.idle_connections));
            if let Some(capacity) = side_config.capacity {
                let _ = writeln!(out, "capacity = {capacity}");
            }
            if let Some(connector) = &side_config.tls {
                show_tls(side, connector.settings(), &mut out);
            }
            if let Some(check) = &side_config.check {
                show_check(side, check, &mut out);
            }
        }
    }
    show_rules(s, &mut out);
    out
}

fn user(sticky: &Sticky) -> String {
    match sticky {
        Sticky::Header(name) => format!("{{ header = {:?} }}", name.as_str()),
        Sticky::Cookie(name) => format!("{{ cookie = {name:?} }}"),
        Sticky::ClientAddress => "{ client-address = true }".to_owned(),
    }
}

/// Where a side's endpoints come from. Masters that came from `switchback.toml` stay there.
fn source(parts: &[Part]) -> String {
    let Some(Part { source, .. }) = parts.first() else { return "{ addresses = [] }".to_owned() };
    match source {
        Source::Listed(listed) => {
            let addresses: Vec<_> =
                strings(&listed.fixed[..]).into_iter().chain(strings(&listed.names[..])).collect();
            format!("{{ addresses = {addresses:?} }}")
        }
        Source::Srv(name) => format!("{{ srv = {name:?} }}"),
        Source::Helios(masters, what) => {
            let what = match what {
                Registered::Service { service, protocol } => {
                    format!("service = {service:?}, protocol = {protocol:?}")
                }
                Registered::Job { job, port } => format!("job = {job:?}, port = {port:?}"),
            };
            match &masters.found {
                Masters::Listed(list) if masters.is_of_service => {
                    format!("{{ {what}, masters = {:?} }}", strings(&list[..]))
                }
                Masters::Listed(_) | Masters::Domain(_) => format!("{{ {what} }}"),
            }
        }
        Source::Kubernetes(cluster, what) => {
            let port = what.port.as_ref().map(|port| format!(", port = \"{port}\"")).unwrap_or_default();
            let shares =
                parts.iter().filter_map(|part| Some(format!("{} = {}", part.cluster.as_ref()?, part.weight)));
            let shares: Vec<_> = shares.collect();
            let cluster = match (&*cluster.name, shares.as_slice()) {
                ("", _) => String::new(),
                (name, []) => format!(", cluster = {name:?}"),
                (_, shares) => format!(", clusters = {{ {} }}", shares.join(", ")),
            };
            format!("{{ namespace = {:?}, service = {:?}{port}{cluster} }}", what.namespace, what.service)
        }
    }
}

fn show_tls(side: Side, tls: &ConnectSettings, out: &mut String) {
    let _ = writeln!(out, "\n[{side}.tls]");
    // Read in another folder, it means the same files.
    let whole =
        |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    if let Some(roots) = &tls.roots {
        let _ = writeln!(out, "authorities = {:?}", whole(roots));
    }
    if let Some(name) = &tls.name {
        let _ = writeln!(out, "name = {:?}", name.to_str());
    }
    if !tls.identities.is_empty() {
        let _ = writeln!(out, "identities = {:?}", tls.identities);
    }
    if let Some(pair) = &tls.certificate {
        let _ = writeln!(
            out,
            "certificate = {{ chain = {:?}, key = {:?} }}",
            whole(&pair.chain),
            whole(&pair.key)
        );
    }
}

fn show_check(side: Side, check: &CheckConfig, out: &mut String) {
    let _ = writeln!(out, "\n[{side}.check]\nkind = {:?}", check.kind.as_str());
    match &check.kind {
        CheckKind::Http { path, statuses: well } => {
            let _ = writeln!(out, "path = \"{path}\"\nstatuses = {:?}", statuses(well));
            if let Some(host) = &check.host {
                let _ = writeln!(out, "host = {}", quoted(host));
            }
        }
        CheckKind::Grpc { service } => {
            let _ = writeln!(out, "service = {service:?}");
        }
        CheckKind::Tcp => {}
    }
    if let Some(port) = check.port {
        let _ = writeln!(out, "port = {port}");
    }
    let _ = writeln!(
        out,
        "every = \"{}\"\ntimeout = \"{}\"\nrise = {}\nfall = {}",
        exact(check.every),
        exact(check.timeout),
        check.rise,
        check.fall
    );
}

fn show_rules(s: &ServiceConfig, out: &mut String) {
    let _ = writeln!(
        out,
        "\n[timeouts]\nconnect = \"{}\"\nheader = \"{}\"\nrequest = \"{}\"\nidle = \"{}\"\nstream-idle = \"{}\"",
        exact(s.timeouts.connect),
        exact(s.timeouts.header),
        exact(s.timeouts.request),
        exact(s.timeouts.idle),
        exact(s.timeouts.stream_idle)
    );
    let _ = writeln!(
        out,
        "\n[streams]\non-revert = \"{}\"\non-shutdown = \"{}\"",
        stream_end(s.streams.on_revert),
        stream_end(s.streams.on_shutdown)
    );
    let _ = writeln!(
        out,
        "\n[failures]\nstatuses = {:?}\ngrpc = {:?}",
        statuses(&s.failures.statuses),
        s.failures.grpc.iter().map(GrpcCode::as_str).collect::<Vec<_>>()
    );
    let _ = writeln!(out, "\n[ejection]\nmost = {}", s.most_ejected);
    let _ = writeln!(
        out,
        "\n[rescue]\nenabled = {}\nbody = \"{}B\"\ngrpc = {:?}\nhedge = {}\nbudget = {:?}",
        s.rescue.enabled,
        s.rescue.body_bytes,
        s.rescue.grpc.iter().collect::<Vec<_>>(),
        s.rescue.hedge,
        s.rescue.budget * 100.0
    );
    show_limits(&s.limits, out);
    if let Some(changes) = &s.changes {
        show_changes(changes, out);
    }
    let rule = &s.judge.rule;
    let _ = writeln!(
        out,
        "\n[judge]\nmode = {:?}\nfalse-revert-every = \"{}\"\ntolerate = {{ failures = \"x{} +{}%\", slower = \"x{} +{}\" }}",
        s.judge.mode.as_str(),
        exact(rule.false_revert_every),
        rule.failures.ratio,
        rule.failures.delta * 100.0,
        rule.slower.ratio,
        exact(rule.slower.add)
    );
    show_plan(&s.plan, out);
    let _ = writeln!(out, "\n[approvals]\nraises = {}", s.approvals);
}

fn show_plan(plan: &Plan, out: &mut String) {
    let step = |step: &Step| {
        let Step { to, hold, requests, certainty } = step;
        let (hold, certainty) = (exact(*hold), certainty * 100.0);
        format!("    {{ to = {to}, hold = \"{hold}\", requests = {requests}, certainty = {certainty:?} }},\n")
    };
    let steps: String = plan.steps.iter().map(step).collect();
    let _ = writeln!(
        out,
        "\n[ramp]\nsteps = [\n{steps}]\nhours = {:?}\nzone = \"{}\"\nfreezes = {:?}",
        strings(&plan.hours.spans),
        plan.hours.zone,
        plan.freezes.iter().map(|freeze| &*freeze.text).collect::<Vec<_>>()
    );
    if let Some(again) = plan.again {
        let _ = writeln!(out, "again-after = \"{}\"\nagain-most = {}", exact(again.after), again.most);
    }
}

fn show_limits(limits: &ServiceLimits, out: &mut String) {
    let _ =
        writeln!(out, "\n[limits]\nqueue = {}\nqueue-wait = \"{}\"", limits.queue, exact(limits.queue_wait));
    if limits.body != u64::MAX {
        let _ = writeln!(out, "body = \"{}B\"", limits.body);
    }
    if let Some(in_flight) = limits.in_flight {
        let _ = writeln!(out, "in-flight = {in_flight}");
    }
    if let Some(Rate { per_second, burst }) = limits.rate {
        let _ = writeln!(out, "rate = {per_second}\nburst = {burst}");
    }
}

fn show_changes(changes: &ChangesConfig, out: &mut String) {
    if let Some(name) = &changes.request_id {
        let _ = writeln!(out, "\n[headers]\nrequest-id = {:?}", name.as_str());
    }
    for (of, rules) in [("request", &changes.request), ("answer", &changes.answer)] {
        if rules.is_empty() {
            continue;
        }
        let table = |lines: &[(HeaderName, HeaderValue)]| {
            let lines = lines.iter().map(|(name, value)| format!("{:?} = {}", name.as_str(), quoted(value)));
            lines.collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(
            out,
            "\n[headers.{of}]\nset = {{ {} }}\nadd = {{ {} }}\nremove = {:?}",
            table(&rules.set),
            table(&rules.add),
            strings(&rules.remove)
        );
    }
    if let Some(prefix) = &changes.strip_prefix {
        let _ = writeln!(out, "\n[rewrite]\nstrip-prefix = \"{prefix}\"");
    }
    if let TraceStart::Always { sampled } = changes.trace {
        let _ = writeln!(out, "\n[trace]\nstart = true\nsampled = {sampled}");
    }
}

/// As TOML writes it: a header's value is visible ASCII.
fn quoted(value: &HeaderValue) -> String {
    format!("{:?}", value.to_str().unwrap_or_default())
}

fn stream_end(end: StreamEnd) -> String {
    match end {
        StreamEnd::Finish => "finish".to_owned(),
        StreamEnd::CloseAfter(Duration::ZERO) => "close".to_owned(),
        StreamEnd::CloseAfter(time) => format!("close after {}", exact(time)),
    }
}

/// As short as they can be said: `5xx`, `500-504`, `503`.
fn statuses(set: &Statuses) -> Vec<String> {
    let words = |range: RangeInclusive<u16>| match (*range.start(), *range.end()) {
        (first, last) if first % 100 == 0 && last % 100 == 99 => {
            (first / 100..=last / 100).map(|class| format!("{class}xx")).collect()
        }
        (first, last) if first == last => vec![first.to_string()],
        (first, last) => vec![format!("{first}-{last}")],
    };
    set.ranges().into_iter().flat_map(words).collect()
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn exact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
