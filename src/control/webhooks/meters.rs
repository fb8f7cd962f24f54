use std::collections::BTreeMap;

use metrics::{Counter, Gauge};

use crate::model::UnixMillis;
use crate::telemetry::{Recorder, names};

use super::status::WebhookStatus;

/// The metrics of webhooks.
#[derive(Default)]
pub(super) struct Meters(BTreeMap<String, WebhookMeters>);

struct WebhookMeters {
    delivered: Counter,
    failed_tries: Counter,
    given_up: Counter,
    dropped: Counter,
    waiting: Gauge,
    oldest: Gauge,
    /// What has been counted of `delivered`, `failed_tries`, `given_up` and `dropped`: a webhook that has come back begins anew.
    counted: [u64; 4],
}

impl Meters {
    /// Follows how all of them are.
    pub(super) fn follow(&mut self, all: &[WebhookStatus], recorder: &Recorder, now: UnixMillis) {
        self.0.retain(|name, meters| {
            let stays = all.iter().any(|status| status.webhook == *name);
            if !stays {
                meters.waiting.set(0.0);
                meters.oldest.set(0.0);
            }
            stays
        });
        for status in all {
            if !self.0.contains_key(&status.webhook) {
                self.0.insert(status.webhook.clone(), WebhookMeters::new(&status.webhook, recorder));
            }
            if let Some(meters) = self.0.get_mut(&status.webhook) {
                meters.follow(status, now);
            }
        }
    }
}

impl WebhookMeters {
    fn new(webhook: &str, recorder: &Recorder) -> Self {
        let labels = [("webhook", webhook)];
        Self {
            delivered: recorder.counter(names::WEBHOOK_DELIVERED, &labels),
            failed_tries: recorder.counter(names::WEBHOOK_FAILED_TRIES, &labels),
            given_up: recorder.counter(names::WEBHOOK_GIVEN_UP, &labels),
            dropped: recorder.counter(names::WEBHOOK_DROPPED, &labels),
            waiting: recorder.gauge(names::WEBHOOK_WAITING, &labels),
            oldest: recorder.gauge(names::WEBHOOK_OLDEST, &labels),
            counted: [0; 4],
        }
    }

    fn follow(&mut self, status: &WebhookStatus, now: UnixMillis) {
        let counters = [&self.delivered, &self.failed_tries, &self.given_up, &self.dropped];
        let counts = [status.delivered, status.failed_tries, status.given_up, status.dropped];
        for ((counter, count), before) in counters.into_iter().zip(counts).zip(self.counted) {
            counter.increment(count.saturating_sub(before));
        }
        self.counted = counts;
        self.waiting.set(status.waiting as f64);
        let age_ms = status.oldest_unix_ms.map_or(0, |at| now.0.saturating_sub(at));
        self.oldest.set(age_ms as f64 / 1_000.0);
    }
}
