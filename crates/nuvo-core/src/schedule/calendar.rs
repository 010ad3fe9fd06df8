//! Which minutes are slots: cron lines in a time zone.
//!
//! Every replica has to name the same slots, so the zones are those that are compiled in, not those of the machine.

use std::{cmp::Reverse, collections::BinaryHeap, iter};

use croner::Cron;
use jiff::{
    Timestamp, ToSpan, civil,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::line::{InvalidLine, parse_line};

/// A search that comes to nothing is made once more from a day later: some days do not exist in some zones, and end it.
const TRIES: u32 = 2;

/// Why a schedule has no slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CalendarError {
    /// A line is no cron line.
    #[error("{0}")]
    Line(#[from] InvalidLine),
    /// The time zone is not known.
    #[error("'{0}' is no time zone of the IANA database. Write it as there, for example Europe/Berlin or UTC")]
    Zone(String),
}

/// The union of the slots of some cron lines.
#[derive(Debug, Clone)]
pub struct Calendar {
    lines: Vec<Cron>,
    /// The lines, by their position, that name no date.
    never: Vec<usize>,
    zone: TimeZone,
}

impl Calendar {
    /// Reads the lines and the zone.
    ///
    /// # Errors
    /// [`CalendarError`] for the first line, or the zone, that cannot be read.
    pub fn parse(lines: &[String], zone: &str) -> Result<Self, CalendarError> {
        let (mut parsed, mut never) = (Vec::new(), Vec::new());
        for (index, line) in lines.iter().enumerate() {
            let line = parse_line(line)?;
            // What one time of a line has no date for, the others have none for.
            if line.first().is_none_or(names_a_date) { parsed.extend(line) } else { never.push(index) }
        }
        Ok(Self { lines: parsed, never, zone: time_zone(zone).ok_or_else(|| CalendarError::Zone(zone.to_owned()))? })
    }

    /// The slots after this time, in order, each once.
    pub fn slots_after(&self, time: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let upcoming = self.lines.iter().enumerate().filter_map(|(at, cron)| Some(Reverse((self.next_of(cron, time)?, at))));
        let mut upcoming: BinaryHeap<_> = upcoming.collect();
        let mut last = time;
        iter::from_fn(move || {
            loop {
                let Reverse((slot, at)) = upcoming.pop()?;
                upcoming.extend(self.lines.get(at).and_then(|cron| self.next_of(cron, slot)).map(|next| Reverse((next, at))));
                if slot > last {
                    last = slot;
                    return Some(slot);
                }
            }
        })
    }

    /// The first slot after this time.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.lines.iter().filter_map(|cron| self.next_of(cron, time)).min()
    }

    /// The newest slot that is not after this time.
    #[must_use]
    pub fn newest_until(&self, time: Timestamp) -> Option<Timestamp> {
        self.lines.iter().filter_map(|cron| self.previous_of(cron, time)).max()
    }

    /// The lines, by their position, that name no date that exists.
    #[must_use]
    pub fn never_due(&self) -> &[usize] {
        &self.never
    }

    fn next_of(&self, cron: &Cron, time: Timestamp) -> Option<Timestamp> {
        let mut from = time.to_zoned(self.zone.clone());
        for attempt in 0..TRIES {
            match cron.find_next_occurrence(&from, attempt > 0) {
                Ok(found) => return Some(found.timestamp()).filter(|found| *found > time),
                Err(_) => from = from.tomorrow().and_then(|next| next.start_of_day()).ok()?,
            }
        }
        None
    }

    fn previous_of(&self, cron: &Cron, time: Timestamp) -> Option<Timestamp> {
        let mut from = time.to_zoned(self.zone.clone());
        for _ in 0..TRIES {
            match cron.find_previous_occurrence(&from, true) {
                Ok(found) => return Some(found.timestamp()).filter(|found| *found <= time),
                Err(_) => from = from.start_of_day().and_then(|day| day.checked_sub(1.second())).ok()?,
            }
        }
        None
    }
}

/// Whether there is such a date. croner searches until the year 5000, which takes seconds: here it has 28 years left, in which each day of
/// the week falls on each date.
fn names_a_date(cron: &Cron) -> bool {
    let last_years = civil::date(4972, 1, 1).to_zoned(TimeZone::UTC);
    last_years.is_ok_and(|from| cron.find_next_occurrence(&from, true).is_ok())
}

/// A zone by the name that the database gives it.
fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

#[cfg(test)]
mod tests;
