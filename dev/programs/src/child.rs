//! Waiting for a compiler, and giving up.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Context, Cost, Error, cost};

pub(crate) const POLL: Duration = Duration::from_millis(100);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every build and every start in this process give up, now and later: for a program that is asked to end while it waits for one.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Fails after [`interrupt`].
pub fn check_interrupted() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::new("interrupted")) } else { Ok(()) }
}

/// Waits for the end of `go` or `cargo`, and calls `look` now and then. Ends it, with its compilers, after [`interrupt`].
pub(crate) fn wait(child: &mut Child, name: &str, mut look: impl FnMut()) -> Result<(ExitStatus, Cost), Error> {
    let begun = Instant::now();
    loop {
        if let Some((status, cpu)) = cost::reap(child).context(|| format!("waiting for {name}"))? {
            return Ok((status, Cost { wall: begun.elapsed(), cpu }));
        }
        if let Err(interrupted) = check_interrupted() {
            // As Ctrl-C does, which reaches all of them: go does not end its compilers. After them it can remove what they wrote.
            let pids = children(child.id()).into_iter().chain([child.id()]).map(|pid| pid.to_string());
            // Fails only for those that have ended.
            let _ = Command::new("kill").arg("-INT").args(pids).output();
            let _ = child.wait();
            return Err(interrupted);
        }
        look();
        thread::sleep(POLL);
    }
}

/// The processes that a process has started, where the kernel tells.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>()).collect()
}
