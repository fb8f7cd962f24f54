use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::pty::{Winsize, openpty};

use super::process::command;

/// The program as somebody has it before them: with a terminal as its standard input, output and error.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: mpsc::Receiver<Vec<u8>>,
    shown: String,
}

/// How long something that is bound to be shown may take.
const BOUND: Duration = Duration::from_secs(20);

impl Terminal {
    /// Starts the program in a terminal of this width.
    pub(crate) fn start(arguments: &[&str], width: u16, variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "CI"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color").envs(variables.iter().copied());
        Self::of(command, width)
    }

    /// Starts another program in a terminal of this width.
    pub(crate) fn of(mut command: Command, width: u16) -> Self {
        let size = Winsize { ws_row: 50, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().unwrap();
        let (sending, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut part = [0; 4_096];
            // When the program has ended nobody has the terminal open, and reading it fails.
            while let Ok(count @ 1..) = output.read(&mut part) {
                if sending.send(part[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, screen, shown: String::new() }
    }

    /// Waits until this is shown.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.shown.contains(text) {
            match self.screen.recv_timeout(BOUND) {
                Ok(part) => self.shows(&part),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{text:?} was not shown; there was:\n{}", self.shown)
                }
            }
        }
    }

    /// The bell is heard and not seen.
    fn shows(&mut self, part: &[u8]) {
        self.shown.push_str(&String::from_utf8_lossy(part).replace('\u{7}', ""));
    }

    /// Types this.
    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end: the exit code, and all that was shown, with the ends of lines as programs write them.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.screen.recv_timeout(BOUND) {
                Ok(part) => self.shows(&part),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; there was:\n{}", self.shown),
            }
        }
        let status = self.child.wait().unwrap();
        (status.code(), self.shown.replace("\r\n", "\n"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
