//! Where the programs come from: built here from Go modules, or found in `KUBEBUILDER_ASSETS`.

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

/// The version of Kubernetes in go.mod. kubectl and the API server do not know it by themselves.
const VERSION: [&str; 3] = ["1", "37", "2"];
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

/// The folder for everything that is built or run here.
pub(crate) fn home() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")).join("controlplane")
}

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The command of one of the programs `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`.
pub(crate) fn program(name: &str) -> Result<Command, Error> {
    let Some(folder) = assets() else {
        let mut command = Command::new(binary()?);
        command.arg(name);
        return Ok(command);
    };
    let path = folder.join(name);
    if path.is_file() {
        Ok(Command::new(path))
    } else {
        Err(Error::new(format!("KUBEBUILDER_ASSETS has no {name} in {}; unset it to build one", folder.display())))
    }
}

/// The variable with which the servers that are built here end when their standard input ends, if they are used.
pub(crate) fn ends_with_stdin() -> Option<(&'static str, &'static str)> {
    assets().is_none().then_some(("CONTROLPLANE_EXIT_WITH_STDIN", "1"))
}

/// A command that runs the command in its further arguments, and kills it when standard input ends. None without what is built here:
/// for this alone nothing is built.
pub(crate) fn guard() -> Result<Option<Command>, Error> {
    let built = Built::new()?;
    if assets().is_some() || !built.is_current() {
        return Ok(None);
    }
    let mut command = Command::new(built.binary);
    command.args(["guard", "--"]);
    Ok(Some(command))
}

/// kubectl, for any cluster: only [`ControlPlane::kubectl_command`](crate::ControlPlane::kubectl_command) knows that control plane.
pub fn kubectl() -> Result<Command, Error> {
    program("kubectl")
}

/// The path of the program that holds the whole control plane. It is built if it is missing or older than its sources, once however
/// many processes ask for it; the first time takes minutes, and says so on standard error.
pub fn binary() -> Result<PathBuf, Error> {
    let built = Built::new()?;
    if built.is_current() {
        return Ok(built.binary);
    }
    let path = built.home.join("build.lock");
    let lock = File::create(&path).context(|| format!("opening {}", path.display()))?;
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                if !told {
                    say("waiting for another process that builds the control plane");
                    told = true;
                }
                check_interrupted()?;
                thread::sleep(POLL);
            }
            Err(TryLockError::Error(error)) => return Err(Error::new(format!("locking {}: {error}", path.display()))),
        }
    }
    if !built.is_current() {
        // A stamp is only beside what it was written for.
        let _ = fs::remove_file(&built.stamp);
        // Go leaves its files when it is interrupted, and what was killed could not remove them.
        let temporary = built.home.join("go-build");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary).context(|| format!("creating {}", temporary.display()))?;
        let outcome = build(&built.home, &built.binary, &temporary);
        let _ = fs::remove_dir_all(&temporary);
        outcome?;
        fs::write(&built.stamp, &built.wanted).context(|| format!("writing {}", built.stamp.display()))?;
    }
    Ok(built.binary)
}

/// The program, whether it is there or not.
struct Built {
    home: PathBuf,
    binary: PathBuf,
    /// Says from which sources the program was built.
    stamp: PathBuf,
    /// What the stamp of the sources here is.
    wanted: String,
}

impl Built {
    fn new() -> Result<Self, Error> {
        let home = home();
        fs::create_dir_all(&home).context(|| format!("creating {}", home.display()))?;
        let home = home.canonicalize().context(|| format!("finding {}", home.display()))?;
        Ok(Self { binary: home.join("controlplane"), stamp: home.join("controlplane.stamp"), wanted: fingerprint()?, home })
    }

    fn is_current(&self) -> bool {
        self.binary.is_file() && fs::read_to_string(&self.stamp).is_ok_and(|found| found == self.wanted)
    }
}

/// Tells the person who waits. Not with `eprintln`, which tests keep back until they fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Changes when the Go sources change.
fn fingerprint() -> Result<String, Error> {
    let folder = sources();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).context(|| format!("reading {}", folder.display()))? {
        let path = entry.context(|| format!("reading {}", folder.display()))?.path();
        if path.extension().is_some_and(|end| end == "go" || end == "mod" || end == "sum") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut hasher = DefaultHasher::new();
    VERSION.hash(&mut hasher);
    for path in paths {
        path.file_name().hash(&mut hasher);
        fs::read(&path).context(|| format!("reading {}", path.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn build(home: &Path, binary: &Path, temporary: &Path) -> Result<(), Error> {
    let [major, minor, patch] = VERSION;
    let of_version = "k8s.io/component-base/version.git";
    let ldflags =
        format!("-s -w -X {of_version}Version=v{major}.{minor}.{patch} -X {of_version}Major={major} -X {of_version}Minor={minor}");
    let (unfinished, log_path) = (home.join("controlplane.new"), home.join("build.log"));
    let log = File::create(&log_path).context(|| format!("creating {}", log_path.display()))?;
    let mut go = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &ldflags, "-o"])
        .arg(&unfinished)
        .arg(".")
        .current_dir(sources())
        .env("CGO_ENABLED", "0")
        .env("GOTMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(
                "the control plane is built with Go, and there is no `go` in PATH: install Go 1.26 or newer (https://go.dev/dl), which \
                 downloads the modules of Kubernetes once, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, \
                 kube-controller-manager and kubectl",
            ),
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
            say(&format!("building the control plane (once, about 6 minutes): {} s", elapsed.as_secs()));
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        let log = tail(&read_lossy(&log_path), 20);
        return Err(Error::new(format!("building the control plane: go ended with {status}:\n{log}")));
    }
    fs::rename(&unfinished, binary).context(|| format!("renaming {}", unfinished.display()))
}

/// The processes that a process has started, where the kernel tells.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_modules() {
        let required = format!("k8s.io/kubernetes v{}\n", super::VERSION.join("."));
        assert!(include_str!("../go.mod").contains(&required), "go.mod does not require {required}");
    }
}
