//! Times for people.

use k8s_openapi::jiff::SignedDuration;

/// A duration as people write it, in at most two units: `12s`, `1m32s`, `2h03m`. A negative one is `0s`.
#[must_use]
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest:02}s"),
        _ => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_shows_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (92, "1m32s"), (3_600, "1h00m"), (90_061, "25h01m"), (-5, "0s")] {
            assert_eq!(human_duration(SignedDuration::from_secs(seconds)), text);
        }
    }
}
