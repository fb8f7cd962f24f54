use std::collections::VecDeque;
use std::io::{Stdout, stdout};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table, Widget, Wrap};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use crate::model::Side;

use super::live::Second;
use super::show::latency;

/// A few lines at the bottom of the terminal that change, under a story that scrolls. The terminal stays as it
/// was otherwise: Ctrl-C works, and everything can be scrolled back to.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Kubernetes' requests in the last seconds.
    history: VecDeque<u64>,
    colour: bool,
}

/// Lines that change.
const HEIGHT: u16 = 6;
/// Seconds of history.
const HISTORY: usize = 60;

const HELIOS: Color = Color::Yellow;
const KUBERNETES: Color = Color::Cyan;

impl Screen {
    /// `None` where the terminal does not answer.
    pub(super) fn open() -> Option<Self> {
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        let terminal = Terminal::with_options(CrosstermBackend::new(stdout()), options).ok()?;
        let colour = std::env::var_os("NO_COLOR").is_none();
        Some(Self { terminal, history: VecDeque::new(), colour })
    }

    /// Adds to the story.
    pub(super) fn tell(&mut self, text: &str) {
        let width = usize::from(self.terminal.size().map_or(80, |size| size.width)).max(20);
        let lines = u16::try_from(text.chars().count().div_ceil(width).max(1)).unwrap_or(1);
        let paragraph = Paragraph::new(text.to_owned()).wrap(Wrap { trim: false });
        // A terminal that has gone away is noticed by whoever looked at it.
        let _ = self.terminal.insert_before(lines, |buffer| paragraph.render(buffer.area, buffer));
    }

    /// Draws the last second.
    pub(super) fn draw(&mut self, second: &Second) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        self.history.push_back(second.sides.kubernetes.per_second as u64);
        let (history, colour) = (&self.history, self.colour);
        let _ = self.terminal.draw(|frame| paint(frame, second, history, colour));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let top = self.terminal.get_frame().area().y;
        let _ = self.terminal.clear();
        let _ = self.terminal.set_cursor_position((0, top));
        let _ = self.terminal.show_cursor();
    }
}

fn paint(frame: &mut Frame<'_>, second: &Second, history: &VecDeque<u64>, colour: bool) {
    let tint = |tint: Color| if colour { Style::new().fg(tint) } else { Style::new() };
    let [rule, bar, table, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from("─".repeat(rule.width.into())).dim(), rule);
    frame.render_widget(split_bar(second, bar, tint(HELIOS), tint(KUBERNETES)), bar);

    let row = |side: Side, style: Style| {
        let of_side = second.sides[side];
        let failed = Span::from(format!("{:6.1} %", of_side.failed * 100.0));
        let failed = if of_side.failed > 0.0 { failed.style(tint(Color::Red).bold()) } else { failed };
        Row::new(vec![
            Line::from(side.title()).style(style),
            Line::from(format!("{:6.0}/s", of_side.per_second)),
            Line::from(failed),
            Line::from(latency(&of_side)),
        ])
    };
    let widths = [Constraint::Length(11), Constraint::Length(9), Constraint::Length(9), Constraint::Min(24)];
    let heads = Row::new(["", "requests", "failed", "answered in"]).style(Style::new().dim());
    let rows = [heads, row(Side::Helios, tint(HELIOS)), row(Side::Kubernetes, tint(KUBERNETES))];
    let [left, right] = Layout::horizontal([Constraint::Length(58), Constraint::Min(0)]).areas(table);
    frame.render_widget(Table::new(rows, widths), left);
    frame.render_widget(Sparkline::default().data(history).style(tint(KUBERNETES)), right);

    let failed = format!("clients' requests that failed: {}", second.clients_failed);
    let failed_style = if second.clients_failed > 0 { tint(Color::Red).bold() } else { tint(Color::Green) };
    let rescued = format!("   rescued in this second: {}", second.rescued);
    frame.render_widget(Line::from(vec![Span::from(failed).style(failed_style), rescued.into()]), below);
}

/// The split as one bar: Helios' share, Kubernetes' share, and the weight.
fn split_bar(second: &Second, area: Rect, helios: Style, kubernetes: Style) -> Line<'static> {
    let label = format!(" weight {:.2}{}", second.weight_percent, if second.held { ", held" } else { "" });
    let room = f64::from(area.width) - label.len() as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the terminal")]
    let (all, on_kubernetes) =
        (room.max(0.0) as usize, (room.max(0.0) * second.weight_percent / 100.0).round() as usize);
    Line::from(vec![
        Span::from("█".repeat(all.saturating_sub(on_kubernetes))).style(helios),
        Span::from("█".repeat(on_kubernetes)).style(kubernetes),
        label.into(),
    ])
}
