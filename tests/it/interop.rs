//! gRPC as its own implementation speaks it, as client and as server.

use crate::support::client::Over;
use crate::support::leg::{LEGS, Wire, sign_endpoint};
use crate::support::peer::{Server, run_script};
use crate::support::proxy::Proxy;
use crate::support::tls::Authority;

const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
];

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_holds_its_interop_cases_over_plain_and_tls_connections_on_either_leg() {
    let authority = Authority::new("ours");
    let keys = tempfile::tempdir().unwrap();
    sign_endpoint(&authority).write(keys.path(), "endpoint");
    for inner in LEGS.into_iter().filter(|leg| leg.over == Over::Http2) {
        let pair = [keys.path().join("endpoint.pem"), keys.path().join("endpoint.key")];
        let pair: Vec<_> = pair.iter().map(AsRef::as_ref).collect();
        let server = Server::script("grpc_server.py", if inner.wire == Wire::Tls { &pair } else { &[] });
        for outer in LEGS.into_iter().filter(|leg| leg.over == Over::Http2) {
            let proxy = Proxy::start_in(inner.folder(&authority, server.address));
            let (address, trust) = outer.of(&proxy);
            let arguments: Vec<String> = [Some(address.to_string()), trust].into_iter().flatten().collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = run_script("grpc_client.py", &arguments).await;
            assert_eq!(said.lines().collect::<Vec<_>>(), CASES, "{outer:?} → {inner:?}");
            proxy.counted("switchback_tries_total", &["fault=\"proxy\""], 0.0).await;
            // Who leaves is nobody's failure but its own.
            proxy.counted("switchback_tries_total", &["outcome=\"reset\""], 0.0).await;
        }
    }
}
