//! `kubectl nuvo schedule check`: the next slots of cron lines, without a cluster.

use k8s_openapi::jiff::Timestamp;

use super::{error::PluginError, exit_status::ExitStatus, output::print, schedule_args::ScheduleCheckArgs, slots::Slots, table::table};

/// Prints the slots.
///
/// # Errors
/// [`PluginError::Calendar`], [`PluginError::NotAllowed`] if there are none, [`PluginError::Output`].
pub fn check(args: &ScheduleCheckArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let slots = Slots::parse(&args.lines, &args.time_zone)?;
    let from = args.from.unwrap_or(now);
    let never = slots.never_due();
    for line in never.iter().filter_map(|position| args.lines.get(*position)) {
        eprintln!("'{line}' names no date that exists, so it is never due.");
    }
    if never.len() == args.lines.len() {
        return Err(PluginError::NotAllowed("there are no slots".to_owned()));
    }
    print(&slot_table(&slots, from, usize::from(args.count), &args.time_zone))?;
    Ok(ExitStatus::Success)
}

fn slot_table(slots: &Slots, from: Timestamp, count: usize, zone: &str) -> String {
    let rows: Vec<Vec<String>> = slots.after(from).take(count).map(|slot| vec![slot.local, slot.time.to_string(), slot.note]).collect();
    let noted = rows.iter().any(|row| row.last().is_some_and(|note| !note.is_empty()));
    let of_zone = format!("SLOT IN {zone}");
    let mut header = vec![of_zone.as_str(), "UTC"];
    header.extend(noted.then_some("NOTE"));
    table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_shows_the_slots_of_all_lines_with_notes_if_there_are_some() {
        let lines = ["30 2 * * 0".to_owned(), "0 12 28 * *".to_owned()];
        let slots = Slots::parse(&lines, "Europe/Berlin").unwrap();
        assert_eq!(
            slot_table(&slots, "2027-03-27T00:00:00Z".parse().unwrap(), 3, "Europe/Berlin"),
            "\
SLOT IN Europe/Berlin         UTC                    NOTE
Sun 2027-03-28 03:00 +02:00   2027-03-28T01:00:00Z   02:30 does not exist on this day: due when clocks have gone forward
Sun 2027-03-28 12:00 +02:00   2027-03-28T10:00:00Z
Sun 2027-04-04 02:30 +02:00   2027-04-04T00:30:00Z
"
        );
        let quiet = slot_table(&slots, "2027-05-01T00:00:00Z".parse().unwrap(), 1, "Europe/Berlin");
        assert_eq!(quiet, "SLOT IN Europe/Berlin         UTC\nSun 2027-05-02 02:30 +02:00   2027-05-02T00:30:00Z\n");
    }
}
