//! Durations as people write them (`250ms`, `2s`, `5m`, `1h`, `hold`), and the unit of the simulator's clock.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A time on the simulator's clock in milliseconds since it started (negative: before the start), or a duration in milliseconds.
pub(crate) type Millis = i64;

/// A duration in milliseconds, at most [`Millis::MAX`], which never ends.
pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// A duration in a pipelines file or an administrative request.
///
/// Written as a number with a unit: `250ms`, `2s`, `5m`, `1h`; or `hold`, which never ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The duration without an end: a change by hand ends it.
    pub const HOLD: Self = Self(Duration::MAX);
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "hold" {
            return Ok(Self::HOLD);
        }
        let problem = || format!("`{text}` is not a duration; write for example `250ms`, `2s`, `5m`, `1h` or `hold`");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or_else(problem)?;
        let number: u64 = number.parse().map_err(|_| problem())?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(problem()),
        };
        number.checked_mul(factor).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(problem)
    }
}

impl std::fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::HOLD { f.write_str("hold") } else { write!(f, "{}ms", self.0.as_millis()) }
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
