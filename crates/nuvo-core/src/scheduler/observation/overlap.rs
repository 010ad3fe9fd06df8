//! The part of the list in which executions can appear that are older than the newest ones: it is read now and then, not with each look.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::look::ObservedPage;

/// How often it is read. What has come late is seen so much later.
const EVERY: Duration = Duration::from_secs(300);

/// How far it was read.
#[derive(Debug, Default)]
pub(super) struct OverlapRead {
    /// When it was read whole last, and the newest execution then: what is older by the overlap cannot appear any more.
    last: Option<(Duration, Timestamp)>,
    /// What is being read: from this place on, and the newest execution when that began.
    reading: Option<(usize, Timestamp)>,
}

impl OverlapRead {
    /// The newest execution when all was read last. What is older by the overlap is known.
    pub(super) fn settled(&self) -> Option<Timestamp> {
        self.last.map(|(_, settled)| settled)
    }

    /// A look has read it all, when this was the newest.
    pub(super) fn done(&mut self, now: Duration, settled: Timestamp) {
        *self = Self { last: Some((now, settled)), reading: None };
    }

    /// A look has ended at this place, when this was the newest: what follows is read if it is time for that.
    pub(super) fn go_on(&mut self, offset: usize, settled: Timestamp, now: Duration) {
        let is_due = self.last.is_none_or(|(last, _)| now.saturating_sub(last) >= EVERY);
        if is_due && self.reading.is_none() {
            self.reading = Some((offset, settled));
        }
    }

    /// From which place on it is read next; none if it is not.
    pub(super) fn offset(&self) -> Option<usize> {
        self.reading.map(|(offset, _)| offset)
    }

    /// A page was read, and `back_to` is how far it has to be read. Returns the newest execution when that began, if it is read now.
    pub(super) fn add(&mut self, page: &ObservedPage, back_to: Option<Timestamp>, now: Duration) -> Option<Timestamp> {
        let (offset, settled) = self.reading.as_mut()?;
        *offset = offset.saturating_add(page.sent);
        let settled = *settled;
        let is_read = page.is_last || page.sent == 0 || back_to.is_none_or(|back_to| page.oldest().is_some_and(|oldest| oldest < back_to));
        if !is_read {
            return None;
        }
        self.done(now, settled);
        Some(settled)
    }

    /// What is being read is in no order.
    pub(super) fn give_up(&mut self) {
        self.reading = None;
    }
}
