//! The simulator's clock: milliseconds since its start for itself, dates for its callers. A test can move it.

use std::time::Instant;

use jiff::{Timestamp, tz::TimeZone};

use crate::duration::{Millis, millis};

/// Counts from its making.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    begun: Instant,
    /// The date of moment 0, as the server believes it to be.
    origin: Millis,
    /// How far it was moved since.
    moved: Millis,
    /// The zone of the times that name none.
    local: TimeZone,
}

impl Clock {
    pub(crate) fn start(skew: Millis, local: TimeZone) -> Self {
        Self { begun: Instant::now(), origin: Timestamp::now().as_millisecond().saturating_add(skew), moved: 0, local }
    }

    pub(crate) fn now(&self) -> Millis {
        millis(self.begun.elapsed()).saturating_add(self.moved)
    }

    /// Goes on so much later than it would without this.
    pub(crate) fn set_moved(&mut self, moved: Millis) {
        self.moved = moved;
    }

    /// The date of moment 0 in milliseconds since 1970.
    pub(crate) fn origin(&self) -> Millis {
        self.origin
    }

    fn date(&self, at: Millis) -> Timestamp {
        Timestamp::from_millisecond(self.origin.saturating_add(at)).unwrap_or(Timestamp::MAX)
    }

    /// `2024-09-03T09:34:52.518Z`
    pub(crate) fn zoned(&self, at: Millis) -> String {
        self.date(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// `2022-03-07 12:48:28.653`, in the local zone of the server.
    pub(crate) fn bare(&self, at: Millis) -> String {
        self.date(at).to_zoned(self.local.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }
}
