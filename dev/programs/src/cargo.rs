//! The programs of this workspace, built with cargo.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::child::wait;
use crate::progress::{Display, Progress};
use crate::{Cost, Error, repository, say};

/// The packages of all programs that are built here. Together, so that they share what they use, with the same features; but not in the image.
const PACKAGES: [&str; 4] = ["nuvo-operator", "kubectl-nuvo", "demo", "xtask"];
/// What cargo says of a build that goes well.
const STATUS: [&str; 9] = ["Compiling", "Finished", "Fresh", "Dirty", "Updating", "Locking", "Adding", "Downloading", "Downloaded"];

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For those who develop.
    Dev,
    /// As a user runs them.
    Release,
    /// As they are in the image: of their own package only, and the same wherever they are built.
    Image,
}

/// Builds these programs. Their paths, in the same order. Says on standard error how far it is.
pub fn built<const N: usize>(names: [&str; N], profile: Profile) -> Result<[PathBuf; N], Error> {
    let progress = Progress::new("cargo", "crates");
    let mut display = Display::new();
    let outcome = build(names, profile, &progress, || display.show([&progress]));
    display.clear();
    outcome.map(|(paths, _)| paths)
}

/// Builds these programs. Their paths, in the same order, and the cost. Calls `look` now and then.
pub fn build<const N: usize>(
    names: [&str; N],
    profile: Profile,
    progress: &Progress,
    look: impl FnMut(),
) -> Result<([PathBuf; N], Cost), Error> {
    let mut command = command();
    command.arg("build").args(names.map(|name| format!("--bin={name}")));
    match profile {
        Profile::Dev => command.args(all_packages()),
        Profile::Release => command.args(all_packages()).arg("--release"),
        Profile::Image => {
            command.args(names.map(|name| format!("--package={name}"))).args(["--profile=image", "--locked"]);
            command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", without_paths(&repository(), &cargo_home()))
        }
    };
    let mut child = command
        .arg("--message-format=json-render-diagnostics")
        // How many crates there are is in the progress bar only.
        .envs([("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "80"), ("CARGO_TERM_COLOR", "never")])
        .env_remove("CARGO_TERM_QUIET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::new(format!("cannot start cargo: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (outcome, mut paths, said) = thread::scope(|scope| {
        let paths = scope.spawn(|| stdout.map(|stdout| executables(BufReader::new(stdout))).unwrap_or_default());
        let said = scope.spawn(|| stderr.map(|stderr| follow(BufReader::new(stderr), progress)).unwrap_or_default());
        let outcome = wait(&mut child, "cargo", look);
        (outcome, paths.join().unwrap_or_default(), said.join().unwrap_or_default())
    });
    let (status, cost) = outcome?;
    progress.complete();
    if !status.success() {
        return Err(Error::new(format!("cargo ended with {status}:\n{}", said.join("\n"))));
    }
    if !said.is_empty() {
        say(&said.join("\n"));
    }
    let mut found = Vec::new();
    for name in names {
        found.push(paths.remove(name).ok_or_else(|| Error::new(format!("cargo has not said where the program {name} is")))?);
    }
    let paths = found.try_into().map_err(|_| Error::new("cargo has built something else"))?;
    Ok((paths, cost))
}

/// cargo, in the repository.
pub fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What the cargo that runs this program says about it: build scripts would take that for a change, and be run again each time.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.current_dir(repository());
    command
}

fn all_packages() -> impl Iterator<Item = String> {
    PACKAGES.iter().map(|package| format!("--package={package}"))
}

fn cargo_home() -> PathBuf {
    let of_user = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(of_user, PathBuf::from)
}

/// The flags that keep the paths of this machine out of a program, in the way that cargo separates them.
fn without_paths(repository: &Path, cargo_home: &Path) -> String {
    let remapped = [(repository, "."), (cargo_home, "cargo")];
    remapped.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).join("\x1f")
}

fn is_about_this_package(variable: &str) -> bool {
    let beginnings = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    beginnings.iter().any(|beginning| variable.starts_with(beginning))
}

/// Reads what cargo says to its end: takes the progress from its bar, and returns the diagnostics.
fn follow(stderr: impl BufRead, progress: &Progress) -> Vec<String> {
    let mut said = Vec::new();
    let mut line = Vec::new();
    for byte in stderr.bytes().map_while(Result::ok) {
        // The bar is written over with a carriage return.
        if byte != b'\r' && byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).replace("\x1b[K", "");
        line.clear();
        let first = text.split_whitespace().next().unwrap_or_default();
        if let Some((done, total)) = counts(&text) {
            progress.set_done(done);
            progress.set_total(total);
        } else if first == "Blocking" {
            say(text.trim());
        } else if !STATUS.contains(&first) && (!first.is_empty() || !said.is_empty()) {
            said.push(text);
        }
    }
    said
}

/// The two numbers of a bar like `Building [==>   ] 12/345: serde, syn`.
fn counts(bar: &str) -> Option<(usize, usize)> {
    let (_, rest) = bar.trim_start().strip_prefix("Building [")?.split_once("] ")?;
    let (done, total) = rest.split_once(':').map_or(rest, |(counts, _)| counts).trim().split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// The programs in cargo's messages.
fn executables(messages: impl BufRead) -> BTreeMap<String, PathBuf> {
    let paths = messages.lines().map_while(Result::ok).filter_map(|message| executable(&message));
    paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path))).collect()
}

/// The program in a message, which is JSON: for one string of it, no parser is compiled.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    let mut path = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return Some(PathBuf::from(path)),
            '\\' => path.push(letters.next()?),
            letter => path.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_is_progress_or_diagnostics() {
        let progress = Progress::new("operator", "crates");
        let said = follow(
            &b"   Compiling serde v1.0.229\r\n\x1b[K    Building [=>      ] 12/345: serde, syn(build)\r\x1b[K\
               error[E0425]: not found\n  --> src/main.rs:1:1\n\n    Building [==>     ] 13/345\r"[..],
            &progress,
        );
        assert_eq!(said, ["error[E0425]: not found", "  --> src/main.rs:1:1", ""]);
        assert_eq!(progress.to_string(), "operator: 13 of 345 crates");
    }

    #[test]
    fn paths_of_the_machine_are_replaced() {
        let flags = without_paths(Path::new("/my work"), Path::new("/home/me/.cargo"));
        assert_eq!(flags, "--remap-path-prefix=/my work=.\x1f--remap-path-prefix=/home/me/.cargo=cargo");
    }

    #[test]
    fn a_program_is_found_in_the_messages() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null,"fresh":true}
{"reason":"compiler-artifact","target":{"name":"demo"},"executable":"/the \"target\"/debug/demo","fresh":false}
{"reason":"build-finished","success":true}"#;
        let expected = BTreeMap::from([("demo".to_owned(), PathBuf::from("/the \"target\"/debug/demo"))]);
        assert_eq!(executables(&messages[..]), expected);
    }
}
