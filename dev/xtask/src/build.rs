//! The operator, built for what runs it.

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

/// Builds the operator; cargo says how far it is. The path of the program.
pub fn operator(stop: &Stop) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Together with this program, so that what both use is built once, with the same features.
    let mut command = Command::new(&cargo);
    // What the cargo that runs this program says about it: build scripts would take that for a change, and be run again each time.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    let mut child = command
        .args(["build", "--package=xtask", "--package=nuvo-operator", "--bin=nuvo-operator", "--message-format=json-render-diagnostics"])
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // So that its compilers can be ended too.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", cargo.display()))?;
    let reader = child.stdout.take().map(|stdout| std::thread::spawn(move || executable(BufReader::new(stdout))));
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
        return Err("the operator could not be built: see above".into());
    }
    let path = reader.and_then(|reader| reader.join().ok()).flatten();
    path.ok_or_else(|| "cargo has not said where the program nuvo-operator is".into())
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

/// The program in cargo's messages.
fn executable(messages: impl BufRead) -> Option<PathBuf> {
    let mut found = None;
    for line in messages.lines().map_while(Result::ok) {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        if message.pointer("/target/name").and_then(Value::as_str) == Some("nuvo-operator")
            && let Some(path) = message.get("executable").and_then(Value::as_str)
        {
            found = Some(PathBuf::from(path));
        }
    }
    found
}
