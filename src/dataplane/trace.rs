use std::cell::{Cell, OnceCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::model::{Cause, Dialect, Endpoint, Micros, Outcome, Side, Weight};
use crate::telemetry::{Finished, FirstTry};

use super::core::{Core, Located};
use super::service::Service;
use super::trace_context;

/// What the access log will say of a request. There is one for each request while the log is on, shared by the
/// exchange and its tries; when the last of them lets go, the request has ended, and the record goes its way.
pub(super) struct Trace {
    core: Rc<Core>,
    started: Micros,
    service: Arc<str>,
    dialect: Dialect,
    method: Method,
    path: Box<str>,
    /// Absent if nobody knows it.
    client: Option<IpAddr>,
    side: Side,
    weight: Weight,
    generation: u64,
    status: Cell<Option<StatusCode>>,
    latency: Cell<Option<Micros>>,
    /// Set when the first try ends; later ones change nothing.
    first: OnceCell<FirstTry>,
    rescued: Cell<bool>,
    /// The protocol that was switched to.
    upgrade: OnceCell<Box<str>>,
    /// The trace in the sense of W3C Trace Context.
    part_of: OnceCell<Box<str>>,
    request_id: OnceCell<Box<str>>,
}

/// Bytes of a path that are kept: records wait in memory.
const LONGEST_PATH: usize = 1_024;

impl Trace {
    /// A request that was dealt to a side; `None` if there is no access log.
    pub(super) fn begin<B>(
        core: &Rc<Core>,
        view: &Located,
        service: &Service,
        side: Side,
        dialect: Dialect,
        client: Option<IpAddr>,
        request: &Request<B>,
    ) -> Option<Rc<Self>> {
        core.access_log.as_ref()?;
        let path = request.uri().path();
        Some(Rc::new(Self {
            core: core.clone(),
            started: core.now(),
            service: service.name.clone(),
            dialect,
            method: request.method().clone(),
            path: path[..path.floor_char_boundary(LONGEST_PATH)].into(),
            client,
            side,
            weight: view.plan.weight,
            generation: view.generation(),
            status: Cell::default(),
            latency: Cell::default(),
            first: OnceCell::new(),
            rescued: Cell::default(),
            upgrade: OnceCell::new(),
            part_of: OnceCell::new(),
            request_id: OnceCell::new(),
        }))
    }

    /// When the request came.
    pub(super) fn started(&self) -> Micros {
        self.started
    }

    /// How others know the request, by its head and its identifier.
    pub(super) fn identify(&self, headers: &HeaderMap, request_id: Option<&HeaderValue>) {
        if let Some(id) = trace_context::trace_id(headers) {
            let _first = self.part_of.set(id.into());
        }
        if let Some(id) = request_id.and_then(|id| id.to_str().ok()) {
            let _first = self.request_id.set(id.into());
        }
    }

    /// What the client gets.
    pub(super) fn answer(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    /// Helios has answered in place of Kubernetes.
    pub(super) fn rescue(&self) {
        self.rescued.set(true);
    }

    /// Both ends go on in another protocol.
    pub(super) fn upgrade(&self, protocol: &str) {
        let _first = self.upgrade.set(protocol.into());
    }

    /// The head of a try's answer has come.
    pub(super) fn answered_in(&self, latency: Micros) {
        if self.first.get().is_none() {
            self.latency.set(Some(latency));
        }
    }

    /// A try has ended.
    pub(super) fn end(&self, outcome: Outcome, endpoint: Option<Endpoint>, evidence: bool) {
        let _first = self.first.set(FirstTry { outcome, latency: self.latency.get(), endpoint, evidence });
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(log) = &self.core.access_log else { return };
        // Nobody was asked: the client has left before that.
        let unasked = || FirstTry {
            outcome: Outcome::Failed(Cause::ClientGone),
            latency: None,
            endpoint: None,
            evidence: false,
        };
        log.push(Finished {
            started: self.started,
            took: self.core.now().since(self.started),
            service: self.service.clone(),
            dialect: self.dialect,
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.path),
            client: self.client,
            status: self.status.get(),
            side: self.side,
            first: self.first.take().unwrap_or_else(unasked),
            rescued: self.rescued.get(),
            upgrade: self.upgrade.take(),
            trace_id: self.part_of.take(),
            request_id: self.request_id.take(),
            weight: self.weight,
            generation: self.generation,
        });
    }
}
