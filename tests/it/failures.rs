//! Which answers count as failures is the service's own rule.

use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

const K_FAILED: &[&str] = &["side=\"kubernetes\"", "outcome=\"status\"", "fault=\"side\""];
const K_OK: &[&str] = &["side=\"kubernetes\"", "outcome=\"ok\""];

/// All requests go to Kubernetes first, whatever comes of it.
fn service(helios: &Endpoint, kubernetes: &Endpoint, statuses: &str) -> Service {
    let rest = format!("[judge]\nmode = \"off\"\n[failures]\nstatuses = {statuses}\n");
    Service::new("a").weight(100.0).helios(helios.address).kubernetes(kubernetes.address).rest(&rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_is_counted_and_rescued_and_what_is_not_is_neither() {
    let helios = Endpoint::named("helios").await;
    for (status, statuses, fails) in [
        (404, r#"["4xx", "5xx"]"#, true),
        (429, r#"["429"]"#, true),
        (503, r#"["429"]"#, false),
        (502, r#"["500-501", "503-599"]"#, false),
        (599, r#"["500-501", "503-599"]"#, true),
    ] {
        let kubernetes = Endpoint::status(status).await;
        let proxy = Proxy::start(&[service(&helios, &kubernetes, statuses)]);
        let got = proxy.get("a.test", "/").await.status;
        assert_eq!(got, if fails { 200 } else { status }, "{status} of {statuses}");
        proxy.counted("switchback_tries_total", if fails { K_FAILED } else { K_OK }, 1.0).await;
        // How long a failure took tells nothing about how long answers take.
        let timed = if fails { 0.0 } else { 1.0 };
        proxy.counted("switchback_answer_seconds_count", &["side=\"kubernetes\""], timed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_is_in_force_when_its_file_is() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(404).await);
    let proxy = Proxy::start(&[service(&helios, &kubernetes, r#"["5xx"]"#)]);
    assert_eq!(proxy.get("a.test", "/").await.status, 404);
    proxy.folder.write(&service(&helios, &kubernetes, r#"["404"]"#));
    eventually("404 is a failure", async || proxy.get("a.test", "/").await.status == 200).await;
}
