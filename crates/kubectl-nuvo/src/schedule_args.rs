//! The command line of `kubectl nuvo schedule`.

use std::time::Duration;

use clap::{Args, Subcommand};
use k8s_openapi::jiff::Timestamp;

use super::flag_values::{ObjectListArgs, duration};

/// The commands about PipelineSchedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List PipelineSchedules: when each starts its pipeline next, and how the last run ended.
    #[command(visible_alias = "get")]
    List(ObjectListArgs),
    /// Show details of PipelineSchedules: the next and the last five slots, why a slot was missed, and what to do next.
    Describe {
        /// Names of the PipelineSchedules.
        #[arg(required = true, value_name = "SCHEDULE")]
        names: Vec<String>,
    },
    /// Print the next slots of cron lines, or what is wrong with them. Needs no cluster.
    Check(ScheduleCheckArgs),
    /// Start a run of a schedule now, beside its slots.
    RunNow(RunNowArgs),
    /// Suspend schedules: start no new runs.
    Suspend {
        /// Names of the PipelineSchedules.
        #[arg(required = true, value_name = "SCHEDULE")]
        names: Vec<String>,
    },
    /// Resume suspended schedules. Slots of the time in between are not made up for.
    Resume {
        /// Names of the PipelineSchedules.
        #[arg(required = true, value_name = "SCHEDULE")]
        names: Vec<String>,
    },
}

/// `kubectl nuvo schedule check`.
#[derive(Debug, Args)]
pub struct ScheduleCheckArgs {
    /// The cron lines, each in quotes, such as "30 2 * * 1-5".
    #[arg(required = true, value_name = "LINE")]
    pub lines: Vec<String>,
    /// Time zone of the lines, as the IANA database spells it.
    #[arg(long = "tz", value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Number of slots to print.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub count: u16,
    /// Print the slots after this time, such as 2027-03-27T00:00:00Z. Default: now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
}

/// `kubectl nuvo schedule run-now`.
#[derive(Debug, Args)]
pub struct RunNowArgs {
    /// Name of the PipelineSchedule.
    #[arg(value_name = "SCHEDULE")]
    pub name: String,
    /// Wait until the run has ended; its result is the exit code.
    #[arg(long, visible_alias = "watch", short = 'w')]
    pub wait: bool,
    /// Length of time to wait before giving up, such as 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub timeout: Option<Duration>,
}
