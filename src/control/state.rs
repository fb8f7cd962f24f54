use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::{Config, Loaded, ServiceConfig, SideConfig};
use crate::model::{Millis, ServiceName, Side, UnixMillis, Weight};
use crate::rollout::{self, Actor, Hold, Record, Rollout, Word};
use crate::snapshot::{Routes, ServiceId, ServiceView, Snapshot};
use crate::tls::Connector;

use super::calibration::Calibrations;
use super::capacity::Fit;
use super::discovery::{SourceId, Wanted};
use super::entry::Entry;
use super::event::{Announcement, Ask, Happening, Now};
use super::guard::Guard;
use super::health::Checks;
use super::journal::{ActorRecord, CalibrationsRecord, EndpointsRecord, Kept, LedgerRecord, ReceiptRecord};
use super::ledger::{Ledger, Stage};
use super::lineup::Lineup;
use super::note::Note;
use super::refusals::Refusals;
use super::roster::Roster;
use super::steering::MigrationRow;
use super::views::ServiceStatus;

/// Everything that control knows.
pub(super) struct State {
    /// The configuration in force.
    pub(super) config: Config,
    pub(super) fingerprint: String,
    pub(super) loaded_at: UnixMillis,
    /// Why the configuration that was read last is not in force.
    pub(super) faults: Vec<String>,
    /// Sections that differ from those that the process started with.
    pub(super) needs_restart: Vec<&'static str>,
    /// By slot.
    entries: Vec<Option<Entry>>,
    slots: BTreeMap<ServiceName, usize>,
    /// What was kept of services that are not configured: it may be configured again.
    elsewhere: BTreeMap<ServiceName, Remains>,
    views: Vec<Option<Arc<ServiceView>>>,
    routes: Arc<Routes>,
    serial: u32,
    pub(super) generation: u64,
    /// Slots of services that have something to judge.
    pub(super) to_judge: BTreeSet<usize>,
    /// Slots of services whose Helios is being compared with itself.
    pub(super) calibrating: BTreeSet<usize>,
    /// Slots of services whose word ends by itself.
    pub(super) timed: BTreeSet<usize>,
    /// Slots of services one of whose sources is doubted.
    pub(super) waits: BTreeSet<usize>,
    /// Slots of services whose endpoints are others than those on disk.
    pub(super) unsaved: BTreeSet<usize>,
    /// Slots of services whose ramp may come to a step by itself.
    pub(super) climbing: BTreeSet<usize>,
    /// When that was looked at last.
    pub(super) climbed: Option<Millis>,
    /// Slots of services of which something may wait for a second person.
    pub(super) with_pending: BTreeSet<usize>,
    /// How many services are taken back at once.
    pub(super) guard: Guard,
    /// Questions that were refused lately.
    pub(super) refusals: Refusals,
    /// Whether other endpoints are to be checked than before.
    pub(super) recheck: bool,
    by_source: HashMap<SourceId, usize>,
    last_source: u64,
    /// Who waits for a record to be written, by service and revision.
    pub(super) waiting: HashMap<(ServiceName, u64), Waiting>,
    /// Clients' connections by worker.
    pub(super) connections: Vec<usize>,
    pub(super) workers: usize,
}

/// A change that is not in force yet, and perhaps somebody who waits for it.
pub(super) struct Waiting {
    pub(super) ask: Option<Ask>,
    pub(super) before: Weight,
    pub(super) note: Note,
}

#[derive(Default)]
struct Remains {
    rollout: Option<Rollout>,
    receipt: Option<ReceiptRecord>,
    endpoints: Option<EndpointsRecord>,
    ledger: Option<LedgerRecord>,
    calibrations: Option<CalibrationsRecord>,
}

impl State {
    /// The state at start: the configuration, and what was kept. A record that cannot be read is a hold.
    pub(super) fn new(loaded: &Loaded, kept: Kept, workers: usize, at: Now) -> (Self, Vec<Announcement>) {
        let now = at.wall;
        let mut announcements = Vec::new();
        let mut elsewhere: BTreeMap<ServiceName, Remains> = BTreeMap::new();
        for (name, record) in kept.records {
            let record = record.unwrap_or_else(|error| {
                let text = format!("{name} is held: its record {error}");
                announcements.push(Announcement {
                    at_unix_ms: now.0,
                    happening: Happening::Unreadable,
                    service: Some(name.to_string()),
                    team: None,
                    by: Some(ActorRecord::Caution),
                    text: text.clone(),
                    of_alarm: false,
                });
                let hold = Hold { by: Actor::Caution, reason: text.into(), since: now, before: Weight::ZERO };
                Record { revision: 0, said: Word::Held(hold).into() }
            });
            // What its file says is not known before it has one.
            elsewhere.entry(name).or_default().rollout = Some(Rollout::new(Weight::ZERO, Some(record)));
        }
        for (name, receipt) in kept.receipts {
            elsewhere.entry(name).or_default().receipt = Some(receipt);
        }
        for (name, endpoints) in kept.endpoints {
            elsewhere.entry(name).or_default().endpoints = Some(endpoints);
        }
        for (name, ledger) in kept.ledgers {
            elsewhere.entry(name).or_default().ledger = Some(ledger);
        }
        for (name, calibrations) in kept.calibrations {
            elsewhere.entry(name).or_default().calibrations = Some(calibrations);
        }
        let mut state = Self {
            config: loaded.config.clone(),
            fingerprint: loaded.fingerprint.clone(),
            loaded_at: now,
            faults: Vec::new(),
            needs_restart: Vec::new(),
            entries: Vec::new(),
            slots: BTreeMap::new(),
            elsewhere,
            views: Vec::new(),
            routes: Arc::default(),
            serial: 0,
            generation: 0,
            to_judge: BTreeSet::new(),
            calibrating: BTreeSet::new(),
            timed: BTreeSet::new(),
            waits: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            climbing: BTreeSet::new(),
            climbed: None,
            with_pending: BTreeSet::new(),
            guard: Guard::default(),
            refusals: Refusals::default(),
            recheck: false,
            by_source: HashMap::new(),
            last_source: 0,
            waiting: HashMap::new(),
            connections: vec![0; workers],
            workers,
        };
        for service in loaded.config.services.values() {
            state.add(service.clone(), at);
        }
        state.reroute();
        (state, announcements)
    }

    /// Adds a service, with what was kept of it.
    pub(super) fn add(&mut self, config: Arc<ServiceConfig>, now: Now) {
        let slot = self.entries.iter().position(Option::is_none).unwrap_or(self.entries.len());
        if slot == self.entries.len() {
            self.entries.push(None);
            self.views.push(None);
        }
        self.serial = self.serial.wrapping_add(1);
        let id = ServiceId { slot: u32::try_from(slot).unwrap_or(u32::MAX), serial: self.serial };
        let Remains { rollout, receipt, endpoints, ledger, calibrations } =
            self.elsewhere.remove(&config.name).unwrap_or_default();
        let rollout = match rollout {
            Some(rollout) => rollout.with_file(config.weight),
            None => Rollout::new(config.weight, None),
        };
        self.slots.insert(config.name.clone(), slot);
        let ledger = Ledger::new(&config.name, Stage::of(&config), rollout.weight(), ledger, now.wall);
        let mut entry = Entry::new(id, config, rollout, receipt, ledger);
        entry.calibrations = calibrations.map(Calibrations::remembered).unwrap_or_default();
        // What a service has missed while it was not configured counts for nothing.
        entry.is_kept = self.generation == 0;
        entry.follow_ramp(now);
        entry.follow_ledger(now);
        self.entries[slot] = Some(entry);
        self.follow_sources(slot, now.mono);
        if let (Some(Some(entry)), Some(kept)) = (self.entries.get_mut(slot), endpoints) {
            entry.remember(&kept);
        }
        self.refresh(slot);
    }

    /// Looks for a service's endpoints where its configuration says now.
    pub(super) fn follow_sources(&mut self, slot: usize, now: Millis) {
        let Some(Some(entry)) = self.entries.get_mut(slot) else { return };
        let rosters = |entry: &Entry| {
            let rosters = entry.lineups.iter().flat_map(|(_, lineup)| lineup.rosters());
            rosters.map(Roster::id).collect::<Vec<_>>()
        };
        for id in rosters(entry) {
            self.by_source.remove(&id);
        }
        let last = &mut self.last_source;
        entry.follow_sources(now, || {
            *last += 1;
            SourceId(*last)
        });
        for id in rosters(entry) {
            self.by_source.insert(id, slot);
        }
    }

    /// The slot of the service that a source is looked at for.
    pub(super) fn slot_of(&self, source: SourceId) -> Option<usize> {
        self.by_source.get(&source).copied()
    }

    /// The endpoints of every side.
    pub(super) fn lineups(&self) -> impl Iterator<Item = (ServiceId, Side, &Lineup)> {
        self.entries().flat_map(|entry| entry.lineups.iter().map(|(side, lineup)| (entry.id, side, lineup)))
    }

    /// Of each service whether Helios can take everything back, if that is known, and whether it gets more than it can take.
    pub(super) fn fits(&self, now: Now) -> impl Iterator<Item = (ServiceId, Option<Fit>, bool)> {
        self.entries().map(move |entry| (entry.id, entry.fit(now), entry.sheds()))
    }

    fn rosters(&self) -> impl Iterator<Item = &Roster> {
        self.lineups().flat_map(|(_, _, lineup)| lineup.rosters())
    }

    /// Endpoints that are to be checked.
    pub(super) fn checks(&self) -> Arc<[Checks]> {
        let lineups =
            self.entries().flat_map(|entry| entry.lineups.iter().map(move |lineup| (entry, lineup)));
        let checks = lineups.filter_map(|(entry, (side, lineup))| {
            let SideConfig { check, tls, .. } = &entry.config.sides[side];
            let config = check.clone()?;
            let offered = lineup.rosters().flat_map(|roster| roster.offered().iter());
            let endpoints = offered.map(|candidate| candidate.endpoint.clone()).collect();
            Some(Checks { service: entry.id, side, config, tls: tls.clone(), endpoints })
        });
        checks.collect()
    }

    /// Sources that are to be looked at.
    pub(super) fn wanted(&self) -> Arc<[Wanted]> {
        let looked_at = self.rosters().filter(|roster| !roster.source().is_fixed());
        looked_at.map(|roster| Wanted { id: roster.id(), source: roster.source().clone() }).collect()
    }

    /// Whether there is something to go by for each service. What is wrong with one service's source alone keeps nobody
    /// else waiting: where others of its kind have spoken, it is enough that it has failed.
    pub(super) fn is_ready(&self) -> bool {
        let known: BTreeSet<_> = self
            .rosters()
            .filter(|roster| roster.is_known())
            .map(|roster| roster.source().platform())
            .collect();
        self.rosters().all(|roster| {
            roster.is_known() || roster.trouble().is_some() && known.contains(&roster.source().platform())
        })
    }

    /// Takes a service out, and keeps its word for when it comes back. Tells what must be written for that, if a
    /// change is under way that will not come into force, and who waits for it.
    pub(super) fn remove(&mut self, name: &ServiceName) -> (Option<Record>, Vec<Ask>) {
        let gone: Vec<_> = self.waiting.keys().filter(|(waits, _)| waits == name).cloned().collect();
        let asks = gone
            .iter()
            .filter_map(|key| self.waiting.remove(key))
            .filter_map(|waiting| waiting.ask)
            .collect();
        let Some(slot) = self.slots.remove(name) else { return (None, asks) };
        self.views[slot] = None;
        self.to_judge.remove(&slot);
        self.calibrating.remove(&slot);
        self.timed.remove(&slot);
        self.waits.remove(&slot);
        self.unsaved.remove(&slot);
        self.climbing.remove(&slot);
        self.with_pending.remove(&slot);
        self.by_source.retain(|_, known| *known != slot);
        let Some(entry) = self.entries[slot].take() else { return (None, asks) };
        let endpoints = Some(EndpointsRecord::of(&entry));
        let ledger = Some(entry.ledger.record().clone());
        let calibrations = Some(entry.calibrations.to_keep(name));
        let (rollout, undo) = entry.rollout.leave();
        let remains =
            Remains { rollout: Some(rollout), receipt: entry.receipt, endpoints, ledger, calibrations };
        self.elsewhere.insert(name.clone(), remains);
        (undo, asks)
    }

    /// A record of a service that is not configured is on disk, or could not be written. Tells what is to be written again.
    pub(super) fn written_elsewhere(
        &mut self,
        name: &ServiceName,
        written: rollout::Event,
        now: UnixMillis,
    ) -> Option<Record> {
        let remains = self.elsewhere.get_mut(name)?;
        let (rollout, effects) = remains.rollout.take()?.step(written, now);
        remains.rollout = Some(rollout);
        effects.into_iter().find_map(|effect| match effect {
            rollout::Effect::Write(record) => Some(record),
            _ => None,
        })
    }

    /// Makes a service's view anew; it is seen with the next publish.
    pub(super) fn refresh(&mut self, slot: usize) {
        let Some(Some(entry)) = self.entries.get_mut(slot) else { return };
        self.views[slot] = Some(Arc::new(entry.view()));
        if entry.rollout.next_change().is_some() {
            self.timed.insert(slot);
        } else {
            self.timed.remove(&slot);
        }
        if entry.may_climb() {
            self.climbing.insert(slot);
        } else {
            self.climbing.remove(&slot);
        }
    }

    /// Makes the routes anew; they are seen with the next publish.
    pub(super) fn reroute(&mut self) {
        let services = self.entries.iter().flatten().map(|entry| (entry.id.slot, &*entry.config));
        self.routes = Arc::new(Routes::build(&self.config.process.listeners, &services));
    }

    /// How the sides in force, and whoever else we ask, are spoken to over TLS.
    pub(super) fn connectors(&self) -> impl Iterator<Item = Arc<Connector>> {
        let views = self.views.iter().flatten();
        let ours = views.flat_map(|view| Side::ALL.map(|side| view.config.sides[side].tls.clone())).flatten();
        let masters = self.rosters().filter_map(|roster| roster.source().masters()?.tls.clone());
        let webhooks = self.config.fleet.webhooks.iter().filter_map(|webhook| webhook.tls.clone());
        ours.chain(masters).chain(webhooks)
    }

    /// The next snapshot.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.generation += 1;
        Snapshot { generation: self.generation, routes: self.routes.clone(), services: self.views.clone() }
    }

    /// What the ledger of migrations says of these services, in no order: of a few thousand it is not told at once.
    pub(super) fn ledger_of(
        &mut self,
        now: Now,
        slots: std::ops::Range<usize>,
    ) -> Vec<(ServiceStatus, MigrationRow)> {
        let (entries, fleet) = (&mut self.entries, &self.config.fleet);
        let slots = slots.start.min(entries.len())..slots.end.min(entries.len());
        let entries = entries[slots].iter_mut().flatten();
        entries.map(|entry| entry.row(fleet, now)).collect()
    }

    /// How many slots there are.
    pub(super) fn places(&self) -> usize {
        self.entries.len()
    }

    /// What the ledger of migrations says of these services, by name.
    pub(super) fn ledger(
        &mut self,
        now: Now,
        of: impl Fn(&Entry) -> bool,
    ) -> Vec<(ServiceStatus, MigrationRow)> {
        let (slots, entries, fleet) = (&self.slots, &mut self.entries, &self.config.fleet);
        let mut rows = Vec::with_capacity(slots.len());
        for slot in slots.values() {
            let Some(Some(entry)) = entries.get_mut(*slot) else { continue };
            if of(entry) {
                rows.push(entry.row(fleet, now));
            }
        }
        rows
    }

    /// Services whose record is not on disk yet.
    pub(super) fn unwritten(&self) -> usize {
        self.entries().filter(|entry| entry.written < entry.rollout.revision()).count()
    }

    /// Whether a service is held, or would be if it were configured.
    pub(super) fn is_held(&self, name: &ServiceName) -> bool {
        let entry = self.slot(name).and_then(|slot| self.entries.get(slot)?.as_ref());
        let kept = self.elsewhere.get(name).and_then(|remains| remains.rollout.as_ref());
        entry.is_some_and(Entry::is_held) || kept.is_some_and(|kept| matches!(kept.word(), Word::Held(_)))
    }

    /// The team that owns a service.
    pub(super) fn team_of(&self, name: &ServiceName) -> Option<Arc<str>> {
        Some(self.config.services.get(name)?.team.clone())
    }

    /// The entry of a service.
    pub(super) fn named(&mut self, name: &ServiceName) -> Option<&mut Entry> {
        self.slot(name).and_then(|slot| self.entry(slot))
    }

    /// Slots of services of which the ledger knows something new.
    pub(super) fn slots_with_news(&self) -> Vec<usize> {
        let news = self.entries().filter(|entry| entry.ledger.unsaved);
        news.map(|entry| entry.id.slot as usize).collect()
    }

    /// Slots of services of which something waits for a second person.
    pub(super) fn slots_with_pending(&mut self) -> Vec<usize> {
        let entries = &self.entries;
        self.with_pending.retain(|slot| entries[*slot].as_ref().is_some_and(|entry| entry.pending.is_some()));
        self.with_pending.iter().copied().collect()
    }

    pub(super) fn slot(&self, name: &ServiceName) -> Option<usize> {
        self.slots.get(name).copied()
    }

    pub(super) fn entry(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)?.as_mut()
    }

    /// The entry that a report is about, if the slot still is its.
    pub(super) fn entry_of(&mut self, id: ServiceId) -> Option<&mut Entry> {
        self.entry(id.slot as usize).filter(|entry| entry.id == id)
    }

    /// Slots of all services, by name.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.slots.values().copied().collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// Services that are not configured, but held.
    pub(super) fn held_elsewhere(&self) -> Vec<String> {
        let held = |remains: &Remains| {
            remains.rollout.as_ref().is_some_and(|kept| matches!(kept.word(), Word::Held(_)))
        };
        self.elsewhere.iter().filter(|(_, remains)| held(remains)).map(|(name, _)| name.to_string()).collect()
    }
}
