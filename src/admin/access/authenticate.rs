use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::model::Via;

use super::super::peer::Peer;
use super::super::problem::Refusal;
use super::gate::Gate;

/// What is answered to everybody: whoever starts and stops Switchback has no token, and what can be asked is no secret.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/openapi.json"];
/// Of a longer path the history has the beginning.
const LONGEST_PATH: usize = 200;

/// Lets those go on of whom it is known who they are.
pub(in crate::admin) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "nobody asks").into_response();
    };
    let (method, uri) = (request.method(), request.uri());
    let what = || in_words(method, uri);
    let known = match gate.admit(&peer, request.headers(), what).await {
        Ok(known) => known,
        Err(denied) => return denied.refusal().into_response(),
    };
    let via = known.caller.via;
    request.extensions_mut().insert(known);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN && matches!(via, Via::Token | Via::Oidc) {
        // RFC 6750, section 3.1.
        let challenge = "Bearer realm=\"switchback\", error=\"insufficient_scope\"";
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

fn in_words(method: &Method, uri: &Uri) -> String {
    let path: String = uri.path().chars().take(LONGEST_PATH).collect();
    format!("{method} {path}")
}
