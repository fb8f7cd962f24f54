//! What all commands have in common, for `--help` and for manual pages.

use std::fmt::Write as _;

/// How the program ends.
pub(super) const EXIT_CODES: [(&str, &str); 5] = [
    ("0", "done"),
    ("1", "refused, or something is at fault: standard error says what, and how to mend it"),
    ("2", "wrong usage: the command line cannot be understood"),
    ("3", "Switchback cannot be reached: its admin interface does not answer"),
    ("4", "nothing has changed yet: a second person is to agree"),
];

/// What the program reads from its environment.
pub(super) const VARIABLES: [(&str, &str); 10] = [
    ("SWITCHBACK_ADMIN", "where the admin interface is, as --admin"),
    ("SWITCHBACK_TOKEN", "the token to show there; --token-file goes first"),
    ("SWITCHBACK_TOKEN_FILE", "a file with it, as --token-file"),
    ("SWITCHBACK_AUTHORITIES", "who must have signed its certificate, as --authorities"),
    ("SWITCHBACK_CERTIFICATE", "a client certificate, as --certificate"),
    ("SWITCHBACK_KEY", "its key, as --key"),
    ("SWITCHBACK_CONFIG", "the configuration's folder, as --config of serve and token"),
    ("SWITCHBACK_LOG", "what serve logs, as in switchback=debug [default: info,rustls=error]"),
    ("NO_COLOR", "no colour, if it is not empty; CLICOLOR_FORCE: always"),
    ("COLUMNS", "how wide the terminal is"),
];

/// What stands below the help of the program.
pub(super) fn after() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, what) in EXIT_CODES {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {code}  {what}");
    }
    text.push_str("\nEnvironment:\n");
    for (name, what) in VARIABLES {
        let _ = writeln!(text, "  {name:<23} {what}");
    }
    text.push_str("\nNew here? `switchback demo` shows the whole story in a minute.");
    text
}

#[cfg(test)]
mod tests {
    use super::VARIABLES;

    fn variables(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_env());
        let own: Vec<String> = own.map(|name| name.to_string_lossy().into_owned()).collect();
        own.into_iter().chain(command.get_subcommands().flat_map(variables)).collect()
    }

    #[test]
    fn every_variable_that_an_argument_may_come_from_is_told() {
        let named = variables(&super::super::command());
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            assert!(VARIABLES.iter().any(|(told, _)| *told == name), "{name} is not told");
        }
    }
}
