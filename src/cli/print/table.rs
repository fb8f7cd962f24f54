use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Screen, Tone};

/// A column of a table.
pub(in crate::cli) struct Column {
    head: String,
    way: Way,
}

/// What a column does where a terminal is too narrow. Those with the lowest number do it first.
#[derive(Clone, Copy)]
enum Way {
    Stays,
    Shortens(u8),
    Goes(u8),
}

/// What stands in one place of a table.
#[derive(Clone)]
pub(in crate::cli) struct Cell {
    text: String,
    tone: Tone,
}

/// Between two columns.
const GAP: usize = 2;
/// No column is shortened to less: of a name or a number too little would be left to tell it from others.
const LEAST: usize = 12;
/// What a text that belongs to a word needs beside it; where there is less it is not folded.
const LEAST_TEXT: usize = 24;

impl Column {
    /// A column without which the table says nothing.
    pub(in crate::cli) fn stays(head: impl Into<String>) -> Self {
        Self { head: head.into(), way: Way::Stays }
    }

    /// One of which the beginning says enough.
    pub(in crate::cli) fn shortens(turn: u8, head: impl Into<String>) -> Self {
        Self { head: head.into(), way: Way::Shortens(turn) }
    }

    /// One that is left out.
    pub(in crate::cli) fn goes(turn: u8, head: impl Into<String>) -> Self {
        Self { head: head.into(), way: Way::Goes(turn) }
    }

    fn turn(&self) -> Option<u8> {
        match self.way {
            Way::Stays => None,
            Way::Shortens(turn) | Way::Goes(turn) => Some(turn),
        }
    }
}

impl Cell {
    pub(in crate::cli) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        // A reason may have several lines, and a row is one.
        let text = text.into().replace(char::is_control, " ");
        Self { text, tone }
    }

    /// Cells of which none says more than its text.
    pub(in crate::cli) fn row(texts: Vec<String>) -> Vec<Self> {
        texts.into_iter().map(Self::from).collect()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table in columns as wide as their widest cell; the last is not padded. Where that is wider than the screen, columns
/// give way.
pub(in crate::cli) fn table(columns: &[Column], rows: &[Vec<Cell>], screen: &Screen) -> String {
    let heads: Vec<Cell> = columns.iter().map(|column| column.head.as_str().into()).collect();
    let heads = heads.iter().any(|head| !head.text.is_empty()).then_some(&heads);
    let rows: Vec<&Vec<Cell>> = heads.into_iter().chain(rows).collect();
    let widest =
        |place: usize| rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.text.width()).max();
    let natural: Vec<usize> = (0..columns.len()).map(|place| widest(place).unwrap_or(0)).collect();
    let widths = match screen.width() {
        Some(room) => fit(columns, &natural, room),
        None => natural.into_iter().map(Some).collect(),
    };
    let lines: Vec<String> = rows.into_iter().map(|row| line(row, &widths, screen)).collect();
    lines.join("\n")
}

/// How wide each column is, `None` for those that are left out: as few give way as will do.
fn fit(columns: &[Column], natural: &[usize], room: usize) -> Vec<Option<usize>> {
    let mut yielding: Vec<(u8, usize)> =
        columns.iter().enumerate().filter_map(|(place, column)| Some((column.turn()?, place))).collect();
    yielding.sort_unstable();
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    for count in 0..=yielding.len() {
        let asked = &yielding[..count];
        widths = natural.iter().copied().map(Some).collect();
        for (_, place) in asked.iter().filter(|(_, place)| matches!(columns[*place].way, Way::Goes(_))) {
            widths[*place] = None;
        }
        for (_, place) in asked {
            let over = total(&widths).saturating_sub(room);
            if let Some(width) = &mut widths[*place] {
                *width = width.saturating_sub(over).max(LEAST.min(*width));
            }
        }
        if total(&widths) <= room {
            break;
        }
    }
    crush(&mut widths, room);
    widths
}

/// Where all that may give way has, and it is still too wide, the last columns do: a row that wraps is worse.
fn crush(widths: &mut [Option<usize>], room: usize) {
    for place in (0..widths.len()).rev() {
        let over = total(widths).saturating_sub(room);
        match &mut widths[place] {
            Some(width) if *width > over => *width -= over,
            Some(_) if over > 0 && place > 0 => widths[place] = None,
            // Of one column there is a character left at least.
            Some(width) if over > 0 => *width = room.max(1),
            Some(_) | None => {}
        }
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let kept = widths.iter().flatten();
    kept.clone().sum::<usize>() + GAP * kept.count().saturating_sub(1)
}

fn line(row: &[Cell], widths: &[Option<usize>], screen: &Screen) -> String {
    let kept: Vec<(&Cell, usize)> =
        row.iter().zip(widths).filter_map(|(cell, width)| Some((cell, (*width)?))).collect();
    let last = kept.iter().rposition(|(cell, _)| !cell.text.is_empty());
    let mut line = String::new();
    for (place, (cell, width)) in kept.into_iter().enumerate() {
        let text = shortened(&cell.text, width);
        line.push_str(&screen.paint(cell.tone, &text));
        match last {
            Some(last) if place < last => {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width()) + GAP));
            }
            _ => break,
        }
    }
    line.trim_end().to_owned()
}

/// A line that is no wider than the screen.
pub(in crate::cli) fn one_line(text: &str, screen: &Screen) -> String {
    screen.width().map_or_else(|| text.to_owned(), |width| shortened(text, width))
}

/// The text, or its beginning and `…`.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |letter: &char| match left.checked_sub(letter.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let beginning: String = text.chars().take_while(fits).collect();
    format!("{}…", beginning.trim_end())
}

/// What belongs to each of some words. Where the screen is too narrow a text goes on below its beginning: what it says is
/// what somebody asked for.
pub(in crate::cli) fn facts(rows: &[[String; 2]], screen: &Screen) -> String {
    let indent = rows.iter().map(|[what, _]| what.width()).max().unwrap_or(0) + GAP;
    let room = screen.width().and_then(|width| width.checked_sub(indent)).filter(|room| *room >= LEAST_TEXT);
    let mut lines = Vec::new();
    for [what, text] in rows {
        let parts = match room {
            Some(room) => folded(text, room),
            None => vec![text.clone()],
        };
        for (place, part) in parts.iter().enumerate() {
            let what = if place == 0 { what } else { "" };
            let padding = " ".repeat(indent - what.width());
            lines.push(format!("{what}{padding}{part}").trim_end().to_owned());
        }
    }
    lines.join("\n")
}

/// The text in lines of this width. A longer word has a line of its own.
fn folded(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> [Column; 4] {
        [
            Column::stays("SERVICE"),
            Column::shortens(2, "WHY"),
            Column::goes(1, "SEEN"),
            Column::stays("VERDICT"),
        ]
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["playlist".into(), "override: someone, 2 h left".into(), "9/s".into(), "not worse".into()],
            vec!["スキー".into(), "file".into(), "–".into(), "worse".into()],
        ]
    }

    fn at(width: usize) -> String {
        table(&columns(), &rows(), &Screen::of_width(width))
    }

    #[test]
    fn columns_line_up_by_what_a_terminal_shows_of_them() {
        let whole = "\
SERVICE   WHY                          SEEN  VERDICT
playlist  override: someone, 2 h left  9/s   not worse
スキー    file                         –     worse";
        assert_eq!(table(&columns(), &rows(), &Screen::PAPER), whole);
        assert_eq!(at(54), whole, "what fits is left as it is");
    }

    #[test]
    fn columns_give_way_in_their_turn() {
        assert!(at(53).starts_with("SERVICE   WHY                          VERDICT\n"), "{}", at(53));
        assert_eq!(
            at(35),
            "\
SERVICE   WHY             VERDICT
playlist  override: som…  not worse
スキー    file            worse"
        );
    }

    #[test]
    fn no_row_is_wider_than_the_screen_however_narrow_that_is() {
        for width in 1..60 {
            for line in at(width).lines() {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_cell_is_one_line_and_has_no_say_over_the_terminal() {
        let rows = [vec![Cell::from("two\nlines\u{1b}[2J"), Cell::from("x")]];
        let columns = [Column::stays(""), Column::stays("")];
        assert_eq!(table(&columns, &rows, &Screen::PAPER), "two lines [2J  x");
    }

    #[test]
    fn texts_that_are_shortened_end_in_an_ellipsis_and_wide_letters_count_twice() {
        assert_eq!(shortened("playlist", 8), "playlist");
        assert_eq!(shortened("playlist", 5), "play…");
        assert_eq!(shortened("スキースキー", 6), "スキ…");
        assert_eq!(shortened("a b c", 3), "a…", "no blank stands before it");
        assert_eq!(shortened("playlist", 1), "…");
    }

    #[test]
    fn facts_are_folded_and_lose_nothing() {
        let fact = |what: &str, text: &str| [what.to_owned(), text.to_owned()];
        let rows = [fact("  what", "failures on Kubernetes: 61 of 118 in 1 s"), fact("", "short")];
        assert_eq!(
            facts(&rows, &Screen::PAPER),
            "  what  failures on Kubernetes: 61 of 118 in 1 s\n        short"
        );
        assert_eq!(
            facts(&rows, &Screen::of_width(35)),
            "  what  failures on Kubernetes: 61\n        of 118 in 1 s\n        short"
        );
        assert_eq!(facts(&rows, &Screen::of_width(20)), facts(&rows, &Screen::PAPER), "too narrow to fold");
    }
}
