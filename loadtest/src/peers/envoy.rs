use serde_json::{Value, json};

use crate::world::World;

/// Envoy's settings, as JSON: one worker thread (by its command line), the same split by chance, the same headers, the same
/// checks, no log.
pub(super) fn settings(world: &mut World) -> String {
    let mut cluster = |name: &str, is_grpc: bool| {
        let endpoints = ["a", "b"].map(|place| {
            let port = world.port(&format!("{name}-{place}"));
            json!({ "endpoint": { "address": address(port) } })
        });
        let check = if is_grpc {
            json!({ "tcp_health_check": {} })
        } else {
            json!({ "http_health_check": { "path": "/" } })
        };
        let mut cluster = json!({
            "name": name,
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            // Its own defaults of 1,024 would bound what the others do not.
            "circuit_breakers": { "thresholds": [{
                "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000,
            }] },
            "health_checks": [merge(
                json!({ "timeout": "1s", "interval": "5s", "healthy_threshold": 2, "unhealthy_threshold": 3 }),
                check,
            )],
            "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
        });
        if is_grpc {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
        }
        cluster
    };
    let clusters = [
        cluster("helios", false),
        cluster("kubernetes", false),
        cluster("calls-helios", true),
        cluster("calls-kubernetes", true),
    ];
    let (folder, plain) = (world.path("").display().to_string(), manager(["helios", "kubernetes"]));
    let listeners = [
        listener(world.port("envoy-plain"), &plain, None),
        listener(world.port("envoy-tls"), &plain, Some(&tls(folder.trim_end_matches('/')))),
        listener(world.port("envoy-grpc"), &manager(["calls-helios", "calls-kubernetes"]), None),
    ];
    json!({ "static_resources": { "listeners": listeners, "clusters": clusters } }).to_string()
}

fn listener(port: u16, manager: &Value, tls: Option<&Value>) -> Value {
    let mut chain = json!({
        "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }],
    });
    if let Some(tls) = tls {
        chain["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": tls });
    }
    json!({ "address": address(port), "tcp_backlog_size": 4_096, "filter_chains": [chain] })
}

/// What is done with requests: dealt to two clusters, half to each.
fn manager(clusters: [&str; 2]) -> Value {
    let clusters = clusters.map(|name| json!({ "name": name, "weight": 50 }));
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": clusters[0]["name"],
        "use_remote_address": true,
        // The others make no ids of themselves, and add no headers about themselves.
        "generate_request_id": false,
        "common_http_protocol_options": { "idle_timeout": "75s" },
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{
                "match": { "prefix": "/" },
                "route": { "timeout": "30s", "weighted_clusters": { "clusters": clusters } },
            }],
        }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": true,
        } }],
    })
}

fn tls(folder: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [{
                "certificate_chain": { "filename": format!("{folder}/site.pem") },
                "private_key": { "filename": format!("{folder}/site.key") },
            }],
        },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn merge(mut into: Value, from: Value) -> Value {
    if let (Value::Object(into), Value::Object(from)) = (&mut into, from) {
        into.extend(from);
    }
    into
}
