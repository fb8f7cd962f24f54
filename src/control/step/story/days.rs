//! What happens on which day.

use crate::model::{Millis, Weight};

use super::super::super::event::{CauseOfRevert, Event, Intent, Reach, RoomAsked, Wish};
use super::company::{
    DAYS, HELIOS_OFF, KUBERNETES_FOR_ALL, OWNERS_FOR_ALL, SERVICES, admin, cluster, files, is_orphan,
    midnight, name, operator_of, starts_again, starts_on_helios,
};
use super::world::World;

/// Time between two looks; the judge calls who was silent for longer than ten minutes a newcomer.
const STEP: Millis = Millis(9 * 60_000);

/// Which service degrades on Kubernetes on which day, from noon for an hour.
pub(super) const DEGRADED: [(usize, usize); 12] = [
    (6, 20),
    (6, 101),
    (7, 62),
    (8, 41),
    (9, 83),
    (10, 124),
    (11, 145),
    (15, 26),
    (16, 71),
    (17, 166),
    (23, 187),
    (24, 191),
];
/// On this day both sides of all services have a bad hour.
const SHARED: usize = 13;
/// On this day a cluster fails.
pub(super) const OUTAGE: usize = 14;
/// On this day the process is restarted.
const RESTART: usize = 16;
/// The revert of this service is said to have been false.
const SAID_FALSE: usize = 62;

/// How a side fares.
pub(super) struct Weather {
    pub(super) helios: f64,
    pub(super) kubernetes: f64,
}

/// The shares that fail of a service, on a day, at an hour.
pub(super) fn weather(service: usize, day: usize, hour: i8) -> Weather {
    const USUAL: f64 = 0.001;
    if day == SHARED && hour == 11 {
        return Weather { helios: 0.2, kubernetes: 0.2 };
    }
    let cluster_out = day == OUTAGE && hour == 14 && cluster(service) == "lon3";
    let degraded = hour == 12 && DEGRADED.contains(&(day, service));
    let kubernetes = if cluster_out {
        1.0
    } else if degraded {
        0.4
    } else {
        USUAL
    };
    Weather { helios: USUAL, kubernetes }
}

impl World {
    /// One day, from midnight to midnight.
    pub(super) fn day(&mut self, day: usize) {
        self.day = day;
        let end = midnight(day + 1);
        let mut hour = -1;
        while self.now.wall.0 + STEP.0 < end.0 {
            let now = super::company::hour(self.now.wall).0;
            if now != hour {
                hour = now;
                self.people(day, now);
            }
            self.pass(STEP, now);
        }
        self.pass(Millis(end.0 - self.now.wall.0), hour);
    }

    /// What people do at the beginning of an hour.
    fn people(&mut self, day: usize, hour: i8) {
        match hour {
            10 => self.begin_migrations(day),
            13 if [KUBERNETES_FOR_ALL, OWNERS_FOR_ALL, HELIOS_OFF].contains(&day) => self.read_files(day),
            15 if day == RESTART => self.restart(),
            16 => self.after_reverts(day),
            _ => {}
        }
    }

    /// Forty services on each of the first five days, and then those that were not ready.
    fn begin_migrations(&mut self, day: usize) {
        for service in 0..SERVICES {
            let early = service / 40 == day;
            let late = day == 7 && (starts_on_helios(service) || is_orphan(service));
            if !early && !late {
                continue;
            }
            let lacks_a_side = starts_on_helios(service) && day <= KUBERNETES_FOR_ALL;
            let lacks_an_owner = is_orphan(service) && day <= OWNERS_FOR_ALL;
            let ready = !lacks_a_side && !lacks_an_owner;
            let is_on_its_way = self.has_ramp(service);
            let intent = Intent::Move(name(service), Wish::Migrate { room: RoomAsked::Needed });
            let done = self.ask(operator_of(service), intent);
            assert_eq!(done, ready && !is_on_its_way, "{} on day {day}", name(service));
        }
    }

    /// At four o'clock people release what was taken back the day before, and start its ramp at a step that they name.
    fn after_reverts(&mut self, day: usize) {
        for service in 0..SERVICES {
            let held_since = self.held_on.get(&service).copied();
            if held_since.is_none_or(|since| since == day)
                || starts_again(service) && !self.is_by_guard(service)
            {
                continue;
            }
            let cause = if service == SAID_FALSE { CauseOfRevert::FalseAlarm } else { CauseOfRevert::Unsaid };
            let release = Wish::Release { to: Weight::ZERO, cause, room: RoomAsked::Needed };
            assert!(self.ask(operator_of(service), Intent::Move(name(service), release)));
            let from = Some(Weight::from_percent(5.0).unwrap());
            let start = Wish::StartRamp { plan: None, from, room: RoomAsked::Needed };
            assert!(self.ask(operator_of(service), Intent::Move(name(service), start)));
        }
        if day == OUTAGE + 1 {
            // An operator of one team may not resume all.
            assert!(!self.ask(operator_of(0), Intent::ResumeRamps(Reach::All)));
            assert!(self.ask(admin(), Intent::ResumeRamps(Reach::All)));
        }
    }

    fn read_files(&mut self, day: usize) {
        assert!(day < DAYS);
        let loaded = files(day, self.folder.path());
        self.loaded = loaded.clone();
        self.take_in(Event::Config(Ok(loaded)));
        self.find_endpoints();
    }
}
