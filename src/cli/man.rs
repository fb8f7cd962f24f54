use std::fs::{File, create_dir_all};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Failure;
use super::help::{EXIT_CODES, VARIABLES};
use super::print::{Lines, counted, say};

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(super) struct PrintManual {
    /// Writes one page for each command into this directory, such as /usr/local/share/man/man1.
    directory: Option<PathBuf>,
}

impl PrintManual {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut command = super::command().disable_help_subcommand(true);
        command.build();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            write_page(&command, &mut page).map_err(anyhow::Error::from)?;
            let mut out = Lines::to_standard_output();
            out.write(&String::from_utf8_lossy(&page))?;
            return out.flush();
        };
        let unwritten = |error| Failure::Refused(format!("{}: {error}", directory.display()));
        create_dir_all(&directory).map_err(unwritten)?;
        let pages = write_pages(&command, &directory).map_err(unwritten)?;
        say(&format!("{} written to {}", counted(pages, "page"), directory.display()));
        Ok(())
    }
}

/// The pages of a command and of all below it; how many they are.
fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<u64> {
    let mut pages = 1;
    let mut file = File::create(directory.join(Man::new(command.clone()).get_filename()))?;
    write_page(command, &mut file)?;
    for below in command.get_subcommands() {
        pages += write_pages(below, directory)?;
    }
    Ok(pages)
}

/// One page. What all commands have in common stands on each: a page is read alone.
fn write_page(command: &clap::Command, out: &mut dyn Write) -> io::Result<()> {
    let page = Man::new(command.clone()).source(concat!("switchback ", env!("CARGO_PKG_VERSION")));
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(out)?;
    }
    let mut rest = Roff::new();
    for (heading, list) in [("EXIT STATUS", &EXIT_CODES[..]), ("ENVIRONMENT", &VARIABLES[..])] {
        rest.control("SH", [heading]);
        for (name, what) in list {
            rest.control("TP", []).text([bold(*name)]).text([roman(*what)]);
        }
    }
    rest.to_writer(out)
}
