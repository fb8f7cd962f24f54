use std::fmt;
use std::sync::Arc;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::model::UnixMillis;

/// Hours of the week in which steps may be taken; without any, at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// Any of these.
    pub spans: Vec<Span>,
    /// Where it is those hours; UTC if it is not said.
    pub zone: Zone,
}

/// Where people are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

/// Hours of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// By weekday, from Monday.
    pub days: [bool; 7],
    /// From this time of the day …
    pub from: Time,
    /// … to this, which is not in it any more; midnight is the end of the day.
    pub to: Time,
}

/// A time in which no step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// From this moment …
    pub from: UnixMillis,
    /// … to this, which is not in it any more.
    pub to: UnixMillis,
    /// As it is written.
    pub text: Arc<str>,
}

/// Days that are looked at for hours: a week, and what is left of today.
const LOOKED_AT: i64 = 8;

impl Hours {
    /// The first moment from `now` on that lies in them: `now` itself if it does. Never for hours that never come.
    pub fn next(&self, now: UnixMillis) -> Option<UnixMillis> {
        if self.spans.is_empty() {
            return Some(now);
        }
        let at = Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        let today = at.to_zoned(self.zone.0.clone()).date();
        let starts = (0..LOOKED_AT).filter_map(|days| today.checked_add(days.days()).ok());
        starts.flat_map(|date| self.spans.iter().filter_map(move |span| self.on(span, date, now))).min()
    }

    /// When a span of a day goes on or begins, if it is not over.
    fn on(&self, span: &Span, date: Date, now: UnixMillis) -> Option<UnixMillis> {
        if !span.days[usize::try_from(date.weekday().to_monday_zero_offset()).ok()?] {
            return None;
        }
        let moment = |date: Date, time: Time| {
            let zoned = date.to_datetime(time).to_zoned(self.zone.0.clone()).ok()?;
            u64::try_from(zoned.timestamp().as_millisecond()).ok().map(UnixMillis)
        };
        let from = moment(date, span.from)?;
        let last = if span.to == Time::midnight() { date.tomorrow().ok()? } else { date };
        let to = moment(last, span.to)?;
        (now < to).then_some(from.max(now))
    }
}

impl Freeze {
    /// Whether it is now.
    pub fn is_on(&self, now: UnixMillis) -> bool {
        (self.from..self.to).contains(&now)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Span {
    /// Reads `Mon-Fri 09:00-16:00`, `Sat,Sun 10:00-12:00`, or `09:00-16:00` for every day.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (days, times) = match (words.next()?, words.next(), words.next()) {
            (times, None, _) => ([true; 7], times),
            (days, Some(times), None) => (parse_days(days)?, times),
            (_, Some(_), Some(_)) => return None,
        };
        let (from, to) = times.split_once('-')?;
        let (from, to) = (parse_time(from)?, if to == "24:00" { Time::midnight() } else { parse_time(to)? });
        (from < to || to == Time::midnight()).then_some(Self { days, from, to })
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let place = |name: &str| NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
        let (first, last) = (place(first)?, place(last)?);
        // From Saturday to Monday is over the week's end.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|day| days[(first + day) % 7] = true);
    }
    Some(days)
}

fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = NAMES.iter().zip(self.days).filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if days.len() < NAMES.len() {
            write!(f, "{} ", days.join(","))?;
        }
        let (from, to) = (self.from.strftime("%H:%M"), self.to.strftime("%H:%M"));
        let to = if self.to == Time::midnight() { "24:00".to_owned() } else { to.to_string() };
        write!(f, "{from}-{to}")
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond().cast_unsigned())
    }

    fn hours(spans: &[&str], zone: &str) -> Hours {
        let spans = spans.iter().map(|text| Span::parse(text).unwrap()).collect();
        Hours { spans, zone: Zone(TimeZone::get(zone).unwrap()) }
    }

    #[test]
    fn hours_read_as_people_write_them() {
        for (text, shown) in [
            ("Mon-Fri 09:00-16:00", "Mon,Tue,Wed,Thu,Fri 09:00-16:00"),
            ("sat,SUN 10:00-12:30", "Sat,Sun 10:00-12:30"),
            ("Fri-Mon 00:00-24:00", "Mon,Fri,Sat,Sun 00:00-24:00"),
            ("09:00-16:00", "09:00-16:00"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.to_string(), shown);
            assert_eq!(Span::parse(shown), Some(span));
        }
        for bad in [
            "",
            "Mon",
            "Mon 9-16",
            "Mon 16:00-09:00",
            "Funday 09:00-16:00",
            "Mon 09:00-16:00 x",
            "Mon 25:00-26:00",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_next_hours_are_found_over_the_week_and_the_change_of_clocks() {
        let office = hours(&["Mon-Thu 09:00-16:00", "Fri 09:00-12:00"], "Europe/Stockholm");
        for (now, next) in [
            // A Wednesday in winter: an hour ahead of UTC.
            ("2026-11-25T10:00:00Z", "2026-11-25T10:00:00Z"),
            ("2026-11-25T07:59:59Z", "2026-11-25T08:00:00Z"),
            ("2026-11-25T15:00:00Z", "2026-11-26T08:00:00Z"),
            // From Friday noon to Monday.
            ("2026-11-27T11:00:00Z", "2026-11-30T08:00:00Z"),
            // Clocks go forward on the Sunday between: two hours ahead on Monday.
            ("2027-03-26T12:00:00Z", "2027-03-29T07:00:00Z"),
        ] {
            assert_eq!(office.next(at(now)), Some(at(next)), "{now}");
        }
        let whole = hours(&["Sat 00:00-24:00"], "UTC");
        assert_eq!(whole.next(at("2026-11-28T23:59:59Z")), Some(at("2026-11-28T23:59:59Z")));
        assert_eq!(whole.next(at("2026-11-29T00:00:00Z")), Some(at("2026-12-05T00:00:00Z")));
        assert_eq!(Hours::default().next(UnixMillis(5)), Some(UnixMillis(5)));
    }

    #[test]
    fn a_freeze_ends_when_it_ends() {
        let freeze = Freeze { from: UnixMillis(10), to: UnixMillis(20), text: "".into() };
        assert_eq!([9, 10, 19, 20].map(|now| freeze.is_on(UnixMillis(now))), [false, true, true, false]);
    }
}
