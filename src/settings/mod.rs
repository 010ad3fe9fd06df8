//! What the operator is started with: flags and `NUVO_OPERATOR_*` variables, checked once at start.

mod arguments;
mod checked_settings;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, error::ErrorKind};

pub use checked_settings::{Command, DEFAULT_BASE_URLS, LogFormat, LogLevel, Settings};

use arguments::{Cli, Verb};

/// Parses the arguments of this process. Prints the help and exits with 0 if that is what they ask for; prints what is wrong with them and
/// exits with 2 otherwise.
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses the given arguments; the first is the name of the program.
pub fn parse_from<I>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let Cli { command, run } = Cli::try_parse_from(arguments)?;
    let arguments = match command {
        Some(Verb::Crds) => return Ok(Command::Crds),
        Some(Verb::Run(arguments)) => *arguments,
        None => run,
    };
    let settings = Settings::try_from(arguments).map_err(|message| Cli::command().error(ErrorKind::ValueValidation, message))?;
    Ok(Command::Run(Box::new(settings)))
}

/// The command line, for the generated reference.
pub fn command_line() -> clap::Command {
    Cli::command()
}
