//! Memory and processor time of processes, from /proc.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The sampling interval.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// The memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// VmRSS.
    pub resident: u64,
    /// VmHWM: the most that it ever was.
    pub peak: u64,
}

/// The memory of a process; zero if it has ended.
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
    };
    Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
}

fn ticks(count: u64) -> Duration {
    let millis = count.saturating_mul(1_000).checked_div(rustix::param::clock_ticks_per_second());
    Duration::from_millis(millis.unwrap_or_default())
}

/// The processor time of a process, user and system, with threads that have ended.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain anything; field 3 follows it.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let used = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks(used.fold(0, u64::saturating_add))
}

/// The processor time that all processors of the machine have spent on anything.
fn machine() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    // Idle and waiting for a disk are fields 4 and 5.
    let busy = fields.iter().enumerate().filter(|(index, _)| *index != 3 && *index != 4).map(|(_, time)| *time);
    ticks(busy.fold(0, u64::saturating_add))
}

/// The processes to sample.
#[derive(Debug, Clone, Copy)]
pub struct Processes {
    pub operator: u32,
    pub api_server: u32,
    pub etcd: u32,
}

/// Processor time that was used.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTime {
    pub operator: Duration,
    pub api_server: Duration,
    pub etcd: Duration,
    /// This process, with the simulator and the watch.
    pub bench: Duration,
    /// All of them, and whatever else runs here.
    pub machine: Duration,
}

impl CpuTime {
    fn now(processes: Processes) -> Self {
        Self {
            operator: cpu(processes.operator),
            api_server: cpu(processes.api_server),
            etcd: cpu(processes.etcd),
            bench: cpu(std::process::id()),
            machine: machine(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            operator: self.operator.saturating_sub(before.operator),
            api_server: self.api_server.saturating_sub(before.api_server),
            etcd: self.etcd.saturating_sub(before.etcd),
            bench: self.bench.saturating_sub(before.bench),
            machine: self.machine.saturating_sub(before.machine),
        }
    }

    /// The time of all other processes on the machine.
    pub fn others(self) -> Duration {
        let ours = [self.operator, self.api_server, self.etcd, self.bench].into_iter().fold(Duration::ZERO, Duration::saturating_add);
        self.machine.saturating_sub(ours)
    }
}

/// Polls at the processes until it is dropped.
pub struct Sampler {
    samples: Arc<Mutex<Vec<(Instant, CpuTime)>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(processes: Processes) -> Self {
        let samples: Arc<Mutex<Vec<(Instant, CpuTime)>>> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (seen, over) = (Arc::clone(&samples), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                seen.lock().push((Instant::now(), CpuTime::now(processes)));
                thread::sleep(CHECK_EVERY);
            }
        });
        Self { samples, ended, thread: Some(thread) }
    }

    /// The time used between two moments, to the nearest sample.
    pub fn between(&self, from: Instant, to: Instant) -> CpuTime {
        let samples = self.samples.lock();
        let before = samples.iter().rfind(|(at, _)| *at <= from).or(samples.first());
        let after = samples.iter().find(|(at, _)| *at >= to).or(samples.last());
        match (before, after) {
            (Some((_, before)), Some((_, after))) => after.since(*before),
            _ => CpuTime::default(),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Processor time as a share of one processor.
pub fn share(used: Duration, of: Duration) -> f64 {
    used.as_secs_f64() / of.as_secs_f64()
}
