//! How far a build is, for a person to see.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Between two lines where a line cannot be written over.
const LINE_EVERY: Duration = Duration::from_secs(15);
const REDRAW_EVERY: Duration = Duration::from_millis(500);

/// How far one build is.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    unit: &'static str,
    done: AtomicUsize,
    total: AtomicUsize,
    complete: AtomicBool,
}

impl Progress {
    /// That of a build which has not begun. The unit is a plural, like `packages`.
    pub fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, done: AtomicUsize::new(0), total: AtomicUsize::new(0), complete: AtomicBool::new(false) }
    }

    /// Whether all of it is done.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    pub(crate) fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
    }

    pub(crate) fn set_total(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, unit, .. } = self;
        match (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed)) {
            (_, 0) => f.write_str(name),
            (done, total) => write!(f, "{name}: {done} of {total} {unit}"),
        }
    }
}

/// Shows builds that run side by side, in one line that changes, or in a new line now and then where that is impossible.
#[derive(Debug)]
pub struct Display {
    begun: Instant,
    /// When something was last shown.
    shown: Duration,
    redraws: bool,
}

impl Display {
    /// For a program that writes nothing else meanwhile.
    pub fn new() -> Self {
        Self { redraws: io::stderr().is_terminal(), ..Self::among_others() }
    }

    /// For a program that does, as tests do: in new lines only.
    pub fn among_others() -> Self {
        Self { begun: Instant::now(), shown: Duration::ZERO, redraws: false }
    }

    /// Shows how far these builds are, if it is time for that.
    pub fn show<'a>(&mut self, builds: impl IntoIterator<Item = &'a Progress>) {
        let elapsed = self.begun.elapsed();
        if elapsed.saturating_sub(self.shown) < if self.redraws { REDRAW_EVERY } else { LINE_EVERY } {
            return;
        }
        self.shown = elapsed;
        let builds = builds.into_iter().map(Progress::to_string).collect::<Vec<_>>().join("; ");
        // Short, because a line that is wrapped cannot be written over.
        let line = format!("{builds} ({} s)", elapsed.as_secs());
        let mut out = io::stderr().lock();
        let _ = if self.redraws { write!(out, "\r{line}\x1b[K") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Removes the line that changes, for what comes after it.
    pub fn clear(&mut self) {
        if self.redraws {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn the_total_is_shown_as_soon_as_it_is_known() {
        let progress = Progress::new("control plane", "packages");
        progress.advance();
        assert_eq!(progress.to_string(), "control plane");
        progress.set_total(2_354);
        assert_eq!(progress.to_string(), "control plane: 1 of 2354 packages");
    }
}
