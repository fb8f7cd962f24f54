use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fault::{Fault, Faults, Source};

/// Reads a file into its raw type, noting every fault of its shape.
///
/// TOML's own parser goes on after an error. serde does not: so what it stumbled over is taken out of the
/// document, and it is asked again, until it is content. Raw types have only optional fields, so nothing is
/// missed for having been taken out; [`Lost`] knows which absent fields have been complained about already.
pub(super) fn parse<T: DeserializeOwned + Default>(
    source: &Arc<Source>,
    found: &mut Vec<Fault>,
) -> (T, Lost) {
    let mut lost = Lost::default();
    let mut faults = Faults::of(source, found);
    let (mut document, errors) = DeTable::parse_recoverable(&source.text);
    let mut broken_lines = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        broken_lines.push(source.place(span.start).0);
        let fault = faults.at(&span, "not TOML", error.message());
        if let Some(help) = mend_of_syntax(error.message(), &source.text[..span.start]) {
            fault.help(help);
        }
        lost.anything = true;
    }
    let raw = loop {
        match T::deserialize(toml::de::Deserializer::from(document.clone())) {
            Ok(raw) => break raw,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                // What follows from broken syntax on the same line has been said.
                if !broken_lines.contains(&source.place(span.start).0) {
                    lost.keys.extend(explain(&mut faults, &span, error.message()));
                }
                let Some(key) = take_out(document.get_mut(), span.start) else {
                    lost.anything = true;
                    break T::default();
                };
                lost.keys.push(key);
            }
        }
    };
    (raw, lost)
}

/// What is absent from a raw value because it was at fault.
#[derive(Debug, Default)]
pub(super) struct Lost {
    keys: Vec<String>,
    anything: bool,
}

impl Lost {
    /// Whether this key's absence has been explained.
    pub(super) fn has(&self, key: &str) -> bool {
        self.anything || self.keys.iter().any(|lost| lost == key)
    }
}

/// Puts serde's message into this program's words; tells which key was probably meant.
fn explain(faults: &mut Faults<'_>, span: &Range<usize>, message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            let meant = close(unknown, known);
            let help = match meant {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys here are {}", list(known)),
            };
            faults.at(span, "unknown key", "nothing has this name here").help(help);
            meant.map(str::to_owned)
        }
        Some((unknown, known)) if message.starts_with("unknown variant") => {
            let fault = faults.at(span, "unknown value", format!("one of {}", list(known)));
            if let Some(near) = close(unknown, known) {
                fault.help(format!("did you mean \"{near}\"?"));
            }
            None
        }
        Some(_) | None => {
            let (label, help) = in_toml_words(message);
            let fault = faults.at(span, "wrong type", label);
            if let Some(help) = help {
                fault.help(help);
            }
            None
        }
    }
}

/// How to mend the mistakes in TOML that people make most.
fn mend_of_syntax(message: &str, before: &str) -> Option<&'static str> {
    if message.contains("duplicate key") {
        Some("keep one of the two")
    } else if message.contains("invalid basic string") {
        Some("close the string with a quotation mark")
    } else if before.ends_with(|c: char| c.is_ascii_digit()) {
        Some("write a fraction with a point, as in 5.5, and nothing behind it")
    } else if message.contains("unquoted key") {
        Some(
            "one key = value a line; a name with other characters stands in quotation marks: \"anna@example.net\"",
        )
    } else if message.contains("key") {
        Some("one key = value a line")
    } else {
        None
    }
}

/// What serde says in Rust's words: what was expected and found, and how to mend that.
fn in_toml_words(message: &str) -> (String, Option<&'static str>) {
    let (found, wanted) = message.split_once(", expected ").unwrap_or((message, ""));
    let found = found.trim_start_matches("invalid type: ").replace('`', "");
    let (wanted, help) = match wanted {
        "f64" => ("a number", Some("write the number alone, as in 5.0: no quotation marks, no unit")),
        "i64" => ("a whole number", Some("write the number alone, as in 4: no quotation marks, no unit")),
        "a boolean" => ("true or false", Some("write true or false without quotation marks")),
        "a string" => ("a string", Some("put it in quotation marks, with its unit if it has one")),
        "a sequence" => ("a list", Some("put it in brackets: [\"…\", \"…\"]")),
        other if other == "a map" || other.starts_with("struct ") => {
            ("a table", Some("write { key = value }, or its keys below a [heading]"))
        }
        other => (other, None),
    };
    match (found.as_str(), wanted) {
        ("wanted string or table", _) => ("expected a string".to_owned(), None),
        (_, "") => (found, None),
        (_, wanted) => (format!("expected {wanted}, found {found}"), help),
    }
}

/// The known word that is most like an unknown one, if any is.
pub(super) fn close<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(unknown, key), *key))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Takes the smallest entry out of the document whose key or value begins around this byte; tells the key
/// that lost something.
fn take_out(table: &mut DeTable<'_>, at: usize) -> Option<String> {
    let here = |span: Range<usize>| span.contains(&at) || span.start == at;
    let mut doomed = None;
    for (key, value) in table.iter_mut() {
        if !here(key.span())
            && let Some(taken) = take_out_of(key.get_ref(), value, at)
        {
            return Some(taken);
        }
        if here(key.span()) || here(value.span()) {
            doomed = Some(key.clone());
            break;
        }
    }
    let key = doomed?;
    table.remove(&key).map(|_| key.get_ref().to_string())
}

fn take_out_of(key: &str, value: &mut Spanned<DeValue<'_>>, at: usize) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => take_out(table, at),
        DeValue::Array(array) => {
            let inside = array.iter_mut().find_map(|element| take_out_of(key, element, at));
            inside.or_else(|| {
                let count = array.len();
                let kept = std::mem::replace(array, DeArray::new())
                    .into_iter()
                    .filter(|element| !element.span().contains(&at));
                *array = kept.collect::<DeArray<'_>>();
                (array.len() < count).then(|| key.to_owned())
            })
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}
