//! What a part of the work has cost: the time on the clock, and that of the processors, from /proc. Elsewhere than on Linux only the first.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::{self, Child, ExitStatus};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// /proc counts in these: Linux has no other unit on the machines that Kubernetes is built for.
const MILLIS_PER_TICK: u64 = 10;

/// What a part of the work has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// On the clock.
    pub wall: Duration,
    /// User and system time of all its processes, if the kernel tells.
    pub cpu: Option<Duration>,
}

impl Cost {
    /// What this process has cost up to now: with all that it and its children have started, and with what ran under its id before it.
    /// Behind `cargo run` that is cargo and its compilers.
    pub fn so_far() -> Self {
        let processes = processes();
        let own = processes.get(&process::id());
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs_f64);
        let wall = uptime.zip(own).map(|(uptime, own)| uptime.saturating_sub(own.started));
        Self { wall: wall.unwrap_or_default(), cpu: own.map(|_| with_descendants(&processes, process::id())) }
    }

    /// What has been added since.
    pub fn since(self, before: Self) -> Self {
        let cpu = self.cpu.zip(before.cpu).map(|(now, before)| now.saturating_sub(before));
        Self { wall: self.wall.saturating_sub(before.wall), cpu }
    }
}

/// A part of the work and its cost, as one program hands it to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its cost.
    pub cost: Cost,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.cost.wall.as_millis())?;
        self.cost.cpu.map_or(Ok(()), |cpu| write!(f, ",{}", cpu.as_millis()))
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| text.parse().map(Duration::from_millis).map_err(|error| format!("{text}: {error}"));
        let (name, times) = text.split_once('=').ok_or("expected NAME=MILLISECONDS,MILLISECONDS")?;
        let (wall, cpu) = times.split_once(',').map_or((times, None), |(wall, cpu)| (wall, Some(cpu)));
        Ok(Self { name: name.to_owned(), cost: Cost { wall: time(wall)?, cpu: cpu.map(time).transpose()? } })
    }
}

/// A table of these parts and of the whole.
pub fn table(parts: &[Part], whole: Cost) -> String {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let row =
        |name: &str, cost: Cost| format!("{name:<16}{:>10}{:>10}\n", seconds(cost.wall), cost.cpu.map_or_else(|| "-".to_owned(), seconds));
    let mut text = format!("{:<16}{:>10}{:>10}\n", "", "wall", "CPU");
    parts.iter().for_each(|part| text.push_str(&row(&part.name, part.cost)));
    text.push_str(&row("in all", whole));
    text
}

/// The exit status of a child that has ended, and the processor time that it and its own children have taken.
pub(crate) fn reap(child: &mut Child) -> io::Result<Option<(ExitStatus, Option<Duration>)>> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A child is added to the time of all children when it is waited for.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let of_children = || read(process::id()).map(|own| own.of_children);
    let before = of_children();
    let ended = child.try_wait()?;
    Ok(ended.map(|status| (status, of_children().zip(before).map(|(now, before)| now.saturating_sub(before)))))
}

struct Process {
    parent: u32,
    /// What itself has used.
    used: Duration,
    /// What its children have used, those that have ended.
    of_children: Duration,
    /// Since the machine was started.
    started: Duration,
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, read(pid)?))).collect()
}

fn read(pid: u32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads /proc/PID/stat.
fn parse(stat: &str) -> Option<Process> {
    // The name in parentheses may hold anything; what follows it begins with field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| -> Option<Duration> {
        let ticks: u64 = fields.get(field.checked_sub(3)?)?.parse().ok()?;
        Some(Duration::from_millis(ticks.saturating_mul(MILLIS_PER_TICK)))
    };
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        used: ticks(14)?.saturating_add(ticks(15)?),
        of_children: ticks(16)?.saturating_add(ticks(17)?),
        started: ticks(22)?,
    })
}

fn with_descendants(processes: &BTreeMap<u32, Process>, pid: u32) -> Duration {
    let own = processes.get(&pid).map(|process| process.used.saturating_add(process.of_children)).unwrap_or_default();
    let children = processes.iter().filter(|(_, process)| process.parent == pid);
    children.map(|(child, _)| with_descendants(processes, *child)).fold(own, Duration::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_part_is_handed_over_as_it_is() {
        for cpu in [None, Some(Duration::from_millis(1_250))] {
            let part = Part { name: "control plane".to_owned(), cost: Cost { wall: Duration::from_millis(90), cpu } };
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        assert!("operator".parse::<Part>().is_err());
    }

    #[test]
    fn what_has_no_processor_time_has_a_dash() {
        let parts = [Part { name: "start".to_owned(), cost: Cost { wall: Duration::from_millis(4_250), cpu: None } }];
        let whole = Cost { wall: Duration::from_secs(300), cpu: Some(Duration::from_millis(600_040)) };
        assert_eq!(
            table(&parts, whole).lines().collect::<Vec<_>>(),
            ["                      wall       CPU", "start                4.2 s         -", "in all             300.0 s   600.0 s",]
        );
    }

    #[test]
    fn the_name_of_a_process_may_look_like_its_end() {
        let process = parse("7 (a) 9 (b) S 3 7 7 0 -1 4194560 1 2 3 4 100 50 25 25 20 0 1 0 1000 5 6").unwrap();
        let (used, of_children, started) = (process.used.as_millis(), process.of_children.as_millis(), process.started.as_millis());
        assert_eq!((process.parent, used, of_children, started), (3, 1_500, 500, 10_000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_costs_what_it_and_its_children_have_used() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let before = Cost::so_far();
        let mut child = Command::new("sh").args(["-c", &format!("sh -c '{busy}'; sleep 0.1")]).spawn().unwrap();
        let cpu = loop {
            if let Some((status, cpu)) = reap(&mut child).unwrap() {
                assert!(status.success());
                break cpu.unwrap();
            }
            sleep(Duration::from_millis(10));
        };
        assert!(cpu >= Duration::from_millis(20), "{cpu:?}");
        let since = Cost::so_far().since(before);
        assert!(since.cpu.unwrap() >= cpu && since.wall >= Duration::from_millis(90), "{since:?}");
    }
}
