//! Ctrl-C: everything that waits here gives up, and what was started is ended on the way out.

use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a program that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

/// Whether this program was asked to end.
pub struct Interrupt(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// It was.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped before it was over")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// From now on the first SIGINT, SIGTERM or SIGHUP is only noted here. The second ends this process at once; its children end with it.
    pub fn on_signals() -> io::Result<Self> {
        let inner = Arc::new(Inner::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        let noted = Arc::clone(&inner);
        std::thread::spawn(move || {
            runtime.block_on(async move {
                loop {
                    select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                    if std::mem::replace(&mut *noted.lock(), true) {
                        process::exit(EXIT_CODE);
                    }
                    noted.changed.notify_all();
                    programs::interrupt();
                }
            });
        });
        Ok(Self(inner))
    }

    /// Fails if it was.
    pub fn check(&self) -> Result<(), Interrupted> {
        self.sleep(Duration::ZERO)
    }

    /// Waits so long, or until this program is asked to end.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), time, |asked| !*asked);
        let (asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *asked { Err(Interrupted) } else { Ok(()) }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
