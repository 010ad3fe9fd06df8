//! A wall clock that a test moves at any moment.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Context, Error};

/// An offset of the wall clock, in a file: programs that begin with [`MovedClock::environment`] follow it at once, and so does a proxy that was
/// given it ([`crate::Proxy::follow_clock`]). Clocks that do not go back, by which a program waits, are left alone.
#[derive(Debug, Clone)]
pub struct MovedClock {
    library: PathBuf,
    path: PathBuf,
    file: Arc<File>,
}

impl MovedClock {
    /// One that is not moved yet, with its files in this folder. Every machine that can link Rust has the C compiler that this needs.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [library, path] = ["so", "offset"].map(|kind| folder.join(format!("moved-clock-{number}.{kind}")));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/moved_clock.c");
        let compiled = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
        let compiled = compiled.context(|| "cc".to_owned())?;
        if !compiled.status.success() {
            return Err(Error::new(format!("cc could not compile {source}: {}", String::from_utf8_lossy(&compiled.stderr))));
        }
        let file = File::options().read(true).write(true).create_new(true).open(&path).context(|| path.display().to_string())?;
        let clock = Self { library, path, file: Arc::new(file) };
        clock.set(0)?;
        Ok(clock)
    }

    /// The variables for the environment of a program whose clock this is to be.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("CLOCK_OFFSET_FILE", &self.path)]
    }

    /// Sets how many seconds the clock is ahead.
    pub fn set(&self, seconds: i64) -> Result<(), Error> {
        // In place: a file that gets shorter takes its mapped pages away from the programs.
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).context(|| self.path.display().to_string())
    }

    /// How many seconds the clock is ahead.
    pub fn seconds(&self) -> Result<i64, Error> {
        let mut seconds = [0; size_of::<i64>()];
        self.file.read_exact_at(&mut seconds, 0).context(|| self.path.display().to_string())?;
        Ok(i64::from_ne_bytes(seconds))
    }
}
