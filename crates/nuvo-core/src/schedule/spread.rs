//! When a slot is due: schedules that name the same minute need not start at the same second.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// By how much the slots of the schedule with this uid are due later: the same each time, less than this number of seconds.
#[must_use]
pub fn offset(uid: &str, spread_seconds: i64) -> SignedDuration {
    let Some(spread) = u64::try_from(spread_seconds).ok().filter(|spread| *spread > 0) else { return SignedDuration::ZERO };
    let hash = Sha256::digest(uid.as_bytes());
    let number = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    SignedDuration::from_secs(number.checked_rem(spread).and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default())
}

/// This much after a time.
#[must_use]
pub fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.checked_add(wait).unwrap_or(if wait.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_is_stable_and_below_the_spread() {
        assert_eq!(offset("any", 0), SignedDuration::ZERO);
        assert_eq!(offset("any", 1), SignedDuration::ZERO);
        assert_eq!(offset("3f1c2a9e-5b7d-4c1e-9a60-2d8e4b6f7a13", 3_600), offset("3f1c2a9e-5b7d-4c1e-9a60-2d8e4b6f7a13", 3_600));
        let offsets: std::collections::BTreeSet<_> = (0..200).map(|uid| offset(&uid.to_string(), 60).as_secs()).collect();
        assert!(offsets.iter().all(|offset| (0..60).contains(offset)) && offsets.len() > 50, "{offsets:?}");
    }

    #[test]
    fn offset_of_a_known_uid_never_changes() {
        // The first eight bytes of the SHA-256 of "abc", as a number.
        assert_eq!(offset("abc", 3_600).as_secs(), i64::try_from(0xba78_16bf_8f01_cfea_u64 % 3_600).unwrap());
    }
}
