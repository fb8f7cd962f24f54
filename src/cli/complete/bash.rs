use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::{Bash as Usual, EnvCompleter};

use super::words::Words;

/// Bash, with words as people type them: it splits them also at `:` and `=`, and an address such as `127.0.0.1:7070` before
/// the command would leave nothing to complete.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        Usual.name()
    }

    fn is(&self, name: &str) -> bool {
        Usual.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        Usual.write_registration(var, name, bin, completer, buf)
    }

    /// By the variables of the usual script.
    fn write_complete(
        &self,
        command: &mut clap::Command,
        parts: Vec<OsString>,
        here: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let variable = |name: &str| std::env::var(name).ok();
        let index = variable("_CLAP_COMPLETE_INDEX").and_then(|index| index.parse().ok()).unwrap_or_default();
        let between = variable("_CLAP_IFS").unwrap_or_else(|| "\n".to_owned());
        let Words { typed, index, before } = Words::joined(parts, index);
        let before = before.to_string_lossy();
        let candidates = complete(command, typed, index, here)?;
        let texts: Vec<String> = candidates
            .iter()
            .map(|candidate| {
                let text = candidate.get_value().to_string_lossy();
                text.strip_prefix(before.as_ref()).unwrap_or(&text).to_owned()
            })
            .collect();
        write!(out, "{}", texts.join(&between))
    }
}
