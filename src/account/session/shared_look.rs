//! A look at nuvo that all share who asked before it began.

use nuvo_client::Error;
use tokio::{sync::Mutex, time::Instant};

/// The last look.
#[derive(Debug)]
pub(super) struct SharedLook<T>(Mutex<Option<Look<T>>>);

#[derive(Debug)]
struct Look<T> {
    began: Instant,
    shown: Result<T, Error>,
}

impl<T> Default for SharedLook<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> SharedLook<T> {
    /// What a look has shown that began `after` this moment. Whoever asks during a look shares the next one.
    ///
    /// # Errors
    /// Why it has failed.
    pub(super) async fn after(&self, after: Instant, look: impl AsyncFnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let mut last = self.0.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.began >= after) {
            return look.shown.clone();
        }
        let began = Instant::now();
        let shown = look().await;
        *last = Some(Look { began, shown: shown.clone() });
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_that_asked_before_a_look_began_share_it() {
        let (shared, looks) = (SharedLook::default(), AtomicU32::new(0));
        let early = Instant::now();
        let look = async |after| shared.after(after, async || Ok(looks.fetch_add(1, Ordering::Relaxed))).await.unwrap();
        assert_eq!((look(early).await, look(early).await), (0, 0));
        assert_eq!(look(Instant::now()).await, 1, "the look began before");
        let failed = shared.after(Instant::now(), async || Err(Error::TimedOut)).await;
        assert!(failed.is_err() && looks.load(Ordering::Relaxed) == 2);
    }
}
