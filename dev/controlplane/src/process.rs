//! A child process with a log file, that ends with this process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
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
    ///
    /// With `KUBEBUILDER_ASSETS`, or before [`crate::binary`] is built, there is no guard: the kernel kills the command, if there is the
    /// program `setpriv` of util-linux to ask for it. Without that only a drop does.
    pub fn spawn_guarded(command: &Command, log: impl Into<PathBuf>) -> Result<Self, Error> {
        let log = log.into();
        if let Some(guard) = binary::guard()? {
            let mut process = Self::spawn(wrapped(guard, command), log)?;
            process.guarded = true;
            return Ok(process);
        }
        // Only `env` passes the command on as it is where the kernel cannot be asked.
        let asked = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).output().is_ok_and(|output| output.status.success());
        let mut starter = Command::new(if asked { "setpriv" } else { "env" });
        if asked {
            starter.args(["--pdeathsig", "KILL", "--"]);
        }
        let command = wrapped(starter, command);
        from_a_lasting_thread(move || Self::spawn(command, log))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of the command itself, also behind a guard; none if it has not begun or has ended. Linux only.
    pub fn command(&mut self) -> Result<Option<u32>, Error> {
        if self.exited().is_some() {
            return Ok(None);
        }
        let own = self.child.id();
        if !self.guarded {
            return Ok(Some(own));
        }
        let tasks = fs::read_dir(format!("/proc/{own}/task")).context(|| format!("looking for the threads of process {own}"))?;
        let children = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect::<String>();
        // The guard is alive and has started nothing else, so this is its command, or there is none any more.
        Ok(children.split_whitespace().next().and_then(|pid| pid.parse().ok()))
    }

    /// Asks the process to end. Does nothing when it has ended.
    pub fn signal_term(&mut self) -> Result<(), Error> {
        self.signal(Signal::TERM)
    }

    /// Freezes the command (SIGSTOP), as a machine does that is paused. Linux only, and not for a command that has children itself.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.signal_command(Signal::STOP)
    }

    /// Lets a frozen command go on (SIGCONT).
    pub fn resume(&mut self) -> Result<(), Error> {
        self.signal_command(Signal::CONT)
    }

    /// Sends a signal that a guard cannot pass on.
    fn signal_command(&mut self, signal: Signal) -> Result<(), Error> {
        if !self.guarded {
            return self.signal(signal);
        }
        if self.exited().is_some() {
            return Ok(());
        }
        match self.command()?.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            Some(command) => kill_process(command, signal).context(|| format!("sending {signal:?} to process {command:?}")),
            None => Ok(()),
        }
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

/// `starter` with the command as its further arguments.
fn wrapped(mut starter: Command, command: &Command) -> Command {
    starter.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => starter.env(name, value),
            None => starter.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        starter.current_dir(folder);
    }
    starter
}

type Job = Box<dyn FnOnce() + Send>;

/// Calls this in a thread that lasts as long as this process: the kernel sends the death signal when the thread ends that started a
/// process, and a thread of a test ends with its test.
fn from_a_lasting_thread<T: Send + 'static>(call: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, received) = mpsc::channel::<Job>();
        thread::spawn(move || received.into_iter().for_each(|job| job()));
        jobs
    });
    let (tell, told) = mpsc::channel();
    let gone = || Error::new("the thread that starts processes is gone");
    JOBS.send(Box::new(move || _ = tell.send(call()))).map_err(|_| gone())?;
    told.recv().map_err(|_| gone())?
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
