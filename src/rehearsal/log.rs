use std::collections::BTreeSet;
use std::io::Read;

use crate::model::{Micros, UnixMicros};
use crate::telemetry::{AccessOutcome, AccessRecord};

use super::lines::{Lines, TraceError, foreign, without_mark};
use super::routes::Routes;
use super::trace::{Malformed, Request};

/// One service's requests from the access log of a running process.
///
/// The log has a request when it ends, and a trace when it begins: so all of them are held, and sorted.
#[derive(Debug, Default)]
pub struct Log {
    /// When second 0 was: a whole second, before the first request.
    pub began: UnixMicros,
    /// Its requests, by their start.
    pub requests: Vec<Request>,
    /// Their routes.
    pub routes: Routes,
    /// Lines of the service that are no evidence: the client left, somebody forced the side, nothing was judged.
    /// So is half a line at the end, which was still being written.
    pub skipped: u64,
    /// Lines that cannot be read.
    pub unreadable: u64,
}

/// Why there is no trace in a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] TraceError),
    /// Requests of different services are not compared with each other.
    #[error("the log has {} services, name one of them with --service-name: {}", .0.len(), list(.0))]
    Several(Vec<String>),
    /// The service has no line.
    #[error("the log has nothing of {service}, but of {}", list(others))]
    Nothing {
        /// Who was asked for.
        service: String,
        /// Those that it has.
        others: Vec<String>,
    },
    /// More than fits into memory.
    #[error("the log has more than {MOST_REQUESTS} requests of the service: judge a part of it at a time")]
    TooMany,
}

/// Requests that are held: a gigabyte.
const MOST_REQUESTS: usize = 1 << 25;
/// Services that a message names.
const MOST_NAMED: usize = 20;

const SECOND: u64 = 1_000_000;

/// Reads the requests of a service, which may go without saying if the log has only one.
///
/// A process that was killed leaves half a line, to which the next one appends: a few lines that cannot be read are
/// passed over. A file of which the first or most cannot be read is something else.
pub fn read_log(input: impl Read, service: Option<&str>) -> Result<Log, LogError> {
    let mut lines = Lines::new(input);
    let mut services = BTreeSet::new();
    let mut log = Log::default();
    let (mut readable, mut first_wrong) = (0, None);
    while let Some(line) = lines.read()? {
        if line.is_empty() {
            continue;
        }
        let may_grow = line.starts_with(b"{");
        let parsed = if readable == 0 { read_first(line) } else { read_line(line) };
        let (record, start) = match parsed {
            Ok(read) => read,
            Err(_) if may_grow && !lines.ended() => {
                log.skipped += 1;
                continue;
            }
            Err(what) if readable == 0 => return Err(lines.wrong(what).into()),
            Err(what) => {
                log.unreadable += 1;
                first_wrong.get_or_insert(lines.wrong(what));
                continue;
            }
        };
        readable += 1;
        if !services.contains(&record.service) {
            services.insert(record.service.clone());
        }
        if service.map_or(services.len() == 1, |service| record.service == service) {
            log.take(&record, start)?;
        }
    }
    match first_wrong {
        Some(wrong) if log.unreadable > readable => return Err(wrong.into()),
        Some(_) | None => {}
    }
    let names: Vec<String> = services.into_iter().collect();
    match service {
        None if names.len() > 1 => return Err(LogError::Several(names)),
        Some(service) if !names.is_empty() && !names.iter().any(|name| name == service) => {
            return Err(LogError::Nothing { service: service.to_owned(), others: names });
        }
        Some(_) | None => {}
    }
    log.sort();
    Ok(log)
}

impl Log {
    /// Takes in a line of the service. Its start is since 1970 for now.
    fn take(&mut self, record: &AccessRecord, start: Micros) -> Result<(), LogError> {
        if record.outcome == AccessOutcome::Neither || !record.evidence {
            self.skipped += 1;
            return Ok(());
        }
        if self.requests.len() == MOST_REQUESTS {
            return Err(LogError::TooMany);
        }
        self.requests.push(request(record, start, &mut self.routes));
        Ok(())
    }

    /// Brings the requests into the order of their start, and counts time from the second of the first.
    fn sort(&mut self) {
        self.requests.sort_unstable_by_key(|request| request.start);
        let first = self.requests.first().map_or(0, |request| request.start.0);
        self.began = UnixMicros(first - first % SECOND);
        for request in &mut self.requests {
            request.start = Micros(request.start.0 - self.began.0);
        }
    }

    /// A moment of the trace in UTC, to the microsecond: `2026-11-22T18:30:35.784000Z`.
    pub fn time(&self, at: Micros) -> String {
        let us = i64::try_from(self.began.0 + at.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(us).map_or_else(|_| String::new(), |time| format!("{time:.6}"))
    }
}

/// Reads the first line, which tells what the file is.
fn read_first(line: &[u8]) -> Result<(AccessRecord, Micros), Malformed> {
    let line = without_mark(line);
    foreign(line, "--from-log ").map_or_else(|| read_line(line), Err)
}

/// Reads a line, and when its request came.
fn read_line(line: &[u8]) -> Result<(AccessRecord, Micros), Malformed> {
    let record: AccessRecord =
        serde_json::from_slice(line).map_err(|error| Malformed::Record(reason(&error)))?;
    let time = record.time.parse::<jiff::Timestamp>().ok();
    let us = time.and_then(|time| time.as_microsecond().try_into().ok());
    let start = Micros(us.ok_or_else(|| Malformed::Time(record.time.clone()))?);
    Ok((record, start))
}

/// What is wrong with a line. Its number is known better than to the parser, which has seen nothing else.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rfind(" at line ").map_or(&*text, |end| &text[..end]);
    format!("{what} at column {}", error.column())
}

fn request(record: &AccessRecord, start: Micros, routes: &mut Routes) -> Request {
    // Whoever was refused has no answer, but did not wait for one either. When it was given up is not in the log;
    // when all was over is, and with a rescue that is a little later.
    let ms = record.latency_ms.unwrap_or(record.duration_ms);
    let latency = (0.0..1e12).contains(&ms).then(|| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be in range"
        )]
        return Micros((ms * 1e3).round() as u64);
    });
    Request {
        start,
        side: record.side,
        failed: record.outcome == AccessOutcome::Failed,
        latency,
        route: routes.number(&record.route),
    }
}

fn list(names: &[String]) -> String {
    let first = names[..names.len().min(MOST_NAMED)].join(", ");
    match names.len().checked_sub(MOST_NAMED) {
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Side;

    fn line(time: &str, service: &str, more: &str) -> String {
        format!(
            r#"{{"time":"2026-11-22T18:30:{time}Z","service":"{service}","side":"kubernetes","route":"GET /",{more}}}"#
        ) + "\n"
    }

    const OK: &str = r#""outcome":"ok","latency_ms":12.5,"evidence":true"#;

    #[test]
    fn lines_are_sorted_by_the_start_of_their_requests() {
        let text =
            line("36.000000", "a", OK) + "\n" + &line("35.784221", "a", OK) + &line("35.784220", "a", OK);
        let log = read_log(text.as_bytes(), None).unwrap();
        let starts: Vec<u64> = log.requests.iter().map(|request| request.start.0).collect();
        assert_eq!(starts, [784_220, 784_221, 1_000_000]);
        assert_eq!(log.time(Micros(784_220)), "2026-11-22T18:30:35.784220Z");
        let first = log.requests[0];
        assert_eq!(
            (first.side, first.failed, first.latency),
            (Side::Kubernetes, false, Some(Micros(12_500)))
        );
        assert_eq!(log.routes.name(first.route), "GET /");
    }

    #[test]
    fn what_is_no_evidence_is_passed_over_and_counted() {
        let text = line("01.0", "a", r#""outcome":"neither","evidence":true"#)
            + &line("01.1", "a", r#""outcome":"ok","latency_ms":1.0,"evidence":false"#)
            + &line(
                "01.2",
                "a",
                r#""outcome":"failed","cause":"connect_refused","duration_ms":3.5,"evidence":true"#,
            )
            + "{\"time\":\"2026-";
        let log = read_log(text.as_bytes(), Some("a")).unwrap();
        assert_eq!((log.skipped, log.requests.len()), (3, 1));
        assert_eq!((log.requests[0].failed, log.requests[0].latency), (true, Some(Micros(3_500))));
    }

    #[test]
    fn one_service_is_judged_and_the_others_are_named() {
        let text = line("01.0", "b", OK) + &line("02.0", "a", OK) + &line("03.0", "b", OK);
        let read = |service| read_log(text.as_bytes(), service);
        assert_eq!(read(Some("b")).unwrap().requests.len(), 2);
        let several = read(None).unwrap_err().to_string();
        assert!(several.ends_with("2 services, name one of them with --service-name: a, b"), "{several}");
        let nothing = read(Some("c")).unwrap_err().to_string();
        assert_eq!(nothing, "the log has nothing of c, but of a, b");
        assert!(read_log(&b""[..], Some("c")).unwrap().requests.is_empty());
        let many: Vec<String> = (0..25).map(|number| number.to_string()).collect();
        assert!(list(&many).ends_with("18, 19 and 5 more"));
    }

    fn refused(text: &[u8]) -> String {
        match read_log(text, None).unwrap_err() {
            LogError::Unreadable(TraceError::Line { line, what }) => format!("{line}: {what}"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_line() {
        let good = line("01.0", "a", OK);
        for (text, says) in [
            ("start_s,side\n".to_owned(), "1: not a line of an access log: expected value at column 1"),
            ("start_s".to_owned(), "1: not a line of an access log: expected value"),
            ("\n{}\n".to_owned(), "2: not a line of an access log: missing field `time` at column 2"),
            (good.replace("2026", "then"), "1: time is not one of RFC 3339: \"then-"),
            (format!("{good}{}", "{}\n".repeat(2)), "2: not a line of an access log: missing field `time`"),
        ] {
            let said = refused(text.as_bytes());
            assert!(said.starts_with(says), "{said}");
        }
        for (bytes, says) in [
            (&b"\x1f\x8b\x08\0"[..], "`zcat FILE | switchback replay --from-log -`"),
            (b"\x28\xb5\x2f\xfd\n", "`zstdcat FILE | switchback replay --from-log -`"),
            (b"\xff\xfe{\0\n\0", "`iconv -f UTF-16 -t UTF-8 FILE`"),
        ] {
            let said = refused(bytes);
            assert!(said.starts_with("1: it is ") && said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_few_lines_that_cannot_be_read_are_passed_over_and_counted() {
        let good = line("01.0", "a", OK);
        let torn = &good[..30];
        let late = good.replace("2026", "then");
        let text = format!("\u{feff}{good}{torn}{good}{good}{late}{good}\u{1f}\n{good}tail");
        let log = read_log(text.as_bytes(), None).unwrap();
        assert_eq!((log.requests.len(), log.skipped, log.unreadable), (4, 0, 4));
        let only_begun = read_log(torn.as_bytes(), None).unwrap();
        assert_eq!((only_begun.requests.len(), only_begun.skipped, only_begun.unreadable), (0, 1, 0));
    }
}
