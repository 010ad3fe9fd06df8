//! The operator: built here, and run as a process of its own.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use controlplane::Process;
use nuvo_sim::Sim;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::cluster::Cluster;
use super::stop::Stop;
use super::{LOOK, repository};

/// How long the operator may take to finish what it is doing.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
const LOG_LINES: usize = 20;

/// Builds the operator; cargo says how far it is. The path of the program.
pub fn build(stop: &Stop) -> Result<PathBuf, Box<dyn Error>> {
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

/// The running operator. It is asked to end, and waited for, when this is dropped.
pub struct Operator(Process);

impl Operator {
    pub fn start(program: &Path, cluster: &Cluster, sim: &Sim) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        // What is set for another operator is not meant for this one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NUVO_OPERATOR_")) {
            command.env_remove(name);
        }
        command.args(["--allowed-base-url", &sim.base_url(), "--leader-elect", "false"]);
        command.args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]);
        cluster.admit(&mut command)?;
        Ok(Self(Process::spawn_guarded(&command, cluster.folder().join("operator.log"))?))
    }

    pub fn log_path(&self) -> &Path {
        self.0.log_path()
    }

    /// Fails if it has ended, with what it said.
    pub fn check(&mut self) -> Result<(), Box<dyn Error>> {
        match self.0.exited() {
            None => Ok(()),
            Some(status) => Err(format!("the operator has ended ({status}). The end of its log:\n{}", self.end_of_log()).into()),
        }
    }

    /// For an error: the file goes at the end.
    pub fn end_of_log(&self) -> String {
        let log = self.0.log();
        let skipped = log.lines().count().saturating_sub(LOG_LINES);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // If this does not work, the drop of the process kills it.
        if self.0.signal_term().is_ok() {
            self.0.wait(ENDS_WITHIN);
        }
    }
}
