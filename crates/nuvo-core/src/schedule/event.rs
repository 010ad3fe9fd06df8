//! The events of a schedule.

use nuvo_crds::conditions::ScheduleReason;

use super::act::News;

/// An event for `kubectl describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEvent {
    /// A person may have to act on it.
    pub warning: bool,
    /// In PascalCase.
    pub reason: &'static str,
    /// For people.
    pub note: String,
}

impl From<&News> for ScheduleEvent {
    fn from(news: &News) -> Self {
        match news {
            News::Started { slot, run } => {
                Self { warning: false, reason: "Scheduled", note: format!("Run {run} is started for the slot {slot}.") }
            }
            News::Missed { count: 1, at_least: false, newest, reason } => {
                Self { warning: true, reason: "Missed", note: format!("The slot {newest} was missed ({}).", reason.as_str()) }
            }
            News::Missed { count, at_least, newest, reason } => {
                let at_least = if *at_least { "At least " } else { "" };
                let note = format!("{at_least}{count} slots were missed ({}), the newest of them {newest}.", reason.as_str());
                Self { warning: true, reason: "Missed", note }
            }
            News::Unwell(reason, message) => {
                let word = match reason {
                    ScheduleReason::NameTaken => "NameTaken",
                    ScheduleReason::CreateRefused => "CreateRefused",
                    _ => "Invalid",
                };
                Self { warning: true, reason: word, note: message.clone() }
            }
        }
    }
}
