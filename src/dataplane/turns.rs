//! Waiting for a turn, where a service or a side may have only so many requests in flight. How long somebody waited
//! here tells nothing about a side: a try begins when it is its turn.

use std::pin::pin;

use crate::model::{Cause, Micros};
use crate::snapshot::{Gate, QueueFull, Turn};

use super::exchange::{Exchange, Otherwise, Plan};
use super::waits::{Expired, Limit, within};

impl Exchange {
    /// Waits for the request's turn in its service, and tells when it came.
    pub(super) async fn enter(&mut self) -> Result<Micros, Cause> {
        let Some(gates) = &self.view.gates else { return Ok(self.started) };
        let Some(gate) = &gates.service else { return Ok(self.started) };
        let (turn, begun) = match gate.enter() {
            Some(turn) => (turn, self.started),
            // Rare, and large.
            None => (Box::pin(self.queue(gate, None)).await?, self.core.now()),
        };
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.turn = Some(turn);
        }
        Ok(begun)
    }

    /// Waits for a try's turn on its side. While Helios can answer there is no need to wait for Kubernetes.
    pub(super) async fn enter_side(&self, plan: &mut Plan) -> Result<Option<Turn>, Cause> {
        let Some(gates) = &self.view.gates else { return Ok(None) };
        let Some(gate) = &gates.sides[plan.side] else { return Ok(None) };
        if let Some(turn) = gate.enter() {
            return Ok(Some(turn));
        }
        if plan.otherwise == Otherwise::AskHelios && self.affords_rescue() {
            return Err(Cause::InFlightLimit);
        }
        let turn = Box::pin(self.queue(gate, Some(*plan))).await?;
        plan.begun = self.core.now();
        Ok(Some(turn))
    }

    async fn queue(&self, gate: &Gate, plan: Option<Plan>) -> Result<Turn, Cause> {
        let queue_wait = self.core.now().after(self.view.config.limits.queue_wait);
        let recall = plan.and_then(|plan| self.limit(plan, true, None).recall);
        let limit = Limit { until: self.deadline().min(queue_wait), recall };
        match within(&self.core, limit, pin!(gate.wait())).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(QueueFull)) | Err(Expired::Late) => Err(Cause::InFlightLimit),
            Err(Expired::TakenBack) => Err(Cause::TakenBack),
        }
    }
}
