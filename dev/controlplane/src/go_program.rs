//! Programs that are built here from Go modules: once, however many processes ask for them, and again when their sources change.

use std::env;
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{read_lossy, tail};
use crate::{Context, Error};

const PROGRESS_EVERY: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every build and every start in this process give up, now and later: for a program that is asked to end while it waits for one.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

pub(crate) fn check_interrupted() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::new("interrupted")) } else { Ok(()) }
}

/// Tells the person who waits. Not with `eprintln`, which tests keep back until they fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The folder for everything that is built or run here, for one of these programs.
pub(crate) fn home(program: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")).join(program)
}

/// What a program is made of.
pub(crate) struct Source {
    /// The name of the program, and of its folder.
    pub(crate) name: &'static str,
    /// What it is called.
    pub(crate) called: &'static str,
    /// How long the first build takes, in words.
    pub(crate) takes: &'static str,
    /// What to do where there is no Go.
    pub(crate) without_go: &'static str,
    /// The folder of its go.mod.
    pub(crate) folder: PathBuf,
    /// The package of its main function.
    pub(crate) package: &'static str,
    /// The build tags.
    pub(crate) tags: &'static str,
    /// The version that it cannot know by itself.
    pub(crate) version: [&'static str; 3],
    /// How it is told the version.
    pub(crate) ldflags: fn([&str; 3]) -> String,
}

/// A program, whether it is there or not.
pub(crate) struct Program {
    source: Source,
    home: PathBuf,
    binary: PathBuf,
    /// Says from which sources the program was built.
    stamp: PathBuf,
    /// What the stamp of the sources here is.
    wanted: String,
}

impl Program {
    pub(crate) fn new(source: Source) -> Result<Self, Error> {
        let home = home(source.name);
        fs::create_dir_all(&home).context(|| format!("creating {}", home.display()))?;
        let home = home.canonicalize().context(|| format!("finding {}", home.display()))?;
        let stamp = home.join(format!("{}.stamp", source.name));
        Ok(Self { binary: home.join(source.name), stamp, wanted: source.fingerprint()?, home, source })
    }

    /// Its path, if it is there and as new as its sources.
    pub(crate) fn current(self) -> Option<PathBuf> {
        self.is_current().then_some(self.binary)
    }

    /// Its path, after it was built if that is needed.
    pub(crate) fn built(self) -> Result<PathBuf, Error> {
        if self.is_current() {
            return Ok(self.binary);
        }
        let path = self.home.join("build.lock");
        let lock = File::create(&path).context(|| format!("opening {}", path.display()))?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        say(&format!("waiting for another process that builds {}", self.source.called));
                        told = true;
                    }
                    check_interrupted()?;
                    thread::sleep(POLL);
                }
                Err(TryLockError::Error(error)) => return Err(Error::new(format!("locking {}: {error}", path.display()))),
            }
        }
        if !self.is_current() {
            // A stamp is only beside what it was written for.
            let _ = fs::remove_file(&self.stamp);
            // Go leaves its files when it is interrupted, and what was killed could not remove them.
            let temporary = self.home.join("go-build");
            let _ = fs::remove_dir_all(&temporary);
            fs::create_dir_all(&temporary).context(|| format!("creating {}", temporary.display()))?;
            let outcome = self.build(&temporary);
            let _ = fs::remove_dir_all(&temporary);
            outcome?;
            fs::write(&self.stamp, &self.wanted).context(|| format!("writing {}", self.stamp.display()))?;
        }
        Ok(self.binary)
    }

    fn is_current(&self) -> bool {
        self.binary.is_file() && fs::read_to_string(&self.stamp).is_ok_and(|found| found == self.wanted)
    }

    fn build(&self, temporary: &Path) -> Result<(), Error> {
        let Source { name, called, takes, without_go, folder, package, tags, version, ldflags } = &self.source;
        let ldflags = format!("-s -w {}", ldflags(*version));
        let (unfinished, log_path) = (self.home.join(format!("{name}.new")), self.home.join("build.log"));
        let log = File::create(&log_path).context(|| format!("creating {}", log_path.display()))?;
        let mut go = Command::new("go")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &ldflags, "-o"])
            .arg(&unfinished)
            .args(["-tags", tags, package])
            .current_dir(folder)
            .env("CGO_ENABLED", "0")
            .env("GOTMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::new(format!(
                    "{called} is built with Go, and there is no `go` in PATH: install Go 1.26 or newer (https://go.dev/dl), which \
                     downloads its modules once{without_go}"
                )),
                _ => Error::new(format!("starting go: {error}")),
            })?;
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        let status = loop {
            if let Some(status) = go.try_wait().context(|| "waiting for go".to_owned())? {
                break status;
            }
            if let Err(interrupted) = check_interrupted() {
                // As Ctrl-C does, which reaches all of them: go does not end its compilers. After them it can remove what they wrote.
                for pid in children(go.id()).into_iter().chain([go.id()]) {
                    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                        let _ = kill_process(pid, Signal::INT);
                    }
                }
                let _ = go.wait();
                return Err(interrupted);
            }
            let elapsed = begun.elapsed();
            if elapsed.saturating_sub(told) >= PROGRESS_EVERY {
                told = elapsed;
                say(&format!("building {called} (once, about {takes}): {} s", elapsed.as_secs()));
            }
            thread::sleep(POLL);
        };
        if !status.success() {
            let log = tail(&read_lossy(&log_path), 20);
            return Err(Error::new(format!("building {called}: go ended with {status}:\n{log}")));
        }
        fs::rename(&unfinished, &self.binary).context(|| format!("renaming {}", unfinished.display()))
    }
}

impl Source {
    /// Changes when the Go sources change.
    fn fingerprint(&self) -> Result<String, Error> {
        let folder = &self.folder;
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).context(|| format!("reading {}", folder.display()))? {
            let path = entry.context(|| format!("reading {}", folder.display()))?.path();
            if path.extension().is_some_and(|end| end == "go" || end == "mod" || end == "sum") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut hasher = DefaultHasher::new();
        self.version.hash(&mut hasher);
        for path in paths {
            path.file_name().hash(&mut hasher);
            fs::read(&path).context(|| format!("reading {}", path.display()))?.hash(&mut hasher);
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }
}

/// The processes that a process has started, where the kernel tells.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>()).collect()
}
