//! The plugin as a process, without an API server. `tests/e2e/plugin.rs` tests it with one.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::process::{Command, Output};

fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-nuvo")).args(arguments).output().unwrap()
}

#[test]
fn completion_without_a_cluster_prints_a_script() {
    let output = plugin(&["completion", "bash"]);
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && script.contains("complete"), "{:?}: {script}", output.status);
}

#[test]
fn command_line_with_an_unknown_flag_ends_with_2() {
    let output = plugin(&["list", "--nonsense"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("--nonsense"), "{complaint}");
}

/// A check needs no cluster, and says the same whatever the time zone of the machine is.
#[test]
fn cron_lines_are_checked_without_a_cluster() {
    let check = |arguments: &[&str]| {
        let command = ["schedule", "check", "--from", "2027-03-27T00:00:00Z", "--count", "2"];
        Command::new(env!("CARGO_BIN_EXE_kubectl-nuvo"))
            .args(command)
            .args(arguments)
            .env("KUBECONFIG", "/nonexistent")
            .env("TZ", "Asia/Tokyo")
            .output()
            .unwrap()
    };
    let output = check(&["30 2 * * *", "--tz", "Europe/Berlin"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\
SLOT IN Europe/Berlin         UTC                    NOTE
Sat 2027-03-27 02:30 +01:00   2027-03-27T01:30:00Z
Sun 2027-03-28 03:00 +02:00   2027-03-28T01:00:00Z   02:30 does not exist on this day: due when clocks have gone forward
"
    );
    assert_eq!(output.status.code(), Some(0));
    let cases: [(&[&str], i32, &str); 5] = [
        (&["5/15 * * * *"], 1, "'5/15 * * * *' is no cron line"),
        (&["@daily", "--tz", "europe/berlin"], 1, "'europe/berlin' is no time zone of the IANA database"),
        (&["0 0 31 2 *"], 1, "there are no slots"),
        (&["0 0 31 2 *", "@daily"], 0, "'0 0 31 2 *' names no date that exists"),
        (&[], 2, "LINE"),
    ];
    for (arguments, code, words) in cases {
        let output = check(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    }
}
