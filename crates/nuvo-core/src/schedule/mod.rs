//! Cron lines and their slots.

mod calendar;
mod line;

pub use calendar::{Calendar, CalendarError};
pub use line::InvalidLine;
