use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use crate::model::Micros;
use crate::tally::Report;
use crate::verdict::TICK_MS;

use super::core::Core;

/// How often waits are looked through: a limit is met to within this.
const BEAT: Duration = Duration::from_millis(25);
/// A thread that stood still for so long says nothing about how old requests became meanwhile.
const STANDSTILL: Micros = Micros(1_000_000);
/// How often clients' connections are looked through.
const SECOND: Duration = Duration::from_secs(1);
/// How often idle connections are looked through.
const TIDY: Duration = Duration::from_secs(5);
/// The allocator gives the system back what has been free for a while when something of such a size is freed: on a worker that
/// has become quiet nothing else is.
const LARGE: usize = 1 << 20;

/// A worker's pulse: ends waits that are over, and once a tick reports what was counted. It rests while there
/// is nothing to do.
pub(super) async fn run(core: Rc<Core>) {
    let mut last = core.now();
    let mut next_report = last;
    let mut told = 0;
    loop {
        // Who has come or gone is told too, though nothing else happens any more.
        if is_quiet(&core) && core.drain.connections() == told {
            core.rest().await;
            last = core.now();
        }
        // While nobody waits nothing can be over, and what was counted is told when it is time for it.
        let until_report = Duration::from_micros(next_report.since(core.now()).0).max(BEAT);
        if !core.waits.is_empty() || core.rest_for(until_report).await {
            tokio::time::sleep(BEAT).await;
        }
        let now = core.now();
        let passed = now.since(last);
        if passed >= STANDSTILL {
            for service in core.active().borrow().iter() {
                service.abstain(passed);
            }
        }
        last = now;
        let view = core.view();
        core.waits.expire(now, |recall| core.recalled(&view, recall));
        if now >= next_report {
            told = report(&core, now).unwrap_or(told);
            next_report = Micros(now.0 + TICK_MS * 1_000);
        }
    }
}

/// Follows control: looks at each new snapshot when it comes, and not only at the next request.
pub(super) async fn follow(core: Rc<Core>) {
    let bell = core.bell();
    loop {
        let view = core.view();
        core.adopt(&view);
        core.waits.expire(core.now(), |recall| core.recalled(&view, recall));
        drop(view);
        bell.rings().await;
    }
}

/// Ends what connections wait for, once a second while there are any.
pub(super) async fn look_after_connections(core: Rc<Core>) {
    loop {
        if core.connections.is_empty() {
            core.connected.notified().await;
        }
        tokio::time::sleep(SECOND).await;
        core.connections.expire(core.now(), |_| None);
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

fn is_quiet(core: &Core) -> bool {
    core.waits.is_empty()
        && core.active().borrow().is_empty()
        && !core.has_refused()
        && core.handshakes_failed.get() == 0
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
