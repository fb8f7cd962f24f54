//! What the program says of itself: help, manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::Process;

/// Every command, by the words that are typed for it. None for the program itself.
pub(crate) fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, path: &[String]) -> Vec<Vec<String>> {
        let mut all = vec![path.to_vec()];
        for one in command.get_subcommands() {
            all.extend(below(one, &[path, &[one.get_name().to_owned()]].concat()));
        }
        all
    }
    below(&switchback::cli::command(), &[])
}

/// The name of a command's file.
fn name(path: &[String]) -> String {
    ["switchback".to_owned()].iter().chain(path).map(String::as_str).collect::<Vec<_>>().join("-")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The help of every command is in `tests/help`, as a terminal of a hundred columns shows it. `UPDATE_EXPECTED=1` writes it
/// anew; read the difference before you keep it.
#[test]
fn every_command_has_its_help() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::new());
    for path in commands() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = Process::run_with(&arguments, &[("COLUMNS", "100")]);
        assert!(output.status.success(), "{arguments:?}");
        let (said, file) = (String::from_utf8(output.stdout).unwrap(), format!("{}.txt", name(&path)));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(&file), &said).unwrap();
        }
        let wanted = fs::read_to_string(folder.join(&file)).unwrap_or_default();
        if said != wanted {
            wrong.push(format!("{file}:\n{said}\ninstead of\n{wanted}"));
        }
        known.insert(file);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(names(&folder), known, "no file is of a command that is gone");
}

#[test]
fn help_tells_of_exit_codes_and_the_environment() {
    let output = Process::run(&["--help"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for part in [
        "  0  done\n",
        "  1  refused",
        "  2  wrong usage",
        "  3  Switchback cannot be reached",
        "SWITCHBACK_TOKEN_FILE",
        "NO_COLOR",
    ] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
}

/// Documents and what runs on are all that is not told to programs as well.
const NOT_FOR_PROGRAMS: [&str; 4] =
    ["switchback-completions", "switchback-man", "switchback-schema", "switchback-serve"];

#[test]
fn every_command_that_prints_something_to_be_read_prints_json() {
    let root = switchback::cli::command();
    for path in commands() {
        let (mut command, mut takes) = (&root, false);
        for word in &path {
            command = command.find_subcommand(word).unwrap();
            takes |= command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        }
        let is_a_group = command.is_subcommand_required_set() || command.is_arg_required_else_help_set();
        let is_exempt = NOT_FOR_PROGRAMS.contains(&name(&path).as_str());
        assert_eq!(takes, !is_a_group && !is_exempt && !path.is_empty(), "{path:?}");
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let output = Process::run(&["man", &into.display().to_string()]);
    assert!(output.status.success(), "{output:?}");
    let wanted: BTreeSet<String> = commands().iter().map(|path| format!("{}.1", name(path))).collect();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&format!("{} pages written to ", wanted.len())), "{said}");
    assert_eq!(names(&into), wanted);
    for file in wanted {
        let page = fs::read_to_string(into.join(&file)).unwrap();
        for part in [".TH switchback", ".SH NAME", ".SH SYNOPSIS", ".SH \"EXIT STATUS\"", ".SH ENVIRONMENT"] {
            assert!(page.contains(part), "{part} in {file}:\n{page}");
        }
    }
    let one = Process::run(&["man"]);
    assert_eq!(
        String::from_utf8(one.stdout).unwrap(),
        fs::read_to_string(into.join("switchback.1")).unwrap()
    );
    let refused = Process::run(&["man", "/proc/nowhere"]);
    assert_eq!(refused.status.code(), Some(1));
}
