//! How an operator under test is started.

use std::time::Duration;

/// What differs between the operators under test.
#[derive(Debug, Clone, Copy)]
pub struct OperatorFlags {
    pub times: ProtocolTimes,
    pub leader_elect: bool,
    /// Whether its clock is an hour ahead.
    pub clock_ahead: bool,
}

/// The times of the trigger protocol.
#[derive(Debug, Clone, Copy)]
pub struct ProtocolTimes {
    pub trigger_timeout: Duration,
    pub fence: Duration,
    pub settle: Duration,
    pub confirm: Duration,
    pub quarantine: Duration,
}

impl ProtocolTimes {
    /// So short that a plan takes seconds, and long enough that a busy machine does not change its course.
    pub const COMPRESSED: Self = Self {
        trigger_timeout: Duration::from_secs(2),
        fence: Duration::from_secs(1),
        settle: Duration::from_secs(2),
        confirm: Duration::from_millis(200),
        quarantine: Duration::from_secs(4),
    };
    /// The operator's defaults.
    pub const DEFAULT: Self = Self {
        trigger_timeout: Duration::from_secs(60),
        fence: Duration::from_secs(5),
        settle: Duration::from_secs(300),
        confirm: Duration::from_secs(10),
        quarantine: Duration::from_secs(900),
    };
    /// A busy machine needs so long between the lock and the POST.
    const SHORTEST_FENCE: Duration = Duration::from_secs(1);

    /// So many times shorter.
    pub fn scaled(self, scale: u32) -> Self {
        let Self { trigger_timeout, fence, settle, confirm, quarantine } = self;
        let [trigger_timeout, fence, settle, confirm, quarantine] =
            [trigger_timeout, fence, settle, confirm, quarantine].map(|time| scaled(time, scale));
        Self { trigger_timeout, fence: fence.max(Self::SHORTEST_FENCE), settle, confirm, quarantine }
    }

    pub fn arguments(self) -> Vec<String> {
        let Self { trigger_timeout, fence, settle, confirm, quarantine } = self;
        let flags = [
            ("trigger-timeout", trigger_timeout),
            ("fence", fence),
            ("trigger-settle", settle),
            ("adoption-confirm", confirm),
            ("quarantine", quarantine),
        ];
        flags.into_iter().flat_map(|(name, time)| [format!("--{name}-seconds"), format!("{:.3}", time.as_secs_f64())]).collect()
    }
}

/// A time that is so many times shorter.
pub fn scaled(time: Duration, scale: u32) -> Duration {
    time.checked_div(scale).unwrap_or(time)
}
