use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::files::SimpleFile;
use codespan_reporting::term;
use codespan_reporting::term::termcolor::{Ansi, NoColor, WriteColor};

use super::fault::Fault;

/// Faults as people read them: what, where with a caret, and how to mend it; in colour for a terminal.
pub fn render(faults: &[Fault], colour: bool) -> String {
    let text = if colour {
        let mut writer = Ansi::new(Vec::new());
        write(faults, &mut writer);
        writer.into_inner()
    } else {
        let mut writer = NoColor::new(Vec::new());
        write(faults, &mut writer);
        writer.into_inner()
    };
    String::from_utf8_lossy(&text).into_owned()
}

fn write(faults: &[Fault], writer: &mut dyn WriteColor) {
    let config = term::Config::default();
    for fault in faults {
        let file = SimpleFile::new(fault.path().display().to_string(), fault.source.text.as_str());
        let end = fault.source.text.len();
        let span = fault.span.clone().unwrap_or(0..0);
        let span = span.start.min(end)..span.end.min(end);
        let diagnostic = Diagnostic::error()
            .with_message(&fault.message)
            .with_labels(vec![Label::primary((), span).with_message(&fault.label)])
            .with_notes(fault.help.iter().map(|help| format!("help: {help}")).collect());
        // Writing to memory does not fail, and a fault whose place is off is still a fault.
        if term::emit_to_write_style(writer, &config, &file, &diagnostic).is_err() {
            let _ = writeln!(writer, "error: {}: {}\n", fault.path().display(), fault.message);
        }
    }
}
