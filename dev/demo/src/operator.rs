//! The operator, run as a process of its own.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use controlplane::Process;
use nuvo_sim::Sim;

use crate::cluster::Cluster;

/// How long the operator may take to finish what it is doing.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
const LOG_LINES: usize = 20;

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
