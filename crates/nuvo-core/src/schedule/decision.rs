//! What follows from the facts for the slots of a schedule.

use jiff::Timestamp;
use nuvo_crds::{MissedReason, conditions::ScheduleReason};

use super::{
    act::{Act, News},
    record::Record,
};

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// What is to be remembered.
    pub record: Record,
    /// What became of slots.
    pub news: Vec<News>,
    /// Why `Ready` is what it is; none if it stays as it is.
    pub ready: Option<(ScheduleReason, String)>,
    /// The pending run is to be created, once this is remembered.
    pub creates: bool,
    /// When the next slot is due.
    pub next: Option<Timestamp>,
    /// When the schedule is looked at again at the latest.
    pub wake: Option<Timestamp>,
}

/// What was decided, or the read without which it cannot be.
pub(super) type Decided = Result<Decision, Act>;

impl Decision {
    /// Nothing was decided yet.
    pub(super) const fn of(record: Record) -> Self {
        Self { record, news: Vec::new(), ready: None, creates: false, next: None, wake: None }
    }

    /// Says why `Ready` is what it is.
    pub(super) fn because(mut self, reason: ScheduleReason, message: impl Into<String>) -> Self {
        self.ready = Some((reason, message.into()));
        self
    }

    /// Has the schedule looked at again at this time.
    pub(super) fn until(mut self, wake: impl IntoIterator<Item = Timestamp>) -> Self {
        self.wake = self.wake.into_iter().chain(wake).min();
        self
    }

    /// Counts slots as missed.
    pub(super) fn miss(&mut self, count: usize, at_least: bool, newest: Timestamp, reason: MissedReason) {
        if count > 0 {
            self.record.missed.add(count, newest, reason);
            self.record.missed.at_least |= at_least;
            self.news.push(News::Missed { count, at_least, newest, reason });
        }
    }
}
