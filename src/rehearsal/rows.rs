use std::io::Read;

use crate::model::Micros;

use super::lines::{Lines, TraceError, foreign, without_mark};
use super::routes::Routes;
use super::trace::{Malformed, Request, is_header, text};

/// The requests of a trace, one by one, from whatever can be read.
#[derive(Debug)]
pub struct Rows<R> {
    lines: Lines<R>,
    last: Micros,
    routes: Routes,
}

impl<R: Read> Rows<R> {
    /// The rows of a trace. Nothing is read yet.
    pub fn new(input: R) -> Self {
        Self { lines: Lines::new(input), last: Micros(0), routes: Routes::default() }
    }

    /// The routes that the rows so far name.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The next request; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Request>, TraceError> {
        if self.lines.number() == 0 {
            self.read_header()?;
        }
        loop {
            let Some(line) = self.lines.read()? else { return Ok(None) };
            if line.is_empty() {
                continue; // It says nothing.
            }
            let request = match Request::parse(line, &mut self.routes) {
                Ok(request) if request.start >= self.last => request,
                Ok(_) => return Err(self.lines.wrong(Malformed::Unsorted)),
                Err(what) => return Err(self.lines.wrong(what)),
            };
            self.last = request.start;
            return Ok(Some(request));
        }
    }

    fn read_header(&mut self) -> Result<(), TraceError> {
        let what = match self.lines.read()? {
            None => return Err(TraceError::Line { line: 1, what: Malformed::Empty }),
            Some(line) => {
                let line = without_mark(line);
                if is_header(line) {
                    return Ok(());
                }
                match foreign(line, "") {
                    Some(what) => what,
                    None if line.starts_with(b"{") => Malformed::Log,
                    None => Malformed::Header(text(line)),
                }
            }
        };
        Err(self.lines.wrong(what))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::lines::BUFFER;
    use super::super::trace::HEADER;
    use super::*;

    /// Hands out as many bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(input: impl Read) -> Result<Vec<u64>, (u64, Malformed)> {
        let mut rows = Rows::new(input);
        let mut starts = Vec::new();
        loop {
            match rows.read() {
                Ok(Some(request)) => starts.push(request.start.0),
                Ok(None) => return Ok(starts),
                Err(TraceError::Line { line, what }) => return Err((line, what)),
                Err(TraceError::Io(error)) => panic!("{error}"),
            }
        }
    }

    fn trace(rows: &str) -> String {
        format!("{HEADER}\n{rows}")
    }

    #[test]
    fn rows_are_the_same_in_whatever_pieces_they_come() {
        let rows: Vec<String> = (0..100).map(|at| format!("{at},helios,ok,1.5,/{at}")).collect();
        let wanted: Vec<u64> = (0..100).map(|at| at * 1_000_000).collect();
        for end in ["\n", "\r\n", "\n\n"] {
            let whole = format!("{HEADER}{end}{}", rows.join(end));
            for text in [whole.clone(), format!("{whole}{end}"), format!("\u{feff}{whole}")] {
                for size in [1, 2, 7, 100, usize::MAX] {
                    let read = read(Dripping(text.as_bytes(), size));
                    assert_eq!(read.as_ref(), Ok(&wanted), "{size} bytes at a time, {end:?}");
                }
            }
        }
        assert_eq!(read(trace("").as_bytes()), Ok(Vec::new()));
        assert_eq!(read(HEADER.as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        let good = "1,helios,ok,1,/\n";
        for (text, line, what) in [
            (String::new(), 1, Malformed::Empty),
            ("\n".to_owned(), 1, Malformed::Header(String::new())),
            (good.to_owned(), 1, Malformed::Header(good.trim().to_owned())),
            ("\u{1f}".to_owned(), 1, Malformed::Header("\u{1f}".to_owned())),
            (trace(&format!("{good}0.5,helios,ok,1,/")), 3, Malformed::Unsorted),
            (trace(&format!("{good}\n2,helios,ok,1")), 4, Malformed::Fields(4)),
            (trace(&format!("{good}{HEADER}\n")), 3, Malformed::Start("start_s".to_owned())),
        ] {
            assert_eq!(read(text.as_bytes()), Err((line, what)), "{text:?}");
        }
        let compressed = Malformed::Compressed { unpack: "zcat", flags: "" };
        assert_eq!(read(&b"\x1f\x8b\x08\0"[..]), Err((1, compressed)));
        assert_eq!(read(&b"{\"time\":\"2026\"}\n"[..]), Err((1, Malformed::Log)));
        let endless = io::repeat(b'x');
        assert_eq!(read(endless), Err((1, Malformed::TooLong(BUFFER))));
        let endless = io::Cursor::new(trace(good)).chain(io::repeat(b'0'));
        assert_eq!(read(endless), Err((3, Malformed::TooLong(BUFFER))));
    }

    #[test]
    fn a_header_may_be_quoted_as_spreadsheets_do() {
        let quoted = HEADER.split(',').map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        for header in [quoted, HEADER.replace("side", "\"side\"")] {
            assert_eq!(read(format!("{header}\n1,helios,ok,INF,/").as_bytes()), Ok(vec![1_000_000]));
        }
        let more = format!("{HEADER},more\n");
        assert_eq!(read(more.as_bytes()), Err((1, Malformed::Header(more.trim().to_owned()))));
    }

    #[test]
    fn the_longest_line_is_read() {
        let route = "r".repeat(BUFFER - 20);
        let text = trace(&format!("1,helios,ok,1,/\n2,helios,ok,1,{route}\n3,helios,ok,1,/"));
        assert_eq!(read(text.as_bytes()), Ok(vec![1_000_000, 2_000_000, 3_000_000]));
    }
}
