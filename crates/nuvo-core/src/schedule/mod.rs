//! The core: which slots of a schedule start a run, as pure functions. [`next`] decides; the rule itself is in `rule.rs`.
//!
//! | | what | a crash here |
//! |---|---|---|
//! | S1 | the status says which slot starts, and the name of its run | the next pass finds it pending |
//! | S2 | the run is created, under the one name of its slot | the next pass finds the run |
//! | S3 | the status claims the slot for the uid of the run, which may not trigger before ([`slot_claim`]) | S2 is tried again, and finds it |

mod act;
mod anchor;
mod calendar;
mod claim;
mod decision;
mod event;
mod facts;
mod history;
mod hold;
mod line;
mod next;
mod object;
mod pending;
mod record;
mod rule;
mod runs;
mod selector;
mod spread;
mod status;
mod template;

pub use act::{Act, Answer, Change, News};
pub use calendar::{Calendar, CalendarError};
pub use claim::slot_claim;
pub use event::ScheduleEvent;
pub use facts::{Facts, Surroundings};
pub use line::InvalidLine;
pub use next::next;
pub use object::Schedule;
pub use record::{Claim, Misses, Pending, Record};
pub use runs::{Progress, ScheduledRun};
pub use selector::selects;
pub use spread::offset;
pub use template::run_name;

#[cfg(test)]
mod tests;
