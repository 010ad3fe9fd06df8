//! A real memory limit for one process, as a container has it: a control group of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Failure;

/// How long the last process of a group may take to leave it.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// The names of the files of one version of control groups.
struct Files {
    limit: &'static str,
    peak: &'static str,
    kills: &'static str,
}

const VERSION_1: Files = Files { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", kills: "memory.oom_control" };
const VERSION_2: Files = Files { limit: "memory.max", peak: "memory.peak", kills: "memory.events" };

/// A group with a limit. It is removed when this is dropped.
pub struct MemoryGroup {
    folder: PathBuf,
    files: Files,
}

impl MemoryGroup {
    /// A group whose processes may use this many bytes together.
    ///
    /// # Errors
    /// This machine has no such groups, or this user may not make one.
    pub fn new(bytes: u64) -> Result<Self, Failure> {
        let mut refusals = Vec::new();
        for (parent, files) in parents() {
            let folder = parent.join(format!("nuvo-bench-{}", std::process::id()));
            if let Err(error) = fs::create_dir(&folder) {
                refusals.push(format!("{}: {error}", folder.display()));
                continue;
            }
            let group = Self { folder, files };
            match fs::write(group.folder.join(group.files.limit), bytes.to_string()) {
                Ok(()) => {
                    // Else what exceeds the limit would be swapped out. The file is missing where there is no accounting of swap.
                    let _ = fs::write(group.folder.join("memory.swap.max"), "0");
                    return Ok(group);
                }
                Err(error) => refusals.push(format!("{}/{}: {error}", group.folder.display(), group.files.limit)),
            }
        }
        let why = if refusals.is_empty() { "no control group here has the memory controller".to_owned() } else { refusals.join("; ") };
        Err(why.into())
    }

    /// The file that takes the id of a process that joins.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most that its processes used together, in KiB, with the caches that the kernel could have dropped.
    pub fn peak(&self) -> u64 {
        let bytes: u64 = self.read(self.files.peak).trim().parse().unwrap_or_default();
        bytes.checked_div(1 << 10).unwrap_or_default()
    }

    /// How many of its processes were killed because of the limit.
    pub fn kills(&self) -> u64 {
        let text = self.read(self.files.kills);
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let mut waited = Duration::ZERO;
        while fs::remove_dir(&self.folder).is_err() && waited < LEAVES_WITHIN {
            thread::sleep(CHECK_EVERY);
            waited = waited.saturating_add(CHECK_EVERY);
        }
    }
}

/// The groups in which this process may be able to make one, the nearest first.
fn parents() -> Vec<(PathBuf, Files)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut parents = Vec::new();
    for mount in mounts.lines() {
        let mut fields = mount.split(' ').skip(1);
        let (Some(folder), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let is_version_2 = kind == "cgroup2";
        let is_version_1 = kind == "cgroup" && options.split(',').any(|option| option == "memory");
        if !is_version_1 && !is_version_2 {
            continue;
        }
        let controls = |line: &&str| {
            let controllers = line.split(':').nth(1).unwrap_or_default();
            if is_version_2 { controllers.is_empty() } else { controllers.split(',').any(|controller| controller == "memory") }
        };
        let path = own.lines().find(controls).and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or_default();
        let own = Path::new(folder).join(path.trim_start_matches('/'));
        for group in own.ancestors().take_while(|group| group.starts_with(folder)) {
            // A group has the files of a controller only if its parent passes the controller on.
            if !is_version_2 {
                parents.push((group.to_owned(), VERSION_1));
            } else if fs::read_to_string(group.join("cgroup.subtree_control"))
                .unwrap_or_default()
                .split_whitespace()
                .any(|of| of == "memory")
            {
                parents.push((group.to_owned(), VERSION_2));
            }
        }
    }
    parents
}
