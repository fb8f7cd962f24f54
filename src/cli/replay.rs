use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::config::{JudgeConfig, JudgeMode, in_words};
use crate::model::{Micros, Millis};
use crate::rehearsal::{
    Conduct, Decision, DecisionRecord, HEADER, Hearing, Log, LogError, Picture, Request, Routes, Rows,
    Summary, SummaryRecord, TraceError, read_log,
};
use crate::verdict::{Rule, Verdict};

use super::Failure;
use super::complete::services;
use super::judged_by::JudgedBy;
use super::print::{Lines, complain, counted, is_standard};

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(super) struct ReplayTrace {
    /// A CSV file with the header `start_s,side,outcome,latency_ms,route`, sorted by `start_s`; `-` reads standard
    /// input.
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    #[command(flatten)]
    judged_by: JudgedBy,
    /// Goes on after a revert, as if somebody released the service at once.
    #[arg(long)]
    keep_going: bool,
    /// Draws what happened and what was decided, second by second, as an SVG file.
    #[arg(long, value_name = "FILE.svg", value_parser = PathBufValueParser::new().try_map(a_file))]
    plot: Option<PathBuf>,
    /// TRACE is the access log of a running Switchback.
    #[arg(long)]
    from_log: bool,
    /// The service whose requests are judged, if the log has several.
    #[arg(long, value_name = "NAME", requires = "from_log", add = services())]
    service_name: Option<String>,
    /// Writes the log's requests as a trace, and judges nothing; `-` writes to standard output.
    #[arg(long, value_name = "FILE.csv", requires = "from_log", conflicts_with = "plot")]
    write_trace: Option<PathBuf>,
    /// Prints nothing for people: JSON lines only.
    #[arg(long)]
    json: bool,
}

impl ReplayTrace {
    pub(super) fn run(self) -> Result<(), Failure> {
        let judge = self.judged_by.judge()?;
        let input = self.open()?;
        for output in self.plot.iter().chain(&self.write_trace) {
            self.spare_inputs(output)?;
        }
        // Whoever waits for a long trace is told before that there is no room for its picture.
        let plot = self.plot.as_deref().map(Lines::to).transpose()?;
        if !self.from_log {
            return self.judge_rows(Rows::new(input), self.session(judge, None, plot));
        }
        let log = read_log(input, self.service_name.as_deref()).map_err(|error| match error {
            LogError::Unreadable(error) => self.malformed(&error),
            other => Failure::Refused(other.to_string()),
        })?;
        if let Some(path) = &self.write_trace {
            return self.write(&log, path);
        }
        let mut session = self.session(judge, Some(&log), plot);
        for request in &log.requests {
            session.take(request, &log.routes)?;
        }
        self.conclude(session, &log.routes)
    }

    fn judge_rows(&self, mut rows: Rows<impl Read>, mut session: Session<'_>) -> Result<(), Failure> {
        loop {
            match rows.read() {
                Ok(Some(request)) => session.take(&request, rows.routes())?,
                Ok(None) => return self.conclude(session, rows.routes()),
                Err(error) => {
                    // What was read up to there is drawn.
                    self.draw(&mut session)?;
                    return Err(self.malformed(&error));
                }
            }
        }
    }

    /// Refuses to write over what is read.
    fn spare_inputs(&self, output: &Path) -> Result<(), Failure> {
        let identity = |path: &Path| {
            let file = fs::metadata(path).ok().filter(Metadata::is_file)?;
            Some((file.dev(), file.ino()))
        };
        let trace = if is_standard(&self.trace) { Path::new("/dev/stdin") } else { &self.trace };
        let inputs = [Some(trace), self.judged_by.service.as_deref()];
        let written = identity(output);
        if written.is_some() && inputs.into_iter().flatten().any(|input| identity(input) == written) {
            let name = output.display();
            return Err(Failure::Refused(format!("{name} would be written over itself: name another file")));
        }
        Ok(())
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

    fn session<'a>(
        &self,
        JudgeConfig { mode, rule }: JudgeConfig,
        log: Option<&'a Log>,
        plot: Option<Lines>,
    ) -> Session<'a> {
        Session {
            hearing: Hearing::new(rule, conduct(mode, self.keep_going)),
            rule,
            log,
            out: Lines::to_standard_output(),
            picture: plot.as_ref().map(|_| Picture::default()),
            plot,
            drawn: Millis(0),
            taken: 0,
        }
    }

    fn conclude(&self, mut session: Session<'_>, routes: &Routes) -> Result<(), Failure> {
        let summary = session.end(routes)?;
        self.draw(&mut session)?;
        if !self.json {
            complain(&in_few_words(&summary, &session.rule, session.log));
        }
        Ok(())
    }

    fn draw(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (Some(out), Some(picture)) = (&mut session.plot, &session.picture) else { return Ok(()) };
        let name =
            if is_standard(&self.trace) { "standard input".into() } else { self.trace.to_string_lossy() };
        out.write(&picture.draw(&format!("{name}: {}", counted(session.taken, "request"))))?;
        out.flush()
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
            let began = match log.requests.as_slice() {
                [] => String::new(),
                _ => format!("; second 0 is {}", log.time(Micros(0))),
            };
            let requests = counted(log.requests.len() as u64, "request");
            complain(&format!("{requests} written{}{began}", passed_over(log)));
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
    /// Where the picture goes.
    plot: Option<Lines>,
    /// Requests so far.
    taken: u64,
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
        self.taken += 1;
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
        record.unreadable = log.map(|log| log.unreadable);
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

/// A picture does not go where decisions do.
fn a_file(path: PathBuf) -> Result<PathBuf, &'static str> {
    if is_standard(&path) { Err("standard output is for decisions: name a file") } else { Ok(path) }
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
    let skipped = log.map(passed_over).unwrap_or_default();
    let Some((from, to)) = summary.span else { return format!("no requests: nothing to judge{skipped}") };
    let lasted = in_words(Duration::from_micros(to.since(from).0));
    let promise = in_words(rule.false_revert_every);
    let decided = match summary.decisions {
        0 => "nothing was decided".to_owned(),
        1 => "one decision".to_owned(),
        more => format!("{more} decisions"),
    };
    let rows = counted(summary.rows, "request");
    let head = format!("{rows} in {lasted}{skipped}: {decided} (one false revert in {promise})");
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

/// Lines of a log that say nothing, if there are any: ` (2 lines are no evidence, 1 line cannot be read)`.
fn passed_over(log: &Log) -> String {
    let told = |number: u64, one: &str, more: &str| match number {
        0 => None,
        1 => Some(format!("1 line {one}")),
        _ => Some(format!("{number} lines {more}")),
    };
    let skipped = told(log.skipped, "is no evidence", "are no evidence");
    let unreadable = told(log.unreadable, "cannot be read", "cannot be read");
    let all: Vec<String> = skipped.into_iter().chain(unreadable).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

fn when_seen(seen_in: Option<Duration>) -> String {
    match seen_in {
        Some(seen_in) => format!("failures of 5% would be seen in {}", in_words(seen_in)),
        None => "failures of 5% would never be seen at these rates".to_owned(),
    }
}
