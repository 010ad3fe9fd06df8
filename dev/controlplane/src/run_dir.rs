//! The folder of one control plane or of what else runs here, and its end.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use programs::{home, say};

use crate::{Context, Error};

/// Set, it keeps the folders, with all logs.
const KEEP: &str = "CONTROLPLANE_KEEP";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed when this is dropped. One whose process ended without that is removed by the next that is made.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Locked as long as the folder is in use: the lock ends with the process.
    _in_use: File,
}

impl RunDir {
    /// Makes one, where the control planes have theirs.
    pub fn create() -> Result<Self, Error> {
        let home = home("controlplane");
        fs::create_dir_all(&home).context(|| format!("creating {}", home.display()))?;
        let home = home.canonicalize().context(|| format!("finding {}", home.display()))?;
        // Held until the new folder is locked too, so that no other process takes it for a left one.
        let all = File::create(home.join("runs.lock")).context(|| format!("opening runs.lock in {}", home.display()))?;
        all.lock().context(|| "locking runs.lock".to_owned())?;
        remove_left(&home);
        let path = home.join(format!("run-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).context(|| format!("creating {}", path.display()))?;
        let in_use = File::create(path.join("in-use.lock")).context(|| format!("opening a lock in {}", path.display()))?;
        in_use.lock().context(|| format!("locking {}", path.display()))?;
        Ok(Self { path, _in_use: in_use })
    }

    /// Its path, from the root of the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if env::var_os(KEEP).is_some() {
            say(&format!("{KEEP} is set: the control plane left {}", self.path.display()));
            // Without its lock no process removes it.
            let _ = fs::remove_file(self.path.join("in-use.lock"));
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders that processes left which are gone. A folder that cannot be removed is only untidy.
fn remove_left(home: &Path) {
    if env::var_os(KEEP).is_some() {
        return;
    }
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("run-")
            && let Ok(in_use) = File::open(path.join("in-use.lock"))
            && in_use.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
