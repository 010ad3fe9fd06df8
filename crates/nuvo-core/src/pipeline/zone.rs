//! The zone of nuvo's times that name none.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::sighting::NuvoInstant;

/// All zones in use differ from UTC by whole quarters of an hour.
const STEP: i64 = 15 * 60;
/// The widest offset in use.
const WIDEST: i64 = 14 * 3_600;
/// In autumn, an hour of local time comes twice: an execution that is this much older by its time can be new.
const REPEATED_HOUR: Duration = Duration::from_secs(75 * 60);

/// How far nuvo's times without a zone are ahead of UTC, as far as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zone {
    /// In seconds.
    offset: Option<i64>,
    /// Such a time was seen.
    is_needed: bool,
}

impl Zone {
    /// Learns from an execution that was created between these two times of the operator's clock.
    pub fn measure(&mut self, created: NuvoInstant, after: Timestamp, before: Timestamp) {
        if created.is_zoned {
            return;
        }
        self.is_needed = true;
        let width = before.duration_since(after).as_secs();
        // A longer one fits more than one zone.
        if !(0..STEP).contains(&width) {
            return;
        }
        let middle = after.as_second().saturating_add(width / 2);
        let ahead = created.at.as_second().saturating_sub(middle);
        let steps = ahead.saturating_add(STEP / 2).div_euclid(STEP);
        self.offset = Some(steps.saturating_mul(STEP)).filter(|offset| offset.abs() <= WIDEST).or(self.offset);
    }

    /// Learns from an execution whose true time was stored before. A time that was stored as it was sent shows nothing.
    pub fn recall(&mut self, created: NuvoInstant, stored: Timestamp) {
        let ahead = created.at.as_second().saturating_sub(stored.as_second());
        let is_offset = ahead != 0 && ahead.rem_euclid(STEP) == 0 && ahead.abs() <= WIDEST;
        if !created.is_zoned && self.offset.is_none() && is_offset {
            self.offset = Some(ahead);
        }
    }

    /// Takes notice of a time.
    pub fn notice(&mut self, instant: NuvoInstant) {
        self.is_needed |= !instant.is_zoned;
    }

    /// Whether nuvo's times name no zone, and it was not measured yet: they count as UTC.
    #[must_use]
    pub const fn is_assumed(&self) -> bool {
        self.is_needed && self.offset.is_none()
    }

    /// The instant that is meant.
    #[must_use]
    pub fn corrected(&self, instant: NuvoInstant) -> Timestamp {
        let offset = if instant.is_zoned { 0 } else { self.offset.unwrap_or_default() };
        instant.at.checked_sub(SignedDuration::from_secs(offset)).unwrap_or(instant.at)
    }

    /// How much older than the newest one a new execution can be by its time, if it can be so much older in any case.
    #[must_use]
    pub fn overlap(&self, in_any_case: Duration) -> Duration {
        if self.is_needed { in_any_case.max(REPEATED_HOUR) } else { in_any_case }
    }
}
