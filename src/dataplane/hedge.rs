//! Hedging: a request that takes longer on Kubernetes than nearly all do on Helios is asked there too, and the first
//! answer wins.
//!
//! Kubernetes is not let off by it: the try goes on without its client until it ends or its time is up, and counts for
//! what it is. Otherwise the judge would never hear of the slowest answers.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use http::response::Parts;

use crate::model::Side;

use super::attempt::Counts;
use super::core::Core;
use super::exchange::{Exchange, Lost, Otherwise, Plan};
use super::waits::{Limit, within};

/// A try under way, with the exchange that it belongs to.
type Asked = Pin<Box<dyn Future<Output = (Box<Exchange>, Result<Parts, Lost>)>>>;

/// Tries of one worker that go on without a client. While there are so many, Kubernetes hangs, and the judge will say so:
/// nobody is hedged.
const MOST_OUTRUN: u32 = 1_000;

/// One of those tries.
struct Outrun(Rc<Core>);

impl Outrun {
    fn begin(core: &Rc<Core>) -> Self {
        core.outrun.set(core.outrun.get() + 1);
        Self(core.clone())
    }
}

impl Drop for Outrun {
    fn drop(&mut self) {
        self.0.outrun.set(self.0.outrun.get().saturating_sub(1));
    }
}

/// What a hedged request has come to, and whether Helios may still be asked.
pub(super) struct Hedged {
    pub(super) exchange: Box<Exchange>,
    pub(super) answered: Result<Parts, Lost>,
    pub(super) otherwise: Otherwise,
}

/// Asks Kubernetes, and Helios as well when Kubernetes takes long.
pub(super) async fn ask(mut first: Box<Exchange>, plan: Plan) -> Hedged {
    let core = first.core.clone();
    let in_flight = first.in_flight.take();
    let hedge = first.hedge_at(plan).zip(first.twin());
    let kubernetes = under_way(first, plan);
    let mut hedged = match hedge {
        None => alone(kubernetes, plan.otherwise).await,
        Some((at, twin)) => {
            let mut kubernetes = kubernetes;
            let limit = Limit { until: at, recall: None };
            match within(&core, limit, kubernetes.as_mut()).await {
                Ok((exchange, answered)) => Hedged { exchange, answered, otherwise: plan.otherwise },
                Err(_) => race(kubernetes, twin, plan).await,
            }
        }
    };
    hedged.exchange.in_flight = in_flight;
    hedged
}

/// Both are asked, if Helios may be.
async fn race(kubernetes: Asked, mut twin: Box<Exchange>, plan: Plan) -> Hedged {
    let begun = twin.core.now();
    if twin.core.outrun.get() >= MOST_OUTRUN || !twin.may_hedge(begun) {
        return alone(kubernetes, plan.otherwise).await;
    }
    let otherwise = Otherwise::Fail;
    let also = Plan { side: Side::Helios, counts: Counts::AsTraffic, otherwise, begun, is_hedge: true };
    match select(kubernetes, under_way(twin, also)).await {
        // Whoever is not needed any more is let go.
        Either::Left(((exchange, answered @ Ok(_)), _)) => Hedged { exchange, answered, otherwise },
        // It has failed, and is being rescued already.
        Either::Left(((exchange, lost), helios)) => match helios.await {
            (twin, Ok(head)) => {
                twin.count_rescue(twin.is_well(&head));
                Hedged { exchange: twin, answered: Ok(head), otherwise }
            }
            (_, Err(_)) => Hedged { exchange, answered: lost, otherwise },
        },
        Either::Right(((exchange, Ok(head)), kubernetes)) if exchange.is_well(&head) => {
            exchange.count_hedge();
            let outrun = Outrun::begin(&exchange.core);
            tokio::task::spawn_local(async move {
                let _outrun = outrun;
                let (mut exchange, answered) = kubernetes.await;
                if answered.is_ok() {
                    exchange.stream.abandon();
                }
            });
            Hedged { exchange, answered: Ok(head), otherwise }
        }
        Either::Right(((mut twin, answered), kubernetes)) => {
            if answered.is_ok() {
                twin.stream.abandon();
            }
            alone(kubernetes, otherwise).await
        }
    }
}

async fn alone(asked: Asked, otherwise: Otherwise) -> Hedged {
    let (exchange, answered) = asked.await;
    Hedged { exchange, answered, otherwise }
}

fn under_way(mut exchange: Box<Exchange>, plan: Plan) -> Asked {
    Box::pin(async move {
        let answered = exchange.ask(plan).await;
        (exchange, answered)
    })
}
