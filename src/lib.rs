//! Switchback: a layer-7 proxy for services that run on two platforms at once while they move from **Helios**
//! to **Kubernetes**. It splits each service's requests by weight, compares the two sides, and takes a service
//! back to Helios by itself when Kubernetes degrades.
//!
//! *To use it*, read [`guide`]. *To work on it*, read on: this page is the map.
//!
//! # Flow, one way each
//!
//! ```text
//! request   listener → connection → serve ─ routes ─ splitter::choose ─ exchange: attempt, (rescue) → answer
//!                                                                          └─ when the answer ends: one Outcome
//! control   files · reports · the disk · people · time ──Event──▶ step ──Effect──▶ run
//!           reports ─ each tick ─▶ Block ─▶ Judge ─▶ Finding ─▶ Rollout ─▶ Snapshot ──swap──▶ every worker
//! ```
//!
//! **The data plane** is one thread a worker, each with its own runtime, listeners (`SO_REUSEPORT`), connection
//! pools, timers and tallies: `Rc` and `Cell`, no locks. **The control plane** is one thread with one loop.
//! They touch in two places: the [`snapshot`] goes down, the [`tally`] comes up. A worker never waits for
//! control; if control dies, workers keep the last snapshot, and `/healthz` says so. The access log has a thread
//! of its own, for which nobody waits either; and so do webhooks.
//!
//! # Layers
//!
//! A module uses only lower layers, and `dataplane` and `control` never name each other: `tests/architecture.rs`
//! holds both rules.
//!
//! | layer | module | what |
//! |---|---|---|
//! | 0 | [`model`] | the words that everyone shares, as types that cannot be wrong |
//! | 0 | [`clock`] | the one file that reads the clock |
//! | 1, pure | [`splitter`] | which side serves this request |
//! | 1, pure | [`verdict`] | is Kubernetes worse than Helios? |
//! | 1, pure | [`rollout`] | what weight is in force, and why |
//! | 1 | [`tls`] | who we are and whom we trust, on both legs, from files that change |
//! | 1, pure | [`jwt`] | what an identity provider says of somebody, and whether it is believed |
//! | 2 | [`config`] | TOML to raw types with places, to checked types; every fault at once |
//! | 2 | [`telemetry`] | every metric's name, the log, and the access log |
//! | 3, no clock | [`rehearsal`] | the judge over recorded or made-up requests, in virtual time |
//! | 3 | [`snapshot`] | DOWN: the one value that control publishes and workers read |
//! | 3 | [`tally`] | UP: the counts that workers report each tick |
//! | 4 | [`dataplane`] | what happens to a request; once per worker, sharing nothing |
//! | 4 | [`control`] | `event`, `state`, `step` (pure), `run`, `journal` (the state directory), `history` (who did what), `watch` (files), `discovery` (what platforms say of endpoints), `roster` and `lineup` (what is believed of it), `ejection`, `capacity`, `shed`, `calibration` (Helios against itself), `guard`, `ledger`, `refusals` (pure), `webhooks` (who is told) |
//! | 5 | [`admin`] | the HTTP API by which people look and steer, who they are, and the API's OpenAPI document |
//! | 6 | [`app`] | build (every socket open, nothing spawned) · start · stop |
//! | 7 | `parts` | what `benches/parts` measures by itself |
//! | 7 | [`cli`] | one file a subcommand; `print` (what fits a terminal, and its colours), `complete` (what shells ask); the demo |
//!
//! # Invariants
//!
//! 1. A service with no valid plan goes to Helios. Every doubt resolves to Helios.
//! 2. Toward Helios: act, then write it down. Toward Kubernetes: write it down, then act.
//! 3. Holds load before any listener opens; an unreadable hold means held.
//! 4. A worker never waits for control; between `choose` and the choice of an endpoint there is no await and
//!    no lock.
//! 5. Each try that reached a side yields exactly one outcome, counted when its answer's body ends. Whether it
//!    was slow is voted on when it passes the latency limits that are being watched, not when it ends. It names
//!    whose fault it was.
//! 6. Only the control loop swaps the snapshot; only `clock.rs` reads time; what must agree is swapped together.
//! 7. The judge gives the same answer for the same blocks, on every machine and in replay.
//! 8. Nothing grows without a bound that has a name; when a bound is hit, refuse or drop, and count it.
//! 9. Blocks of evidence add up: the sum over workers is the process's.
//!
//! # Reading order
//!
//! [`model`], then [`splitter`] and [`rollout`]: what is decided. `dataplane/serve.rs` and
//! `dataplane/exchange.rs`: one request, top to bottom. [`verdict`]'s page and `verdict/judge.rs`: how it is
//! judged. `control/step.rs`: all that can happen. `app/` last: how it is put together.
//!
//! # Decisions that the code does not show
//!
//! - *An exchange is one allocation.* A request's state, from the choice of its side to the last byte of its
//!   answer, is one boxed [`Exchange`](dataplane), which its steps borrow and which in the end is the answer's
//!   body. Moving large futures about had cost a quarter of the CPU of a request.
//! - *Timers of the request path are a slab of deadlines* that a worker looks over when the next one passes, at most every
//!   25 ms, and not a runtime timer for each wait: a limit of seconds needs no better, and arming one costs more than parsing
//!   a header.
//! - *What was counted is told when a request ends*, the first of each tick, and not by a clock: the worker is awake for it, and
//!   control judges in the same breath. A proxy with little to do wakes for requests, and hardly for itself.
//! - *HTTP/1.1 is ours on both legs* (`dataplane/http1`), on [`httparse`] and `http`: whoever asks an endpoint drives its connection
//!   within the task of the client's, a body is read by whoever wants it, and heads and what is read are put where others were
//!   before (`dataplane/room.rs`). hyper's tasks and channels took a quarter of a request's instructions, and a fifth of its
//!   allocations.
//! - *So is HTTP/2* (`dataplane/http2`): a client's requests are answered in its connection's task, each called by itself, and all that
//!   has come of it by then leaves in one write. Tables of HPACK hold fields as they were understood. A gRPC call took 83,000
//!   instructions with `h2`, and takes 27,000. Control, the admin page and the demo speak through hyper.
//! - *What a client's connection waits for is looked over at most once a second*, in a slab of its own: thousands of idle connections
//!   would make each beat of 25 ms long. A `Paced` wire tells what came and
//!   what could not be sent, so that nobody need arm a timer for each head.
//! - *What workers share on the path of a request is one number, and only where a service has a bound* on requests in flight
//!   or a second: a bound that is dealt out to workers would refuse early, as connections are not spread evenly.
//! - *Who keeps one stream's window shut is watched by its request* (`http2/client/answering.rs`): the wire is free, and tells nothing.
//! - *A hedged try goes on without its client*: to end it when Helios has answered would hide the slowest answers of Kubernetes.
//! - *A certificate's files belong to whoever uses them*: an [`Acceptor`](tls::Acceptor) or [`Connector`](tls::Connector) is made with the
//!   configuration, equal to another by its settings, and renews itself in place. So a new certificate is no new
//!   configuration, and a configuration that says the same keeps connections and pools.
//! - *Where a long body is read to is what the last one was passed on from*: the place that was used last is in the core's cache.
//! - *A connection whose client is silent for a second is taken apart* (`connection.rs`): its socket is all that is kept. What serves
//!   it is made anew when it is needed. What it is served with shares no size class of the allocator with what stays: a page of
//!   memory on which every second place is free is as large as a full one.
//! - *Over TLS little is written by itself* (`held.rs`): tickets leave with the first answer, the end with the last one. A write of its
//!   own is a packet of its own, and wakes the client for nothing that it waits for.
//! - *Whether a client that has said that it leaves has sent more is asked of the runtime*, and of the kernel only where it cannot
//!   have been told yet: to close over what nobody has read resets the connection, and may lose the answer.
//! - *No huge pages*: they made a quiet proxy five times as large, and requests no cheaper that could be measured.
//! - *A stall is a question of its own*, and evidence that a tick's cap has kept back counts while requests hang.
//!   As a kind of failure it was seen after the header timeout only, when clients with a bounded number of
//!   connections all waited: then nobody asks, no vote is cast, and Helios' votes of the same moments are long
//!   past. Asked at the same age on both sides, those who came together are compared.
//! - *Ages are weighed as one law.* Three questions at three quantiles saw a shift of all latencies in half again the
//!   time, because each threw away what the others knew. Classes between Helios' quantiles keep what an ordered
//!   likelihood ratio needs, and the nearest tolerated pair of laws has a closed form.
//! - *Who fails before an age says nothing about latency.* A Helios that refuses every connection at once looked fast, and
//!   Kubernetes slow against it: a revert to the side that is down.
//! - *The gate is dealt out like the promise.* One gate for every promise and every number of routes would break the
//!   promise of a year with one shared event a day, and services with many routes sooner: their chances add up.
//! - *A route's number is computed for every judged request*, some 500 instructions, and its name once in a while by who
//!   counts. Sampling would not do: votes need their stratum.
//! - *A panic unwinds.* It costs the one connection that it happened on. Aborting would take every service's
//!   connections down for one bad request.
//! - *Who may do what is followed apart from the configuration*: that is taken whole or not at all, and a fault in some team's file
//!   would keep a token alive that was revoked.
//! - *A proof is held against the rights with each request*, and not when a connection begins: a token is found among a thousand
//!   in half a millisecond, and nobody has to think of who is connected when somebody is taken off the list.
//! - *`force` works while a service is held.* A hold is about users; whoever mends Kubernetes needs to reach
//!   it. What is forced is neither evidence nor rescued.
//! - *No `X-Forwarded-Host` where `Host` is kept*: it would say the same; no `Via` on answers: it would tell
//!   every user how the company routes.
//! - *What a platform says of endpoints is a look, and a roster decides what is believed of it*: a list that suddenly is short is more often a
//!   platform's mistake than the truth. Who refuses connections settles it.
//! - *How long answers take chooses between endpoints only where they differ twofold.* A worker sees few answers of each of a thousand, and
//!   following their noise spreads load less evenly than chance does.
//! - *Whom workers ask is chosen by control*, who sees what all of them have seen; a worker knows by itself only who refuses it, and how much
//!   it has in flight.
//! - *A finding against a side is put to its clusters first*: one that is to blame is let out, and the service stays.
//! - *An endpoint's silence counts before its failures do*: who hangs has failed nobody yet, and would for as long as a time limit lasts.
//! - *Nobody is believed about where a request comes from* unless a listener lists them. Passing on what a client says of its
//!   own address is convenient behind a load balancer, and lets anybody force a side who can guess a network.
//! - *A route is of the path that the client asked for*, whatever is stripped off it: it is the path that people know, that the
//!   access log has, and by which a recorded day is judged again.
//! - *Each worker has its own copy of a service's header rules*: a name or a value in a head counts its users, and all workers
//!   counting on one would be fighting over a cache line.
//! - *Calibration labels requests and deals none*: halves of endpoints or of users that really are sent elsewhere would be
//!   another service. The labels have a coin of their own, so that who is calibrated is dealt as who is not.
//! - *A webhook's message is signed, shaped and addressed when it is sent*, not when it is kept: a key that was changed, or a URL that
//!   was wrong, is then mended for what waits, too.
//! - *What is told to `PagerDuty` about a service is one incident only for its revert*: what joined an incident of lower urgency would
//!   wake nobody.
//! - *While a record is being written, or could not be, no more is in force than any record allows that the disk may have*
//!   (`allowance`): whichever a crash leaves, nobody had more than it says.
//! - *The history comes before the record toward Kubernetes, and behind it toward Helios*: a crash between the two leaves a raise that is told
//!   of and not in force, never one in force that nobody is told of; and a revert waits for no line of a history.
//! - *A ramp's certainty is a test of its own, of the opposite*: that the judge has found nothing may mean that it had too little to find.
//!   Silence makes nobody surer.
//! - *What starts a ramp again by itself is a delay that doubles, and only after a revert by the judge*: a person's revert, or the fleet
//!   guard's, is not lifted by a plan.
//! - *To resume a ramp takes no second person*: to start it did, and whoever paused it must not be feared for it.
//! - *A cluster's revert takes its services back to Helios whole*: moving their share to another cluster in the middle of an incident
//!   would try out what nobody has tried.
//! - *What waits for a second person waits in memory, for an hour*: a restart forgets it, which is toward Helios, and nobody agrees to what was
//!   wanted on another day.
//! - *A service that has lost its Helios side while Switchback was away serves Kubernetes, though it is held*: the hold stays and is told,
//!   but a hold that answers 503 to everybody would be worse than what it guards against. A file that takes Helios from a held service while
//!   Switchback runs is refused.
//! - *A receipt is named by the millisecond of its revert*, within its service: it sorts, and it is what people remember of a night. It names
//!   requests only where the service gives them identifiers: one of our own would be found in no log but ours.
//! - *A weight toward a side that a service does not have is moved to the side that it has*, when a person's
//!   word or a file leads there: 404 and 503 are for services that have no side at all.
//! - *The rescue budget is 100 % unless a file says less*: a budget below it fails users exactly when all of
//!   Kubernetes is gone, which is what Switchback is for. It exists for services whose Helios side is small.

mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
mod dataplane;
pub mod guide;
pub mod jwt;
pub mod model;
#[doc(hidden)]
pub mod parts;
pub mod rehearsal;
pub mod rollout;
mod snapshot;
pub mod splitter;
mod tally;
pub mod telemetry;
pub mod tls;
pub mod verdict;
