//! The slots of cron lines for people: on the wall clock of their time zone, with what a change of that clock does to them.
//!
//! They come from the calendar of the operator, so that the plugin cannot say anything else.

use k8s_openapi::jiff::{
    Timestamp, Zoned,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};
use nuvo_core::schedule::{Calendar, CalendarError};

/// The most times on the clock that are looked at between two slots: as many as a day has minutes.
const TIMES: usize = 1_440;

/// Cron lines in a time zone.
pub struct Slots {
    calendar: Calendar,
    /// The same lines on a clock that never changes: what they name.
    named: Calendar,
    zone: TimeZone,
}

/// A slot.
pub struct Slot {
    /// When it is.
    pub time: Timestamp,
    /// The same on the clock of its zone.
    pub local: String,
    /// What a change of that clock does to it; empty if nothing.
    pub note: String,
}

impl Slots {
    /// Reads the lines and the zone as the operator does.
    ///
    /// # Errors
    /// [`CalendarError`].
    pub fn parse(lines: &[String], zone: &str) -> Result<Self, CalendarError> {
        let calendar = Calendar::parse(lines, zone)?;
        let found = TimeZoneDatabase::bundled().get(zone).map_err(|_| CalendarError::Zone(zone.to_owned()))?;
        Ok(Self { calendar, named: Calendar::parse(lines, "UTC")?, zone: found })
    }

    /// The slots after this time.
    pub fn after(&self, time: Timestamp) -> impl Iterator<Item = Slot> + '_ {
        self.calendar.slots_after(time).scan(time, |before, time| {
            let slot = self.slot(*before, time);
            *before = time;
            Some(slot)
        })
    }

    /// The slots up to this time, newest first.
    pub fn until(&self, time: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let before = |slot: &Timestamp| self.calendar.newest_until(Timestamp::from_second(slot.as_second().checked_sub(1)?).ok()?);
        std::iter::successors(self.calendar.newest_until(time), before)
    }

    /// The positions of the lines that name no date that exists.
    #[must_use]
    pub fn never_due(&self) -> &[usize] {
        self.calendar.never_due()
    }

    /// This time on the clock of the zone.
    #[must_use]
    pub fn local(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M %:z").to_string()
    }

    fn slot(&self, before: Timestamp, time: Timestamp) -> Slot {
        let on_the_clock = time.to_zoned(self.zone.clone());
        let missing = self.missing(&before.to_zoned(self.zone.clone()), &on_the_clock);
        let note = match (missing.as_slice(), self.repeated(&on_the_clock)) {
            ([], None) => String::new(),
            ([], Some(note)) => note,
            ([one], _) if !self.names(on_the_clock.datetime()) => {
                format!("{} does not exist on this day: due when clocks have gone forward", hour_and_minute(*one))
            }
            ([one], _) => format!("{} does not exist on this day: clocks go forward", hour_and_minute(*one)),
            ([first, rest @ ..], _) => {
                format!("{} and {} more do not exist on this day: clocks go forward", hour_and_minute(*first), rest.len())
            }
        };
        Slot { time, local: self.local(time), note }
    }

    /// The times between two slots that the lines name and the clock skips.
    fn missing(&self, before: &Zoned, slot: &Zoned) -> Vec<DateTime> {
        let (Some(start), Some(end)) = (on_a_steady_clock(before.datetime()), on_a_steady_clock(slot.datetime())) else {
            return Vec::new();
        };
        let between = self.named.slots_after(start).take_while(|named| *named < end).take(TIMES);
        let times = between.map(|named| named.to_zoned(TimeZone::UTC).datetime());
        times.filter(|time| matches!(self.zone.to_ambiguous_timestamp(*time).offset(), AmbiguousOffset::Gap { .. })).collect()
    }

    /// What there is to say of a time that comes twice.
    fn repeated(&self, slot: &Zoned) -> Option<String> {
        let AmbiguousOffset::Fold { before, after } = self.zone.to_ambiguous_timestamp(slot.datetime()).offset() else { return None };
        let (first, second) = (before.to_timestamp(slot.datetime()).ok()?, after.to_timestamp(slot.datetime()).ok()?);
        let is_slot = |time: Timestamp| self.calendar.newest_until(time) == Some(time);
        let time = hour_and_minute(slot.datetime());
        Some(match (is_slot(first) && is_slot(second), slot.timestamp() == first) {
            (true, true) => format!("{time} comes twice on this day: the first of two slots"),
            (true, false) => format!("{time} comes twice on this day: the second of two slots"),
            (false, _) => format!("{time} comes twice on this day: due once"),
        })
    }

    fn names(&self, time: DateTime) -> bool {
        on_a_steady_clock(time).is_some_and(|time| self.named.newest_until(time) == Some(time))
    }
}

fn on_a_steady_clock(time: DateTime) -> Option<Timestamp> {
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn hour_and_minute(time: DateTime) -> String {
    time.strftime("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str], zone: &str, from: &str, count: usize) -> Vec<String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let slots = Slots::parse(&lines, zone).unwrap();
        slots.after(from.parse().unwrap()).take(count).map(|slot| format!("{} | {}", slot.local, slot.note)).collect()
    }

    #[test]
    fn fixed_time_in_the_gap_says_why_it_is_late() {
        assert_eq!(
            shown(&["30 2 * * *"], "Europe/Berlin", "2027-03-27T00:00:00Z", 3),
            [
                "Sat 2027-03-27 02:30 +01:00 | ",
                "Sun 2027-03-28 03:00 +02:00 | 02:30 does not exist on this day: due when clocks have gone forward",
                "Mon 2027-03-29 02:30 +02:00 | ",
            ]
        );
        assert_eq!(
            shown(&["15 2 * * *"], "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1),
            ["Sun 2026-10-04 02:30 +11:00 | 02:15 does not exist on this day: due when clocks have gone forward"]
        );
    }

    #[test]
    fn interval_in_the_gap_says_what_is_left_out() {
        assert_eq!(
            shown(&["*/30 * * * *"], "Europe/Berlin", "2027-03-28T00:00:00Z", 2),
            [
                "Sun 2027-03-28 01:30 +01:00 | ",
                "Sun 2027-03-28 03:00 +02:00 | 02:00 and 1 more do not exist on this day: clocks go forward",
            ]
        );
        assert_eq!(
            shown(&["0 * * * *"], "Europe/Berlin", "2027-03-28T00:30:00Z", 1),
            ["Sun 2027-03-28 03:00 +02:00 | 02:00 does not exist on this day: clocks go forward"]
        );
    }

    #[test]
    fn doubled_hour_says_whether_a_slot_comes_once_or_twice() {
        assert_eq!(
            shown(&["30 2 * * *"], "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["Sun 2026-10-25 02:30 +02:00 | 02:30 comes twice on this day: due once", "Mon 2026-10-26 02:30 +01:00 | "]
        );
        assert_eq!(
            shown(&["0 2-3 * * *"], "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
            [
                "Sun 2026-10-25 02:00 +02:00 | 02:00 comes twice on this day: the first of two slots",
                "Sun 2026-10-25 02:00 +01:00 | 02:00 comes twice on this day: the second of two slots",
                "Sun 2026-10-25 03:00 +01:00 | ",
            ]
        );
    }

    #[test]
    fn slots_go_back_from_a_time_newest_first() {
        let slots = Slots::parse(&["0 2 * * 1-5".to_owned()], "UTC").unwrap();
        let found: Vec<String> = slots.until("2026-11-30T02:00:00Z".parse().unwrap()).take(3).map(|slot| slot.to_string()).collect();
        assert_eq!(found, ["2026-11-30T02:00:00Z", "2026-11-27T02:00:00Z", "2026-11-26T02:00:00Z"]);
    }
}
