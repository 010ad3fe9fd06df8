//! The operators of a scenario, which are restarted as the kubelet restarts a container.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use controlplane::{Process, Proxy};

use super::super::environment::Environment;
use super::super::operator_flags::OperatorFlags;
use super::super::test_cluster::Failure;

/// The kubelet's pause before the second restart; before the first, there is none. It doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One operator, and the proxy between it and the API server.
pub struct Replica {
    // First: it uses the proxy.
    pub process: Process,
    pub proxy: Proxy,
    kubeconfig: PathBuf,
    log: PathBuf,
    flags: OperatorFlags,
    /// When it is started again, if it has ended.
    next_start: Option<Instant>,
    pub restarts: u32,
}

impl Replica {
    /// Starts an operator.
    pub fn start(environment: &Environment<'_>, number: usize, flags: OperatorFlags) -> Result<Self, Failure> {
        let Environment { cluster, namespace, .. } = environment;
        let proxy = Proxy::start(&cluster.server)?;
        let kubeconfig = proxy.kubeconfig(&cluster.kubeconfig)?;
        let log = cluster.server.folder().join(format!("{namespace}-operator-{number}.log"));
        let process = environment.spawn(&kubeconfig, &log, &flags)?;
        Ok(Self { process, proxy, kubeconfig, log, flags, next_start: None, restarts: 0 })
    }

    /// Starts it again, if it has ended and its pause is over.
    pub fn keep_running(&mut self, environment: &Environment<'_>) -> Result<(), Failure> {
        let now = Instant::now();
        if self.next_start.is_none() && self.process.exited().is_some() {
            self.next_start = Some(now.checked_add(pause(self.restarts)).unwrap_or(now));
        }
        if self.next_start.is_some_and(|at| at <= now) {
            self.next_start = None;
            self.restarts = self.restarts.saturating_add(1);
            self.process = environment.spawn(&self.kubeconfig, &self.log, &self.flags)?;
        }
        Ok(())
    }
}

/// How long the kubelet waits before it starts a container again that it has restarted so often.
fn pause(restarts: u32) -> Duration {
    match restarts.checked_sub(1) {
        None => Duration::ZERO,
        Some(doubled) => FIRST_PAUSE.saturating_mul(1_u32.checked_shl(doubled).unwrap_or(u32::MAX)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_before_a_restart_doubles_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..8).map(|restarts| pause(restarts).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
    }
}
