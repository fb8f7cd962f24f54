use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::{MastersConfig, Registered};

use super::super::had::{Had, gone};
use super::super::resolve::Resolver;
use super::super::{Asked, Look, SourceId, Tell};
use super::addresses::Addresses;
use super::classify::{classify, taken};
use super::masters::Masters;
use super::picture::Picture;

/// How long a poll may take, whatever number of masters has to be asked.
const LONGEST: Duration = Duration::from_secs(30);
/// How much sooner or later a poll may be, as a share of its pause: processes that start together are not to ask together for
/// ever.
const JITTER: f64 = 0.1;

/// Asks one Helios again and again, and tells what it knows of whoever is asked for. One poll is under way at a time, however
/// long it takes.
pub(in super::super) async fn run(
    clock: Clock,
    config: Arc<MastersConfig>,
    asked: Asked<Registered>,
    tell: Tell,
) {
    let pause = config.poll;
    let mut addresses = Addresses::new(clock, Resolver::new(None));
    let mut masters = Masters::new(clock, config);
    let mut teller =
        Teller { asked, tell, told: HashSet::new(), known: None, trouble: None, clock, had: Had::default() };
    loop {
        let poll = async {
            let asked = timeout(LONGEST, masters.ask(&mut addresses)).await;
            let mut picture = asked.map_err(|_| "no master answers in time".to_owned())??;
            let working = || picture.hosts.iter().filter(|(_, host)| !host.tasks.is_empty());
            addresses.learn(working().map(|(name, _)| name)).await;
            for (name, host) in &mut picture.hosts {
                // One is enough: a host is one endpoint, however many addresses it has.
                host.address = addresses.of(name).first().copied();
            }
            Ok(picture)
        };
        let Some(polled) = teller.meanwhile(poll).await else { return };
        if teller.take_in(polled).await.is_none() || teller.meanwhile(sleep(jittered(pause))).await.is_none()
        {
            return;
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    All,
    /// Who has begun to ask.
    New,
}

/// Tells what is known, to whoever asks.
struct Teller {
    clock: Clock,
    asked: Asked<Registered>,
    tell: Tell,
    /// Who knows of what was heard last.
    told: HashSet<SourceId>,
    /// What was heard last.
    known: Option<Picture>,
    /// Why nothing was heard since.
    trouble: Option<Arc<str>>,
    had: Had,
}

impl Teller {
    /// Waits for something; who begins to ask meanwhile is told what is known. `None` when nobody asks any more.
    async fn meanwhile<T>(&mut self, awaited: impl Future<Output = T>) -> Option<T> {
        let mut awaited = pin!(awaited);
        loop {
            tokio::select! {
                done = &mut awaited => return Some(done),
                changed = self.asked.changed() => changed.ok()?,
            }
            let looks = self.looks(Whom::New);
            self.send(looks).await?;
        }
    }

    /// Takes in what became of a poll, and tells everybody.
    async fn take_in(&mut self, polled: Result<Picture, String>) -> Option<()> {
        self.trouble = match polled {
            Ok(mut picture) => {
                if let Some(before) = &self.known {
                    picture.bridge(before);
                }
                self.known = Some(picture);
                // It is news to everybody.
                self.told.clear();
                None
            }
            Err(why) => Some(why.into()),
        };
        let looks = self.looks(Whom::All);
        self.send(looks).await
    }

    /// What is told: what was heard last to those who do not know it, and then why there is nothing newer.
    fn looks(&mut self, whom: Whom) -> Vec<Look> {
        let asked = self.asked.borrow_and_update().clone();
        let new: Vec<_> = asked.iter().filter(|(id, _)| !self.told.contains(id)).collect();
        let mut looks = Vec::new();
        if let Some(picture) = &self.known {
            let mut seen = classify(picture, new.iter().map(|(_, what)| what));
            let now = self.clock.millis();
            let left: Vec<_> =
                new.iter().zip(&seen).map(|((id, _), seen)| self.had.left(*id, seen, now)).collect();
            // Helios gives ports to one job after the other.
            let taken = taken(picture, &left.iter().flatten().copied().collect());
            for (seen, left) in seen.iter_mut().zip(left) {
                seen.extend(left.into_iter().filter(|address| taken.contains(address)).map(gone));
            }
            looks.extend(new.iter().zip(seen).map(|((id, _), seen)| Look { source: *id, seen: Ok(seen) }));
            self.had.keep_only(asked.iter().map(|(id, _)| *id));
        }
        if let Some(why) = &self.trouble {
            let whom = asked.iter().filter(|(id, _)| whom == Whom::All || !self.told.contains(id));
            looks.extend(whom.map(|(id, _)| Look { source: *id, seen: Err(why.clone()) }));
        }
        self.told = asked.iter().map(|(id, _)| *id).collect();
        looks
    }

    /// `None` when nobody listens any more.
    async fn send(&self, looks: Vec<Look>) -> Option<()> {
        if looks.is_empty() {
            return Some(());
        }
        self.tell.send(looks).await.ok()
    }
}
