//! The POSTs of one account that nuvo has not answered yet.

use std::time::Duration;

/// A nuvo that has answered no POST for this long, although one is out, may hang: each further one would be in doubt, too.
const PATIENCE: Duration = Duration::from_secs(10);

/// The POSTs that are out. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Default)]
pub(super) struct Posts {
    /// When each of them was sent.
    out: Vec<Duration>,
    answered: Duration,
}

impl Posts {
    /// A POST is sent.
    pub(super) fn sent(&mut self, now: Duration) {
        self.out.push(now);
    }

    /// The one that was sent then is over, with an answer or without.
    pub(super) fn ended(&mut self, sent: Duration, is_answered: bool, now: Duration) {
        if let Some(position) = self.out.iter().position(|other| *other == sent) {
            self.out.swap_remove(position);
        }
        if is_answered {
            self.answered = now;
        }
    }

    /// Whether one of them has been out for long, and none was answered since.
    pub(super) fn hang(&self, now: Duration) -> bool {
        let oldest = self.out.iter().filter(|sent| **sent > self.answered).min();
        oldest.is_some_and(|sent| now.saturating_sub(*sent) >= PATIENCE)
    }
}
