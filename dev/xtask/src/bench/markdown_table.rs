//! Tables in Markdown.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::build;

/// One table.
pub struct Table {
    title: &'static str,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(title: &'static str, head: [&str; N]) -> Self {
        Self { title, head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Adds a row to a table of two columns.
    pub fn fact(&mut self, what: &str, value: impl Into<String>) {
        self.rows.push(vec![what.to_owned(), value.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### {}\n", self.title)?;
        writeln!(f, "| {} |", self.head.join(" | "))?;
        let numbers = "---:|".repeat(self.head.len().saturating_sub(1));
        writeln!(f, "|---|{numbers}")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// The machine, and the version that is measured: of this repository, in this build, unless it is another program.
pub fn header(build: &str, other: Option<&Path>) -> String {
    let of = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory: u64 = field(&of("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let commit = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(build::repository()).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let operator = match other {
        None => format!("nuvo-operator {} ({commit}), {build}", env!("CARGO_PKG_VERSION")),
        Some(program) => format!("Another operator: {}; measured by {commit}", program.display()),
    };
    format!(
        "{cores} cores ({}), {:.0} GB of memory, Linux {}; load before the start: {}.\n{operator}; \
         Kubernetes ({}); API server, etcd, simulator and operator on this one machine.",
        field(&of("/proc/cpuinfo"), "model name"),
        memory as f64 / 1_048_576.0,
        of("/proc/sys/kernel/osrelease").trim(),
        of("/proc/loadavg").split(' ').take(2).collect::<Vec<_>>().join(", "),
        kubernetes(),
    )
}

/// The Kubernetes version, which kubectl has, too.
fn kubernetes() -> String {
    let output = controlplane::kubectl().ok().and_then(|mut kubectl| kubectl.args(["version", "--client"]).output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("Client Version: ")).unwrap_or("unknown").to_owned()
}

/// Milliseconds below a second, else seconds.
pub fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { format!("{:.1} s", time.as_secs_f64()) }
}

/// With one decimal.
pub fn number(number: f64) -> String {
    format!("{number:.1}")
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A quotient; NaN for a whole of zero.
pub fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { f64::NAN } else { part as f64 / whole as f64 }
}

/// Memory in MB, from KiB.
pub fn megabytes(kib: u64) -> String {
    format!("{:.0} MB", kib as f64 * 1_024.0 / 1_000_000.0)
}
