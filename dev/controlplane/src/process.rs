//! A child process with a log file, that ends with this process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Context, Error, binary};

/// How long a guard may take to end its command when it is told to kill it.
const GUARD_KILLS_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// A child process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    guarded: bool,
}

impl Process {
    /// Starts a command whose standard output and error go to the end of the file `log`. Its standard input is a pipe that ends with
    /// this process; a command that does not watch it outlives this process if that is killed, so see [`Process::spawn_guarded`].
    pub fn spawn(mut command: Command, log: impl Into<PathBuf>) -> Result<Self, Error> {
        let log = log.into();
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).context(|| format!("creating {}", folder.display()))?;
        }
        let file = File::options().create(true).append(true).open(&log).context(|| format!("opening {}", log.display()))?;
        let second = file.try_clone().context(|| format!("opening {}", log.display()))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(second)
            .spawn()
            .context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, log, guarded: false })
    }

    /// As [`Process::spawn`], for any command: it is killed when this process ends, also when this process is killed. Then [`Process::pid`]
    /// is that of the guard between the two, signals are passed on, and the exit code of a command ended by a signal is 128 plus its number.
    pub fn spawn_guarded(command: &Command, log: impl Into<PathBuf>) -> Result<Self, Error> {
        let mut guard = binary::guard()?;
        guard.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guard.current_dir(folder);
        }
        let mut process = Self::spawn(guard, log)?;
        process.guarded = true;
        Ok(process)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end. Does nothing when it has ended.
    pub fn signal_term(&mut self) -> Result<(), Error> {
        self.signal(Signal::TERM)
    }

    /// Sends a signal. Does nothing when the process has ended: it has not been waited for, so its id cannot be another's.
    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.exited().is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| Error::new("no process id"))?;
        kill_process(pid, signal).context(|| format!("sending {signal:?} to process {}", self.child.id()))
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // The guard kills its command at the end of its input, and ends after it: so both are gone when this returns.
        drop(self.child.stdin.take());
        if self.guarded && self.wait(GUARD_KILLS_WITHIN).is_some() {
            return;
        }
        // Fails only for a process that is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, but not longer than this.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            let status = self.exited();
            if status.is_some() || begun.elapsed() >= at_most {
                return status;
            }
            thread::sleep(POLL);
        }
    }

    /// Where the log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has written to standard output and error.
    pub fn log(&self) -> String {
        read_lossy(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The text of a log; an unreadable one has no text.
pub(crate) fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last lines of a text, for an error message.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let skipped = text.lines().count().saturating_sub(lines);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
