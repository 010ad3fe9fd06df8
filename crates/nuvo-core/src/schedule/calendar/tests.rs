#![allow(clippy::arithmetic_side_effects, reason = "a test ends where it cannot go on")]

use std::collections::BTreeSet;

use jiff::civil::DateTime;

use super::*;

fn calendar(lines: &[&str], zone: &str) -> Calendar {
    Calendar::parse(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), zone).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The slots from a local time on, before another one, as local times with their offset.
fn slots(lines: &[&str], zone: &str, from: &str, until: &str) -> Vec<String> {
    let tz = time_zone(zone).unwrap();
    let local = |text: &str| text.parse::<DateTime>().unwrap().to_zoned(tz.clone()).unwrap().timestamp();
    let calendar = calendar(lines, zone);
    let found = calendar.slots_after(local(from)).take_while(|slot| *slot < local(until));
    found.map(|slot| slot.to_zoned(tz.clone()).strftime("%d %H:%M%:z").to_string()).collect()
}

#[test]
fn fixed_time_in_the_gap_is_due_at_its_end() {
    assert_eq!(slots(&["30 2 * * *"], "Europe/Berlin", "2027-03-27T12:00", "2027-03-29T12:00"), ["28 03:00+02:00", "29 02:30+02:00"]);
    assert_eq!(slots(&["15 2 * * *"], "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-05T00:00"), ["04 02:30+11:00"]);
    assert_eq!(slots(&["0 0 * * *"], "America/Santiago", "2026-09-05T12:00", "2026-09-07T12:00"), ["06 01:00-03:00", "07 00:00-03:00"]);
}

#[test]
fn fixed_time_in_the_doubled_hour_is_due_once() {
    assert_eq!(slots(&["30 2 * * *"], "Europe/Berlin", "2026-10-24T12:00", "2026-10-26T12:00"), ["25 02:30+02:00", "26 02:30+01:00"]);
    assert_eq!(slots(&["45 1 * * *"], "Australia/Lord_Howe", "2027-04-03T12:00", "2027-04-04T12:00"), ["04 01:45+11:00"]);
    assert_eq!(slots(&["30 23 * * *"], "America/Santiago", "2027-04-03T12:00", "2027-04-04T12:00"), ["03 23:30-03:00"]);
}

#[test]
fn interval_follows_the_clock_on_the_wall() {
    assert_eq!(
        slots(&["*/30 * * * *"], "Europe/Berlin", "2026-10-25T01:30", "2026-10-25T03:30"),
        ["25 02:00+02:00", "25 02:30+02:00", "25 02:00+01:00", "25 02:30+01:00", "25 03:00+01:00"]
    );
    assert_eq!(
        slots(&["0 */2 * * *"], "Europe/Berlin", "2026-10-25T00:30", "2026-10-25T05:00"),
        ["25 02:00+02:00", "25 02:00+01:00", "25 04:00+01:00"]
    );
    assert_eq!(slots(&["0 */2 * * *"], "Europe/Berlin", "2027-03-28T00:30", "2027-03-28T07:00"), ["28 04:00+02:00", "28 06:00+02:00"]);
    assert_eq!(
        slots(&["*/15 * * * *"], "Australia/Lord_Howe", "2026-10-04T01:30", "2026-10-04T03:00"),
        ["04 01:45+10:30", "04 02:30+11:00", "04 02:45+11:00"]
    );
    assert_eq!(
        slots(&["*/15 * * * *"], "Europe/Berlin", "2027-03-28T01:30", "2027-03-28T03:30"),
        ["28 01:45+01:00", "28 03:00+02:00", "28 03:15+02:00"]
    );
}

/// croner alone takes a list of hours for an interval.
#[test]
fn list_of_fixed_times_is_due_as_each_of_them() {
    assert_eq!(slots(&["30 2,3 * * *"], "Europe/Berlin", "2027-03-28T00:00", "2027-03-28T12:00"), ["28 03:00+02:00", "28 03:30+02:00"]);
    assert_eq!(slots(&["0 2,14 * * *"], "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T23:00"), ["25 02:00+02:00", "25 14:00+01:00"]);
}

#[test]
fn search_from_inside_the_doubled_hour_finds_the_next_day() {
    let calendar = calendar(&["30 2 * * *"], "Europe/Berlin");
    let second = at("2026-10-25T02:10+01:00");
    assert_eq!(calendar.next_after(second), Some(at("2026-10-26T02:30+01:00")));
    assert_eq!(calendar.newest_until(second), Some(at("2026-10-25T02:30+02:00")));
}

#[test]
fn line_without_a_date_is_never_due() {
    let now = at("2026-11-28T00:00Z");
    let never = calendar(&["0 0 31 2 *"], "UTC");
    assert_eq!((never.next_after(now), never.newest_until(now), never.never_due().to_vec()), (None, None, vec![0]));
    let one_of_two = calendar(&["0 1,2 31 2 *", "@daily"], "UTC");
    assert_eq!((one_of_two.next_after(now), one_of_two.never_due().to_vec()), (Some(at("2026-11-29T00:00Z")), vec![0]));
}

#[test]
fn day_that_does_not_exist_does_not_end_the_search() {
    let calendar = calendar(&["0 12 * * *"], "Pacific/Apia");
    let (before, after) = (at("2011-12-29T12:00-10:00"), at("2011-12-31T12:00+14:00"));
    assert_eq!(calendar.next_after(before), Some(after));
    assert_eq!(calendar.newest_until(at("2011-12-31T11:00+14:00")), Some(before));
}

#[test]
fn leap_day_is_found_across_a_century_without_one() {
    let calendar = calendar(&["0 0 29 2 *"], "UTC");
    assert_eq!(calendar.next_after(at("2096-02-29T00:00Z")), Some(at("2104-02-29T00:00Z")));
    assert_eq!(calendar.newest_until(at("2104-02-28T00:00Z")), Some(at("2096-02-29T00:00Z")));
}

#[test]
fn minute_that_two_lines_name_is_one_slot() {
    let lines = ["0 * * * *", "0,30 12 * * *", "@hourly"];
    assert_eq!(
        slots(&lines, "UTC", "2026-11-28T10:30", "2026-11-28T13:30"),
        ["28 11:00+00:00", "28 12:00+00:00", "28 12:30+00:00", "28 13:00+00:00"]
    );
}

#[test]
fn syntax_of_croner_means_what_the_page_says() {
    for (line, expected) in [
        ("0 0 L * *", "2026-11-30T00:00Z"),
        ("0 0 * * 5#2", "2026-12-11T00:00Z"),
        ("0 0 1W * *", "2026-12-01T00:00Z"),
        ("0 0 ? * 7", "2026-11-29T00:00Z"),
        ("0 0 * * MON", "2026-11-30T00:00Z"),
        ("@daily", "2026-11-29T00:00Z"),
        ("@hourly", "2026-11-28T13:00Z"),
        // Day of month or day of week, as a CronJob has it.
        ("0 0 13 * 5", "2026-12-04T00:00Z"),
    ] {
        assert_eq!(calendar(&[line], "UTC").next_after(at("2026-11-28T12:00Z")), Some(at(expected)), "{line}");
    }
}

#[test]
fn zone_is_one_of_the_database_exactly() {
    for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Etc/GMT+5"] {
        assert!(time_zone(zone).is_some(), "{zone}");
    }
    for zone in [
        "Local",
        "local",
        "localtime",
        "posixrules",
        "europe/berlin",
        "Europe/Atlantis",
        "",
        "CET-1CEST",
        "+02:00",
        "utc",
        "/etc/localtime",
    ] {
        assert!(time_zone(zone).is_none(), "{zone}");
        let error = Calendar::parse(&["@daily".to_owned()], zone).unwrap_err();
        assert_eq!(error, CalendarError::Zone(zone.to_owned()));
    }
}

/// An update of croner, jiff or the database must not change a schedule unnoticed.
#[test]
fn occurrences_are_monotonic_and_agree_in_both_directions() {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "America/Santiago",
        "America/New_York",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/St_Johns",
    ];
    let patterns =
        ["30 2 * * *", "*/30 * * * *", "0 */2 * * *", "15 2,14 * * *", "0 0 * * *", "59 23 31 * *", "10-50/20 1-3 * * 0", "0 9 * * MON#1"];
    let (from, until) = (at("2026-08-01T00:00Z"), at("2027-05-01T00:00Z"));
    let mut seen = 0_u64;
    let mut hash = 0_u64;
    for zone in zones {
        for pattern in patterns {
            let calendar = calendar(&[pattern], zone);
            let all: Vec<Timestamp> = calendar.slots_after(from).take_while(|slot| *slot < until).collect();
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{zone} {pattern}");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
            for pair in all.windows(2) {
                let middle = Timestamp::from_second((pair[0].as_second() + pair[1].as_second()) / 2).unwrap();
                assert_eq!(calendar.next_after(middle), Some(pair[1]), "{zone} {pattern} from {middle}");
                assert_eq!(calendar.newest_until(middle), Some(pair[0]), "{zone} {pattern} before {middle}");
                assert_eq!(calendar.newest_until(pair[1]), Some(pair[1]), "{zone} {pattern} at {}", pair[1]);
            }
            for slot in &all {
                seen += 1;
                hash = (hash ^ u64::try_from(slot.as_second()).unwrap()).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    assert_eq!((seen, hash), (160_521, 7_488_455_591_557_246_460), "a slot has moved");
}
