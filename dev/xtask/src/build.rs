//! The operator, built for what runs it.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::stop::Stop;

const LOOK: Duration = Duration::from_millis(100);

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// The programs as a user runs them, without what a debugger needs.
pub struct Optimized {
    pub operator: PathBuf,
    /// This program.
    pub xtask: PathBuf,
}

const OPERATOR: &str = "nuvo-operator";
const XTASK: &str = "xtask";

/// Builds the operator; cargo says how far it is. The path of the program.
pub fn operator(stop: &Stop) -> Result<PathBuf, Box<dyn Error>> {
    take(&mut build(&["--bin=nuvo-operator"], stop)?, OPERATOR)
}

/// Builds the operator and this program, both with `--release`.
pub fn optimized(stop: &Stop) -> Result<Optimized, Box<dyn Error>> {
    let mut programs = build(&["--bin=nuvo-operator", "--bin=xtask", "--release"], stop)?;
    Ok(Optimized { operator: take(&mut programs, OPERATOR)?, xtask: take(&mut programs, XTASK)? })
}

fn take(programs: &mut BTreeMap<String, PathBuf>, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    programs.remove(name).ok_or_else(|| format!("cargo has not said where the program {name} is").into())
}

/// Builds what these arguments name. The paths of the programs.
fn build(args: &[&str], stop: &Stop) -> Result<BTreeMap<String, PathBuf>, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Together with this program, so that what both use is built once, with the same features.
    let mut command = Command::new(&cargo);
    // What the cargo that runs this program says about it: build scripts would take that for a change, and be run again each time.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    let mut child = command
        .args(["build", "--package=xtask", "--package=nuvo-operator", "--message-format=json-render-diagnostics"])
        .args(args)
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // So that its compilers can be ended too.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", cargo.display()))?;
    let reader = child.stdout.take().map(|stdout| std::thread::spawn(move || executables(BufReader::new(stdout))));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Err(stopped) = stop.sleep(LOOK) {
            interrupt(&mut child);
            return Err(stopped.into());
        }
    };
    if !status.success() {
        return Err("cargo could not build it: see above".into());
    }
    Ok(reader.and_then(|reader| reader.join().ok()).unwrap_or_default())
}

fn is_about_this_package(variable: &str) -> bool {
    let beginnings = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    beginnings.iter().any(|beginning| variable.starts_with(beginning))
}

fn interrupt(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Fails only when all have ended.
        let _ = kill_process_group(group, Signal::INT);
    }
    let _ = child.wait();
}

/// The programs in cargo's messages.
fn executables(messages: impl BufRead) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in messages.lines().map_while(Result::ok) {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
        if let (Some(name), Some(path)) = (text("/target/name"), text("/executable")) {
            found.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    found
}
