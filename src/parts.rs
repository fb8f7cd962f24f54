//! Parts that nobody outside of the crate has any business with, for `benches/parts`, which measures them one by one.

use std::sync::Arc;

use crate::config::Config;
use crate::model::{Micros, PerSide, Side, Weight};
use crate::snapshot::{self, Publisher, Routes, ServiceId, ServiceView, Snapshot, Subscription};
use crate::splitter::Plan;
use crate::tally::ServiceTally;
use crate::telemetry::{Recorder, names};
use crate::verdict::{Groups, Latency, Stratum};

/// Finds services by host and path.
#[derive(Debug)]
pub struct Router(Routes);

/// A snapshot of many services, and a worker that follows it.
pub struct Following {
    publisher: Publisher,
    subscription: Subscription,
    routes: Arc<Routes>,
    services: Vec<Option<Arc<ServiceView>>>,
    generation: u64,
}

/// What a worker has counted for one service.
#[derive(Debug, Default)]
pub struct Counting(ServiceTally);

/// The latency histogram of one side of a service.
pub struct Buckets {
    recorder: Recorder,
    histogram: metrics::Histogram,
}

impl Router {
    /// Of all services of a configuration.
    pub fn new(config: &Config) -> Self {
        let services = (0..).zip(config.services.values().map(|service| &**service));
        Self(Routes::build(&config.process.listeners, &services))
    }

    /// The service that answers on the first listener.
    pub fn find(&self, host: &str, path: &str) -> Option<u32> {
        self.0.find(0, Some(host), path)
    }
}

impl Following {
    /// All services of a configuration, with one worker.
    pub fn new(config: &Config) -> Self {
        let (publisher, mut subscriptions) = snapshot::channel(1);
        let services = (0..).zip(config.services.values()).map(|(slot, service)| {
            Some(Arc::new(ServiceView {
                id: ServiceId { slot, serial: slot },
                config: service.clone(),
                plan: Plan::default(),
                held: false,
                judged: true,
                calibrating: None,
                endpoints: PerSide::from_fn(|_| Arc::default()),
                out: PerSide::from_fn(|_| Arc::default()),
                rings: PerSide::default(),
                gates: None,
                room: None,
                groups: Arc::new(Groups::default()),
            }))
        });
        let services = services.collect();
        let subscription = subscriptions.remove(0);
        Self { publisher, subscription, routes: Arc::new(Router::new(config).0), services, generation: 0 }
    }

    /// Gives one service another weight, and publishes that.
    pub fn flip(&mut self, slot: usize, weight: Weight) {
        if let Some(Some(view)) = self.services.get_mut(slot) {
            Arc::make_mut(view).plan.weight = weight;
        }
        self.generation += 1;
        let (routes, services) = (self.routes.clone(), self.services.clone());
        self.publisher.publish(Snapshot { generation: self.generation, routes, services });
    }

    /// Looks as a worker does at each request, and tells the generation that it sees.
    pub fn look(&mut self) -> u64 {
        self.subscription.latest().generation
    }
}

impl Counting {
    /// Counts a request that was answered well.
    pub fn count(&mut self, side: Side, took: Micros) {
        self.0.answer(http::StatusCode::OK);
        self.0.sides[side].ok += 1;
        self.0.sides[side].answered_in(Stratum::OTHER, Latency::of(took));
    }

    /// Begins anew, as when it is reported.
    pub fn report(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

impl Buckets {
    /// One that is empty.
    #[expect(clippy::new_without_default, reason = "it is made by who measures, and by nobody else")]
    pub fn new() -> Self {
        let recorder = Recorder::new();
        let histogram = recorder.histogram(names::ANSWER_SECONDS, &[("service", "a"), ("side", "helios")]);
        Self { recorder, histogram }
    }

    /// Adds latencies, and sorts them into buckets.
    pub fn merge(&self, latencies: &[Latency]) {
        for latency in latencies {
            self.histogram.record(latency.longest().0 as f64 / 1e6);
        }
        self.recorder.recorded().upkeep();
    }
}
