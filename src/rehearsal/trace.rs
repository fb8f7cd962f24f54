use std::borrow::Cow;

use crate::model::{Micros, Side};

use super::routes::Routes;

/// One request as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it came, since the trace began.
    pub start: Micros,
    /// The side that it was dealt to.
    pub side: Side,
    /// Whether the side failed.
    pub failed: bool,
    /// The time to the head of its answer; `None` if there never was one.
    pub latency: Option<Micros>,
    /// Its route, as a number in [`Routes`].
    pub route: u32,
}

/// The first line of a trace.
pub const HEADER: &str = "start_s,side,outcome,latency_ms,route";

/// What is wrong with a line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is not even the header.
    #[error("an empty trace: the first line must be `{HEADER}`")]
    Empty,
    /// It is not the header.
    #[error("the first line must be `{HEADER}`, and is {0:?}")]
    Header(String),
    /// An access log that was not said to be one.
    #[error("the first line must be `{HEADER}`, and is JSON: if this is an access log, add --from-log")]
    Log,
    /// It was not unpacked.
    #[error("it is compressed: unpack it first, as in `{unpack} FILE | switchback replay {flags}-`")]
    Compressed {
        /// What unpacks it.
        unpack: &'static str,
        /// What must be said of what comes out: nothing, or that it is a log.
        flags: &'static str,
    },
    /// As some programs of Windows write text.
    #[error("it is UTF-16: write it as UTF-8, as with `iconv -f UTF-16 -t UTF-8 FILE`")]
    Utf16,
    /// Too few fields.
    #[error("{0} of 5 fields: {HEADER}")]
    Fields(usize),
    /// Not a time.
    #[error("start_s is not a number of seconds: {0:?}")]
    Start(String),
    /// Earlier than the line before it.
    #[error("start_s is earlier than in the line before: sort the trace by it")]
    Unsorted,
    /// Not a side.
    #[error("side is neither helios nor kubernetes: {0:?}")]
    Side(String),
    /// Not an outcome.
    #[error("outcome is neither ok nor error: {0:?}")]
    Outcome(String),
    /// Not a latency.
    #[error("latency_ms is not a number of milliseconds, inf, or empty: {0:?}")]
    Latency(String),
    /// A route with neither a name nor a place on the line.
    #[error("route is not UTF-8")]
    Route,
    /// A quotation mark too few.
    #[error("a quotation mark is not closed")]
    Quotes,
    /// Not of an access log.
    #[error("not a line of an access log: {0}")]
    Record(String),
    /// Not a moment.
    #[error("time is not one of RFC 3339: {0:?}")]
    Time(String),
    /// No line of a trace.
    #[error("longer than {0} bytes: no line of a trace is")]
    TooLong(usize),
}

/// Longer than any trace: a thousand years.
const LONGEST_S: f64 = 3.2e10;
/// Decimals of a second, and of a millisecond, that are told apart: microseconds.
const OF_SECONDS: usize = 6;
const OF_MILLISECONDS: usize = 3;

impl Request {
    /// Reads a line of a trace, without its end.
    pub fn parse(line: &[u8], routes: &mut Routes) -> Result<Self, Malformed> {
        match Self::read_plain(line, routes) {
            Some(request) => Ok(request),
            // What is not as most lines are is looked at with care.
            None => Self::read(line, routes),
        }
    }

    /// Reads a line that is as plain as most: this decides how fast a trace is read.
    fn read_plain(line: &[u8], routes: &mut Routes) -> Option<Self> {
        let (start, rest) = decimal::<OF_SECONDS>(line)?;
        let rest = rest.strip_prefix(b",")?;
        let (side, rest) = match rest.strip_prefix(b"helios,") {
            Some(rest) => (Side::Helios, rest),
            None => (Side::Kubernetes, rest.strip_prefix(b"kubernetes,")?),
        };
        let (failed, rest) = match rest.strip_prefix(b"ok,") {
            Some(rest) => (false, rest),
            None => (true, rest.strip_prefix(b"error,")?),
        };
        let (latency, rest) = match rest {
            [b',', ..] => (None, rest),
            _ => decimal::<OF_MILLISECONDS>(rest).map(|(us, rest)| (Some(Micros(us)), rest))?,
        };
        let route = rest.strip_prefix(b",").filter(|route| route.first() != Some(&b'"'))?;
        let route = routes.number_of(route)?;
        (start < LONGEST.0 && latency.is_none_or(|latency| latency < LONGEST)).then_some(Self {
            start: Micros(start),
            side,
            failed,
            latency,
            route,
        })
    }

    /// Reads any line, and says what is wrong with it.
    fn read(line: &[u8], routes: &mut Routes) -> Result<Self, Malformed> {
        let [start, side, outcome, latency, route] = fields(line)?;
        let start = micros::<OF_SECONDS>(&start).ok_or_else(|| Malformed::Start(text(&start)))?;
        let side = match &*side {
            b"helios" => Side::Helios,
            b"kubernetes" => Side::Kubernetes,
            other => return Err(Malformed::Side(text(other))),
        };
        let failed = match &*outcome {
            b"ok" => false,
            b"error" => true,
            other => return Err(Malformed::Outcome(text(other))),
        };
        let latency = match &*latency {
            b"" => None,
            field if field.eq_ignore_ascii_case(b"inf") => None,
            field => Some(micros::<OF_MILLISECONDS>(field).ok_or_else(|| Malformed::Latency(text(field)))?),
        };
        let route = routes.number_of(&route).ok_or(Malformed::Route)?;
        Ok(Self { start, side, failed, latency, route })
    }

    /// Writes the line of a trace, with its end, behind what is there.
    pub fn write(&self, routes: &Routes, line: &mut String) {
        use std::fmt::Write as _;
        let outcome = if self.failed { "error" } else { "ok" };
        let Micros(start) = self.start;
        // Writing to a String does not fail.
        let _ = write!(line, "{}.{:06},{},{outcome},", start / 1_000_000, start % 1_000_000, self.side);
        if let Some(Micros(us)) = self.latency {
            let _ = write!(line, "{}.{:03}", us / 1_000, us % 1_000);
        }
        // A line ends where it ends, also within quotation marks.
        let name = routes.name(self.route).replace(char::is_control, " ");
        let _ = if name.contains(['"', ',']) {
            writeln!(line, ",\"{}\"", name.replace('"', "\"\""))
        } else {
            writeln!(line, ",{name}")
        };
    }
}

const LONGEST: Micros = Micros(32_000_000_000_000_000);

/// Whether a line is the header, quoted or not.
pub(super) fn is_header(line: &[u8]) -> bool {
    fields(line).is_ok_and(|fields| {
        fields.iter().map(|field| &**field).eq(HEADER.as_bytes().split(|byte| *byte == b','))
    })
}

/// Splits a line where CSV does. A route may contain commas also without quotation marks: it is the last.
fn fields(line: &[u8]) -> Result<[Cow<'_, [u8]>; 5], Malformed> {
    let mut fields = std::array::from_fn(|_| Cow::Borrowed(&line[..0]));
    let mut rest = line;
    for (place, slot) in fields.iter_mut().enumerate() {
        let (field, behind) = match rest {
            [b'"', quoted @ ..] => unquote(quoted)?,
            _ if place == 4 => (Cow::Borrowed(rest), &rest[rest.len()..]),
            _ => {
                let (field, behind) = rest.split_at(memchr::memchr(b',', rest).unwrap_or(rest.len()));
                (Cow::Borrowed(field), behind)
            }
        };
        *slot = field;
        match (behind, place) {
            ([b',', behind @ ..], 0..4) => rest = behind,
            ([], 4) => {}
            ([], _) => return Err(Malformed::Fields(place + 1)),
            _ => return Err(Malformed::Quotes),
        }
    }
    Ok(fields)
}

/// What stands up to the closing quotation mark, and what follows; two quotation marks are one within.
fn unquote(quoted: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let mut inner = Cow::Borrowed(&quoted[..0]);
    let mut rest = quoted;
    loop {
        let end = memchr::memchr(b'"', rest).ok_or(Malformed::Quotes)?;
        if inner.is_empty() {
            inner = Cow::Borrowed(&rest[..end]);
        } else {
            inner.to_mut().extend_from_slice(&rest[..end]);
        }
        rest = &rest[end + 1..];
        let [b'"', behind @ ..] = rest else { return Ok((inner, rest)) };
        inner.to_mut().push(b'"');
        rest = behind;
    }
}

/// A plain decimal such as `12.345` in units of its last place but so many, rounded half up, and what follows.
/// `None` for anything else that may be a number, and for what is too long to be exact.
fn decimal<const PLACES: usize>(text: &[u8]) -> Option<(u64, &[u8])> {
    /// With six places behind them these fit twice over.
    const MOST_DIGITS: usize = 12;
    let digit = |at: usize| text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let (mut value, mut at) = (0, 0);
    while let Some(digit) = digit(at) {
        value = value * 10 + u64::from(digit);
        at += 1;
        if at > MOST_DIGITS {
            return None;
        }
    }
    if at == 0 {
        return None;
    }
    let (mut places, mut up) = (0, 0);
    if text.get(at) == Some(&b'.') {
        at += 1;
        while let Some(digit) = digit(at) {
            if places < PLACES {
                value = value * 10 + u64::from(digit);
                places += 1;
            } else if places == PLACES {
                up = u64::from(digit >= 5);
                places += 1;
            }
            at += 1;
        }
        if places == 0 {
            return None;
        }
    }
    for _ in places..PLACES {
        value *= 10;
    }
    Some((value + up, &text[at..]))
}

/// A number in microseconds, however it is written.
fn micros<const PLACES: usize>(field: &[u8]) -> Option<Micros> {
    let scale = 10_f64.powi(i32::try_from(PLACES).unwrap_or(0));
    if let Some((us, [])) = decimal::<PLACES>(field) {
        return Some(Micros(us)).filter(|us| *us < LONGEST);
    }
    let number: f64 = std::str::from_utf8(field).ok()?.parse().ok()?;
    let us = Some(number * scale).filter(|us| (0.0..LONGEST_S * 1e6).contains(us))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    return Some(Micros(us.round() as u64));
}

/// The beginning of a field, for a message.
pub(super) fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&field[..field.len().min(60)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<(Request, String), Malformed> {
        let mut routes = Routes::default();
        let request = Request::parse(line, &mut routes)?;
        Ok((request, routes.name(request.route).to_owned()))
    }

    fn check(line: &str, start_us: u64, latency_us: Option<u64>, route: &str) {
        let (request, name) = parse(line.as_bytes()).unwrap();
        assert_eq!(
            (request.start.0, request.latency.map(|us| us.0), name.as_str()),
            (start_us, latency_us, route),
            "{line}"
        );
    }

    #[test]
    fn numbers_are_read_however_they_are_written() {
        for (text, us) in [
            ("0", 0),
            ("12", 12_000_000),
            ("12.5", 12_500_000),
            ("0.000001", 1),
            ("0.0000014", 1),
            ("0.0000015", 2),
            ("0.00000149999999999999999999999", 1),
            ("000012.500000000000", 12_500_000),
            ("1790000000.123456", 1_790_000_000_123_456),
            ("1e3", 1_000_000_000),
            ("+1.5", 1_500_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("-0", 0),
            ("0000000000000000000012.25", 12_250_000),
        ] {
            check(&format!("{text},helios,ok,1,/"), us, Some(1_000), "/");
            check(&format!("0,helios,ok,{text},/"), 0, Some((us + 500) / 1_000), "/");
        }
        for text in
            ["", " 1", "1 ", "-1", "nan", "infinity", "1e30", "1_000", "0x10", "1,5", "3200000000000", "١"]
        {
            let line = format!("{text},helios,ok,1,/");
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn every_fault_of_a_line_is_named() {
        for (line, fault) in [
            (&b"x,helios,ok,1,/"[..], Malformed::Start("x".to_owned())),
            (b"-1,helios,ok,1,/", Malformed::Start("-1".to_owned())),
            (b"\xff,helios,ok,1,/", Malformed::Start("\u{fffd}".to_owned())),
            (b"1,Helios,ok,1,/", Malformed::Side("Helios".to_owned())),
            (b"1,,ok,1,/", Malformed::Side(String::new())),
            (b"1,helios,fine,1,/", Malformed::Outcome("fine".to_owned())),
            (b"1,helios,ok,fast,/", Malformed::Latency("fast".to_owned())),
            (b"1,helios,ok,-1,/", Malformed::Latency("-1".to_owned())),
            (b"1,helios,ok,nan,/", Malformed::Latency("nan".to_owned())),
            (b"1,helios,ok,1", Malformed::Fields(4)),
            (b"1", Malformed::Fields(1)),
            (b"1,helios,ok,1,/\xff", Malformed::Route),
            (b"1,helios,ok,1,\"/", Malformed::Quotes),
            (b"1,helios,ok,1,\"/\"x", Malformed::Quotes),
        ] {
            assert_eq!(parse(line).unwrap_err(), fault, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_route_may_be_any_text_and_quoted_as_in_csv() {
        for (field, route) in [
            ("GET /a", "GET /a"),
            ("", ""),
            ("GET /a,b,c", "GET /a,b,c"),
            ("GET /\"a\"", "GET /\"a\""),
            ("\"GET /a,b\"", "GET /a,b"),
            ("\"GET /\"\"a\"\"\"", "GET /\"a\""),
            ("\"\"", ""),
            ("\"\"\"\"", "\""),
            ("\"\"\"a\"", "\"a"),
            ("GET /é", "GET /é"),
        ] {
            check(&format!("1,helios,ok,1,{field}"), 1_000_000, Some(1_000), route);
        }
        check("\"1\",\"helios\",\"ok\",\"\",\"/\"", 1_000_000, None, "/");
        for latency in ["", "inf", "INF", "Inf", "\"inf\""] {
            check(&format!("1,kubernetes,error,{latency},/"), 1_000_000, None, "/");
        }
    }

    #[test]
    fn a_route_is_written_on_one_line_whatever_it_is() {
        let mut routes = Routes::default();
        let route = routes.number("GET /a\r\n,\tb");
        let request = Request { start: Micros(0), side: Side::Helios, failed: false, latency: None, route };
        let mut line = String::new();
        request.write(&routes, &mut line);
        assert_eq!(line, "0.000000,helios,ok,,\"GET /a  , b\"\n");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut routes = Routes::default();
        for (at, route) in [(0, "GET /a"), (1, "a,b"), (1_234_567, "\"q\""), (1 << 52, "")] {
            for latency in [None, Some(Micros(0)), Some(Micros(1_001)), Some(Micros(15_000_000))] {
                let number = routes.number(route);
                let request = Request {
                    start: Micros(at),
                    side: Side::Kubernetes,
                    failed: latency.is_none(),
                    latency,
                    route: number,
                };
                let mut line = String::new();
                request.write(&routes, &mut line);
                let line = line.strip_suffix('\n').unwrap();
                assert_eq!(Request::parse(line.as_bytes(), &mut routes), Ok(request), "{line}");
            }
        }
    }
}
