//! Shutdown as a parameter: the owner holds the [`Stop`], and each task that must end holds a [`Shutdown`].

use tokio::sync::watch;

/// A pair of both ends. Dropping the [`Stop`] counts as stopping, so that nothing outlives its owner.
pub fn channel() -> (Stop, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Shutdown(receiver))
}

/// The end that asks for the shutdown.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Asks for the shutdown. Asking again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The end that is asked. Clones are cheap and all see the same.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Whether the shutdown has been asked for: no new irreversible act may start.
    pub fn is_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the shutdown is asked for. Dropping the future loses nothing.
    pub async fn begun(&self) {
        // An error means that the owner was dropped, which counts as stopping.
        let mut receiver = self.0.clone();
        let _gone = receiver.wait_for(|stopped| *stopped).await.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_and_drop_both_begin_the_shutdown() {
        let (stop, shutdown) = channel();
        assert!(!shutdown.is_begun());
        stop.stop();
        assert!(shutdown.is_begun());
        shutdown.begun().await;

        let (stop, shutdown) = channel();
        drop(stop);
        assert!(shutdown.is_begun());
        shutdown.begun().await;
    }
}
