use std::collections::HashMap;

use crate::config::{HostPattern, ListenerConfig, PathPrefix, ServiceConfig};

/// Which service answers which host and path on which listener.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By the listener's place in the configuration.
    listeners: Vec<Hosts>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<str>, Paths>,
    below: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// Slots by prefix, the longest first.
#[derive(Debug, Default)]
struct Paths(Vec<(PathPrefix, u32)>);

/// Host names have at most 253 bytes; longer ones match nothing but `*`.
const LONGEST_HOST: usize = 253;

impl Routes {
    pub(crate) fn build<'a>(
        listeners: &[ListenerConfig],
        services: &(impl Iterator<Item = (u32, &'a ServiceConfig)> + Clone),
    ) -> Self {
        let listeners = listeners.iter().map(|listener| {
            let mut hosts = Hosts::default();
            for (slot, service) in services.clone() {
                let only = &service.matches.listeners;
                if only.is_empty() || only.contains(&listener.name) {
                    hosts.add(slot, service);
                }
            }
            hosts.sort();
            hosts
        });
        Self { listeners: listeners.collect() }
    }

    /// The slot of the service that answers. A host's own entry comes before `*.` entries, longer ones before
    /// shorter, and `*` last; among one entry's paths the longest prefix wins. `host` may carry a port.
    pub(crate) fn find(&self, listener: usize, host: Option<&str>, path: &str) -> Option<u32> {
        let hosts = self.listeners.get(listener)?;
        let named = host.and_then(|host| {
            // Nearly all are as they stand in the configuration.
            if host.bytes().all(|byte| byte != b':' && !byte.is_ascii_uppercase()) && !host.ends_with('.') {
                return hosts.find(host, path);
            }
            let host = without_port(host);
            let host = host.strip_suffix('.').unwrap_or(host);
            if host.bytes().any(|b| b.is_ascii_uppercase()) {
                let mut lower = [0; LONGEST_HOST];
                let lower = lower.get_mut(..host.len())?;
                lower.copy_from_slice(host.as_bytes());
                lower.make_ascii_lowercase();
                hosts.find(std::str::from_utf8(lower).ok()?, path)
            } else {
                hosts.find(host, path)
            }
        });
        named.or_else(|| hosts.any.find(path))
    }
}

impl Hosts {
    fn add(&mut self, slot: u32, service: &ServiceConfig) {
        for host in &service.matches.hosts {
            let paths = match host {
                HostPattern::Exact(name) => self.exact.entry(name.as_str().into()).or_default(),
                HostPattern::Below(domain) => self.below.entry(domain.as_str().into()).or_default(),
                HostPattern::Any => &mut self.any,
            };
            paths.0.extend(service.matches.paths.iter().map(|path| (path.clone(), slot)));
        }
    }

    fn sort(&mut self) {
        let all = self.exact.values_mut().chain(self.below.values_mut()).chain([&mut self.any]);
        for paths in all {
            paths.0.sort_by_key(|(path, _)| std::cmp::Reverse(path.length()));
        }
    }

    fn find(&self, host: &str, path: &str) -> Option<u32> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(path));
        if exact.is_some() || self.below.is_empty() {
            return exact;
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(slot) = self.below.get(parent).and_then(|paths| paths.find(path)) {
                return Some(slot);
            }
            rest = parent;
        }
        None
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<u32> {
        self.0.iter().find(|(prefix, _)| prefix.matches(path)).map(|(_, slot)| *slot)
    }
}

/// `host:port` without the port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, load};

    fn routes(services: &[(&str, &str)]) -> (Routes, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("services")).unwrap();
        let process =
            "[listeners.in]\naddress = \"127.0.0.1:1\"\n[listeners.out]\naddress = \"127.0.0.1:2\"\n";
        std::fs::write(folder.path().join("switchback.toml"), process).unwrap();
        for (name, matches) in services {
            let text = format!(
                "team = \"t\"\n[match]\n{matches}\n[helios]\nsource = {{ addresses = [\"127.0.0.1:9\"] }}\n"
            );
            std::fs::write(folder.path().join(format!("services/{name}.toml")), text).unwrap();
        }
        let Loaded { config, .. } = load(folder.path()).unwrap();
        let names = config.services.keys().map(ToString::to_string).collect();
        let services = (0..).zip(config.services.values().map(|service| &**service));
        (Routes::build(&config.process.listeners, &services), names)
    }

    #[test]
    fn the_most_particular_host_wins_and_then_the_longest_path() {
        let (routes, names) = routes(&[
            ("exact", "hosts = [\"a.example.net\"]"),
            ("exact-v1", "hosts = [\"a.example.net\"]\npaths = [\"/v1/\"]"),
            ("exact-v1-x", "hosts = [\"a.example.net\"]\npaths = [\"/v1/x\"]"),
            ("below", "hosts = [\"*.example.net\"]"),
            ("below-deeper", "hosts = [\"*.b.example.net\"]\npaths = [\"/only\"]"),
            ("any-api", "hosts = [\"*\"]\npaths = [\"/api\"]"),
            ("out-only", "hosts = [\"out.test\"]\nlisteners = [\"out\"]"),
        ]);
        for (listener, host, path, expected) in [
            (0, "a.example.net", "/", Some("exact")),
            (0, "A.Example.NET:8080", "/v1", Some("exact-v1")),
            (0, "a.example.net.", "/v1/x/y", Some("exact-v1-x")),
            (0, "a.example.net", "/v1/xy", Some("exact-v1")),
            (0, "z.example.net", "/", Some("below")),
            (0, "z.y.example.net", "/", Some("below")),
            (0, "example.net", "/", None),
            (0, "c.b.example.net", "/only", Some("below-deeper")),
            (0, "c.b.example.net", "/other", Some("below")),
            (0, "elsewhere.test", "/api?x", Some("any-api")),
            (0, "elsewhere.test", "/", None),
            (0, "out.test", "/", None),
            (1, "out.test", "/", Some("out-only")),
            (7, "a.example.net", "/", None),
        ] {
            let found = routes.find(listener, Some(host), path).map(|slot| names[slot as usize].as_str());
            assert_eq!(found, expected, "{listener} {host} {path}");
        }
        let found = routes.find(0, None, "/api").map(|slot| names[slot as usize].as_str());
        assert_eq!(found, Some("any-api"), "a request without a host");
        assert_eq!(routes.find(0, Some(&"A".repeat(9_000)), "/"), None);
    }

    #[test]
    fn ports_are_no_part_of_a_host() {
        for (host, bare) in [("a:1", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(host), bare);
        }
    }
}
