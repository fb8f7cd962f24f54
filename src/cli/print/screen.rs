use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use terminal_size::terminal_size_of;

/// What is written on.
pub(in crate::cli) struct Screen {
    /// How wide it is; `None` where nothing is cut.
    width: Option<usize>,
    /// Whether it takes colour.
    colour: bool,
}

/// What colour says of a text. Whatever is good or usual has none, so that what has one is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    #[default]
    Plain,
    /// Something waits, for a person or for a while.
    Waiting,
    /// Something is worse, held, or failed.
    Bad,
}

/// When there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum WhenColour {
    /// On a terminal, unless `NO_COLOR` is set or TERM is dumb.
    Auto,
    Always,
    Never,
}

impl Screen {
    /// Paper: nothing is cut, and it has no colour.
    pub(in crate::cli) const PAPER: Self = Self { width: None, colour: false };

    /// A terminal of this width.
    #[cfg(test)]
    pub(in crate::cli) fn of_width(width: usize) -> Self {
        Self { width: Some(width), colour: false }
    }

    /// What standard output is.
    pub(in crate::cli) fn of_output() -> Self {
        let colour = AutoStream::choice(&stdout()) != ColorChoice::Never;
        Self { width: stdout().is_terminal().then(width).flatten(), colour }
    }

    pub(in crate::cli) fn width(&self) -> Option<usize> {
        self.width
    }

    /// The text in its colour.
    pub(in crate::cli) fn paint(&self, tone: Tone, text: &str) -> String {
        let style: Style = match tone {
            Tone::Waiting if self.colour => AnsiColor::Yellow.on_default(),
            Tone::Bad if self.colour => AnsiColor::Red.on_default(),
            Tone::Plain | Tone::Waiting | Tone::Bad => return text.to_owned(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// The width of the terminal on standard output, or what `COLUMNS` says in its place.
fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let said = said.filter(|columns| *columns > 0);
    said.or_else(|| Some(usize::from(terminal_size_of(stdout())?.0.0)).filter(|columns| *columns > 0))
}

/// Whether standard error takes colour.
pub(in crate::cli) fn complaints_take_colour() -> bool {
    AutoStream::choice(&stderr()) != ColorChoice::Never
}

impl WhenColour {
    /// What is wanted among these arguments, whatever else is in them: help and complaints about arguments have colours, too.
    pub(in crate::cli) fn among(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
        let mut words = words.take_while(|word| word != "--");
        let mut wanted = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            wanted = value.and_then(|value| Self::from_str(&value, false).ok()).unwrap_or(wanted);
        }
        wanted
    }

    /// From here on this is so for everything that is written.
    pub(in crate::cli) fn apply(self) {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_good_has_a_colour_and_paper_has_none() {
        let screen = Screen { width: None, colour: true };
        let [plain, waiting, bad] =
            [Tone::Plain, Tone::Waiting, Tone::Bad].map(|tone| screen.paint(tone, "x"));
        assert_eq!(
            (plain.as_str(), waiting.as_str(), bad.as_str()),
            ("x", "\u{1b}[33mx\u{1b}[0m", "\u{1b}[31mx\u{1b}[0m")
        );
        assert_eq!(Screen::PAPER.paint(Tone::Bad, "x"), "x");
    }

    #[test]
    fn the_wanted_colour_is_found_wherever_it_is_said() {
        for (arguments, wanted) in [
            ("switchback status", WhenColour::Auto),
            ("switchback status --color never", WhenColour::Never),
            ("switchback --color=always status --nonsense", WhenColour::Always),
            ("switchback --color", WhenColour::Auto),
            ("switchback --color=purple", WhenColour::Auto),
            ("switchback status -- --color never", WhenColour::Auto),
        ] {
            let arguments = arguments.split(' ').map(OsString::from);
            assert_eq!(WhenColour::among(arguments.clone()), wanted, "{arguments:?}");
        }
    }
}
