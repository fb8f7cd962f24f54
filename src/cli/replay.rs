use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::config::{JudgeConfig, JudgeMode, in_words, load_service, parse_duration, render};
use crate::model::{Micros, Millis};
use crate::rehearsal::{
    Conduct, Decision, DecisionRecord, HEADER, Hearing, Log, LogError, Picture, Request, Routes, Rows,
    Summary, SummaryRecord, TraceError, read_log,
};
use crate::verdict::{Rule, Verdict};

use super::Failure;
use super::check::{colour, count};
use super::print::{Lines, complain, is_standard};

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(super) struct ReplayTrace {
    /// A CSV file with the header `start_s,side,outcome,latency_ms,route`, sorted by `start_s`; `-` reads standard
    /// input.
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// Judges by the [judge] section of this service's file.
    #[arg(long, value_name = "FILE")]
    service: Option<PathBuf>,
    /// The promise: one false revert in this time, such as 30d or 1y. Stronger than the service's file.
    #[arg(long, value_name = "DURATION", value_parser = parse_promise)]
    false_revert_every: Option<Duration>,
    /// Goes on after a revert, as if somebody released the service at once.
    #[arg(long)]
    keep_going: bool,
    /// Draws what happened and what was decided, second by second, as an SVG file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// TRACE is the access log of a running Switchback.
    #[arg(long)]
    from_log: bool,
    /// The service whose requests are judged, if the log has several.
    #[arg(long, value_name = "NAME", requires = "from_log")]
    service_name: Option<String>,
    /// Writes the log's requests as a trace, and judges nothing; `-` writes to standard output.
    #[arg(long, value_name = "FILE.csv", requires = "from_log", conflicts_with = "plot")]
    write_trace: Option<PathBuf>,
    /// Prints nothing for people: JSON lines only.
    #[arg(long)]
    json: bool,
}

/// The shortest promise, as in a service's file.
const SHORTEST_PROMISE: Duration = Duration::from_mins(1);

impl ReplayTrace {
    pub(super) fn run(self) -> Result<(), Failure> {
        let judge = self.judge()?;
        let input = self.open()?;
        if !self.from_log {
            let mut rows = Rows::new(input);
            let mut session = self.session(judge, None);
            while let Some(request) = rows.read().map_err(|error| self.malformed(&error))? {
                session.take(&request, rows.routes())?;
            }
            return self.conclude(session, rows.routes());
        }
        let log = read_log(input, self.service_name.as_deref()).map_err(|error| match error {
            LogError::Unreadable(error) => self.malformed(&error),
            other => Failure::Refused(other.to_string()),
        })?;
        if let Some(path) = &self.write_trace {
            return self.write(&log, path);
        }
        let mut session = self.session(judge, Some(&log));
        for request in &log.requests {
            session.take(request, &log.routes)?;
        }
        self.conclude(session, &log.routes)
    }

    /// The rule to judge by, and what its word leads to.
    fn judge(&self) -> Result<JudgeConfig, Failure> {
        let mut judge = match &self.service {
            None => JudgeConfig::default(),
            Some(path) => load_service(path).map(|service| service.judge).map_err(|faults| {
                complain(&format!("{}{}", render(&faults, colour()), count(faults.len())));
                Failure::Said
            })?,
        };
        if let Some(promise) = self.false_revert_every {
            judge.rule.false_revert_every = promise;
        }
        Ok(judge)
    }

    fn open(&self) -> Result<Box<dyn Read>, Failure> {
        if is_standard(&self.trace) {
            return Ok(Box::new(io::stdin().lock()));
        }
        let refused = |error| Failure::Refused(format!("{}: {error}", self.trace.display()));
        Ok(Box::new(File::open(&self.trace).map_err(refused)?))
    }

    /// What is wrong with the trace, as compilers say it.
    fn malformed(&self, error: &TraceError) -> Failure {
        let name = self.trace.display();
        match error {
            TraceError::Line { line, what } => complain(&format!("{name}:{line}: {what}")),
            TraceError::Io(error) => complain(&format!("{name}: {error}")),
        }
        Failure::Said
    }

    fn session<'a>(&self, JudgeConfig { mode, rule }: JudgeConfig, log: Option<&'a Log>) -> Session<'a> {
        Session {
            hearing: Hearing::new(rule, conduct(mode, self.keep_going)),
            rule,
            log,
            out: Lines::to_standard_output(),
            picture: self.plot.as_ref().map(|_| Picture::default()),
            drawn: Millis(0),
        }
    }

    fn conclude(&self, mut session: Session<'_>, routes: &Routes) -> Result<(), Failure> {
        let summary = session.end(routes)?;
        if let (Some(path), Some(picture)) = (&self.plot, &session.picture) {
            let name =
                if is_standard(&self.trace) { "standard input".into() } else { self.trace.to_string_lossy() };
            let title = format!("{name}: {} requests", summary.rows);
            std::fs::write(path, picture.draw(&title))
                .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?;
        }
        if !self.json {
            complain(&in_few_words(&summary, &session.rule, session.log));
        }
        Ok(())
    }

    fn write(&self, log: &Log, path: &Path) -> Result<(), Failure> {
        let mut out = Lines::to(path)?;
        out.write(&format!("{HEADER}\n"))?;
        let mut line = String::new();
        for request in &log.requests {
            line.clear();
            request.write(&log.routes, &mut line);
            out.write(&line)?;
        }
        out.flush()?;
        if !self.json {
            let began = log.time(Micros(0));
            complain(&format!(
                "{} requests written, {} lines skipped; second 0 is {began}",
                log.requests.len(),
                log.skipped
            ));
        }
        Ok(())
    }
}

/// A trace that is being judged, and what is told of it.
struct Session<'a> {
    hearing: Hearing,
    rule: Rule,
    /// Where the trace comes from, if it is a log.
    log: Option<&'a Log>,
    out: Lines,
    picture: Option<Picture>,
    /// The last tick whose evidence is in the picture.
    drawn: Millis,
}

impl Session<'_> {
    fn take(&mut self, request: &Request, routes: &Routes) -> Result<(), Failure> {
        let Self { hearing, out, picture, log, .. } = self;
        let mut told = Ok(());
        hearing.take(request, routes, &mut |decision| {
            told = std::mem::replace(&mut told, Ok(())).and_then(|()| tell(decision, *log, out, picture));
        });
        told?;
        if let Some(picture) = &mut self.picture {
            picture.add(request);
            self.draw_evidence();
        }
        Ok(())
    }

    fn end(&mut self, routes: &Routes) -> Result<Summary, Failure> {
        let Self { hearing, out, picture, log, .. } = self;
        let mut told = Ok(());
        let summary = hearing.end(routes, &mut |decision| {
            told = std::mem::replace(&mut told, Ok(())).and_then(|()| tell(decision, *log, out, picture));
        });
        told?;
        let mut record = SummaryRecord::new(&summary, &self.rule);
        record.skipped = log.map(|log| log.skipped);
        record.began = log.filter(|log| !log.requests.is_empty()).map(|log| log.time(Micros(0)));
        out.json(&record)?;
        Ok(summary)
    }

    fn draw_evidence(&mut self) {
        let now = self.hearing.now();
        if let Some(picture) = self.picture.as_mut().filter(|_| now > self.drawn && !self.hearing.is_over()) {
            self.drawn = now;
            picture.judge(now, &self.hearing.standing());
        }
    }
}

fn tell(
    decision: &Decision,
    log: Option<&Log>,
    out: &mut Lines,
    picture: &mut Option<Picture>,
) -> Result<(), Failure> {
    if let Some(picture) = picture {
        picture.decide(decision);
    }
    let time = log.map(|log| log.time(Micros(decision.finding.at.0 * 1_000)));
    out.json(&DecisionRecord { time, ..decision.into() })
}

/// Reads a promise.
pub(super) fn parse_promise(text: &str) -> Result<Duration, String> {
    let promise = parse_duration(text)?;
    if promise < SHORTEST_PROMISE { Err("at least 1m".to_owned()) } else { Ok(promise) }
}

fn conduct(mode: JudgeMode, keep_going: bool) -> Conduct {
    match mode {
        JudgeMode::Revert if keep_going => Conduct::RevertAndRelease,
        JudgeMode::Revert => Conduct::Revert,
        JudgeMode::Advise => Conduct::Advise { every: JudgeMode::ADVISE_EVERY },
        JudgeMode::Off => Conduct::Off,
    }
}

/// The summary as people read it.
fn in_few_words(summary: &Summary, rule: &Rule, log: Option<&Log>) -> String {
    let skipped = log.map_or(0, |log| log.skipped);
    let skipped = if skipped > 0 { format!(" ({skipped} lines are no evidence)") } else { String::new() };
    let Some((from, to)) = summary.span else { return format!("no requests: nothing to judge{skipped}") };
    let lasted = in_words(Duration::from_micros(to.since(from).0));
    let promise = in_words(rule.false_revert_every);
    let decided = match summary.decisions {
        0 => "nothing was decided".to_owned(),
        1 => "one decision".to_owned(),
        more => format!("{more} decisions"),
    };
    let rows = summary.rows;
    let head = format!("{rows} requests in {lasted}{skipped}: {decided} (one false revert in {promise})");
    let Some((at, standing)) = &summary.judged else {
        return format!("{head}; the service's judge is off, so nothing was judged");
    };
    let verdict = match (&standing.verdict, standing.seen_in) {
        (Verdict::Worse(finding), _) => format!(
            "worse at {} s: {}{}",
            at.seconds(),
            finding.question.in_words(),
            summary.route.as_ref().map(|route| format!(" on {route}")).unwrap_or_default(),
        ),
        (Verdict::Blind, _) => "blind at the end: Helios got nothing to compare with".to_owned(),
        (Verdict::NotWorse, seen_in) => format!("not worse at the end; {}", when_seen(seen_in)),
        (Verdict::TooLittleEvidence, seen_in) => {
            format!("too little evidence at the end; {}", when_seen(seen_in))
        }
    };
    format!("{head}; {verdict}")
}

fn when_seen(seen_in: Option<Duration>) -> String {
    match seen_in {
        Some(seen_in) => format!("failures of 5% would be seen in {}", in_words(seen_in)),
        None => "failures of 5% would never be seen at these rates".to_owned(),
    }
}
