use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use crate::model::Micros;
use crate::tally::Report;

use super::core::{Core, TICK, tick_of};
use super::waits::Roused;

/// A thread that stood still for so long says nothing about how old requests became meanwhile.
const STANDSTILL: Micros = Micros(1_000_000);
/// How often idle connections are looked through.
const TIDY: Duration = Duration::from_secs(5);
/// The allocator gives the system back what has been free for a while when something of such a size is freed: on a worker that
/// has become quiet nothing else is.
const LARGE: usize = 1 << 20;

/// A worker's pulse: ends waits that are over, and tells what was counted, at most once a tick. It rests until a limit passes or
/// there is something to tell.
pub(super) async fn run(core: Rc<Core>) {
    let (mut told, mut roused) = (0, Roused::ByBell);
    loop {
        let now = core.now();
        let view = core.view();
        let next_limit = core.waits.expire(now, |recall| core.recalled(&view, recall));
        drop(view);
        // Who has just come is given a moment: what ended since is told with it.
        let is_time = roused == Roused::ByTime && now >= next_report(&core);
        if (core.tells_now.take() || is_time) && has_news(&core, told) {
            told = report(&core, now).unwrap_or(told);
            core.told_at.set(now);
        }
        let next_report = has_news(&core, told).then(|| next_report(&core));
        let next = next_limit.into_iter().chain(next_report).min();
        roused = core.waits.rest(now, next).await;
        let passed = core.now().since(now);
        if next.is_some() && passed >= STANDSTILL {
            for service in core.active().borrow().iter() {
                service.abstain(passed);
            }
        }
    }
}

/// When something is to be told next, though no request ends. Who waits may vote at any time; if nobody does, it is told at the
/// end of the next tick: one that ends before takes it along.
fn next_report(core: &Core) -> Micros {
    let told = core.told_at.get();
    if core.in_flight.get() > 0 { Micros(told.0 + TICK.0) } else { Micros((tick_of(told) + 2) * TICK.0) }
}

/// Follows control: looks at each new snapshot when it comes, and not only at the next request.
pub(super) async fn follow(core: Rc<Core>) {
    let bell = core.bell();
    loop {
        let view = core.view();
        core.adopt(&view);
        let _ = core.waits.expire(core.now(), |recall| core.recalled(&view, recall));
        drop(view);
        bell.rings().await;
    }
}

/// Ends what connections wait for, to within a second.
pub(super) async fn look_after_connections(core: Rc<Core>) {
    loop {
        let now = core.now();
        let next = core.connections.expire(now, |_| None);
        core.connections.rest(now, next).await;
    }
}

/// Closes what has been idle for too long.
pub(super) async fn tidy(core: Rc<Core>) {
    loop {
        tokio::time::sleep(TIDY).await;
        core.tidy();
        drop(black_box(Vec::<u8>::with_capacity(LARGE)));
    }
}

/// Whether there is something to tell. Who has come or gone is told too, though nothing else happens.
fn has_news(core: &Core, told: usize) -> bool {
    !core.active().borrow().is_empty()
        || core.has_refused()
        || core.handshakes_failed.get() > 0
        || core.accepts_paused.get() > 0
        || core.drain.connections() != told
}

/// Sends what was counted, and tells how many connections it spoke of. Where control does not keep up it is kept,
/// and goes with the next report.
pub(super) fn report(core: &Core, now: Micros) -> Option<usize> {
    let permit = core.reports.try_reserve().ok()?;
    let (mut services, mut votes_lost) = (Vec::new(), 0);
    core.active().borrow_mut().retain(|service| {
        services.extend(service.report(now));
        votes_lost += service.ballot.borrow_mut().take_lost();
        let stays = !service.is_quiet();
        service.active.set(stays);
        stays
    });
    let connections = core.drain.connections();
    let report = Report {
        worker: core.index,
        services,
        connections,
        accepts_paused: core.accepts_paused.take(),
        handshakes_failed: core.handshakes_failed.take(),
        votes_lost,
        refused: core.take_refused(),
    };
    permit.send(report);
    Some(connections)
}
