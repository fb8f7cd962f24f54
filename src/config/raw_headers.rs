use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;

/// What is changed in the headers of requests and answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawHeaders {
    /// The header by which each request has an identifier, such as `x-request-id`: a client's own is passed on if it is
    /// of 1 to 128 visible ASCII characters, else one is made. It is put on the answer, and in the access log. Default:
    /// none is made.
    pub(super) request_id: Option<At<String>>,
    /// Before an endpoint sees them.
    pub(super) request: Option<RawRules>,
    /// Before the client sees them.
    pub(super) answer: Option<RawRules>,
}

/// What becomes of headers: `remove` first, then `set`, then `add`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRules {
    /// In place of what was there.
    pub(super) set: Option<BTreeMap<At<String>, At<String>>>,
    /// Beside what was there.
    pub(super) add: Option<BTreeMap<At<String>, At<String>>>,
    /// Taken off.
    pub(super) remove: Option<Vec<At<String>>>,
}

/// What is changed in what requests ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRewrite {
    /// Taken off the beginning of paths that lie below it: whole segments, such as `/v1`. Default: nothing.
    pub(super) strip_prefix: Option<At<String>>,
}

/// Traces (W3C Trace Context). A request's own `traceparent` is passed on as it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTrace {
    /// Whether one is started where a request is part of none. Default: false.
    pub(super) start: Option<At<bool>>,
    /// Whether those that are started are to be recorded. Default: false.
    pub(super) sampled: Option<At<bool>>,
}
