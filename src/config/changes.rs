use http::{HeaderName, HeaderValue};

use super::checked::PathPrefix;

/// What a service changes on the way of its requests and answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesConfig {
    /// Of the heads that endpoints get.
    pub request: HeaderRules,
    /// Of the heads that clients get.
    pub answer: HeaderRules,
    /// The header by which each request has an identifier; `None` if it needs none.
    pub request_id: Option<HeaderName>,
    /// What is taken off the beginning of a path that lies below it.
    pub strip_prefix: Option<PathPrefix>,
    /// Whether a trace is started where there is none.
    pub trace: TraceStart,
    /// Whether a side is asked under a host of its own.
    pub rehosts: bool,
}

/// What becomes of a head's headers, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Are taken off.
    pub remove: Vec<HeaderName>,
    /// Stand in place of what was there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Stand beside what was there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Whether a trace is started where a request is part of none (W3C Trace Context).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceStart {
    /// It is not.
    #[default]
    Never,
    /// It is; `sampled` says that it is to be recorded.
    Always {
        /// The flag that those behind go by.
        sampled: bool,
    },
}

impl HeaderRules {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
