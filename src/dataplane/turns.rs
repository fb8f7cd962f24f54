//! Waiting for a turn, where a service or a side may have only so many requests in flight. How long somebody waited
//! here tells nothing about a side: a try begins when it is its turn.

use std::pin::pin;

use crate::model::{Cause, Micros, Side};
use crate::snapshot::{Gate, QueueFull, Seat, Turn};

use super::exchange::{Exchange, Otherwise, Plan};
use super::waits::{Expired, Limit, within};

/// A try's place on its side, where places are counted.
#[derive(Debug, Default)]
pub(super) struct SideTurn {
    _turn: Option<Turn>,
    _seat: Option<Seat>,
}

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
    pub(super) async fn enter_side(&self, plan: &mut Plan) -> Result<SideTurn, Cause> {
        let seat = if plan.side == Side::Helios { self.sit_down()? } else { None };
        let Some(gates) = &self.view.gates else { return Ok(SideTurn { _turn: None, _seat: seat }) };
        let Some(gate) = &gates.sides[plan.side] else { return Ok(SideTurn { _turn: None, _seat: seat }) };
        if let Some(turn) = gate.enter() {
            return Ok(SideTurn { _turn: Some(turn), _seat: seat });
        }
        if plan.otherwise == Otherwise::AskHelios && self.affords_rescue() {
            return Err(Cause::InFlightLimit);
        }
        let turn = Box::pin(self.queue(gate, Some(*plan))).await?;
        plan.begun = self.core.now();
        Ok(SideTurn { _turn: Some(turn), _seat: seat })
    }

    /// Takes a seat on Helios, where there are only so many after a revert. The latest snapshot knows: who is called in by the
    /// revert itself comes with an older one.
    fn sit_down(&self) -> Result<Option<Seat>, Cause> {
        let latest = self.core.view();
        let room = latest.get(self.view.id).and_then(|view| view.room.as_ref());
        room.map(|room| room.enter().ok_or(Cause::Shed)).transpose()
    }

    async fn queue(&self, gate: &Gate, plan: Option<Plan>) -> Result<Turn, Cause> {
        let queue_wait = self.core.now().after(self.view.config.limits.queue_wait);
        let recall = plan.and_then(|plan| self.limit(plan, true, None).recall);
        let limit = Limit { until: self.deadline().min(queue_wait), recall };
        match within(&self.core, limit, pin!(gate.wait())).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(QueueFull)) | Err(Expired::Late) => Err(Cause::InFlightLimit),
            Err(Expired::TakenBack | Expired::LetOut) => Err(Cause::TakenBack),
        }
    }
}
