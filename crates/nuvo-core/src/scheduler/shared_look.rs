//! The look at nuvo's list before a trigger, which the triggers that wait at the same time share.

use std::time::Duration;

/// The oldest look that a trigger may rest on.
pub const USABLE_FOR: Duration = Duration::from_secs(10);
/// When few requests are left, the triggers of the time in which the rate limit allows this many requests share one look.
const SHARED_BY: f64 = 15.0;
/// The longest time that a trigger waits to share a look with others.
const SHARE_WITHIN: Duration = Duration::from_secs(3);

/// The last look of one account, with its result. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Clone)]
pub struct SharedLook<R> {
    last: Option<(Duration, R)>,
}

/// What a trigger that needs a look does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted<R> {
    /// This look will do; it began then.
    Shared(Duration, R),
    /// Take another one, after this wait, in which others may come that share it.
    After(Duration),
}

impl<R> Default for SharedLook<R> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<R: Clone> SharedLook<R> {
    /// What a trigger does that needs a look which began `after` this time. `is_tight`: few requests are left.
    #[must_use]
    pub fn wanted(&self, after: Duration, now: Duration, is_tight: bool, rate: f64) -> Wanted<R> {
        match &self.last {
            Some((began, result)) if *began >= after && now.saturating_sub(*began) < USABLE_FOR => Wanted::Shared(*began, result.clone()),
            Some((began, _)) if is_tight => {
                let shared = Duration::from_secs_f64(SHARED_BY / rate).min(SHARE_WITHIN);
                Wanted::After(shared.saturating_sub(now.saturating_sub(*began)))
            }
            _ => Wanted::After(Duration::ZERO),
        }
    }

    /// A look that began then has this result.
    pub fn set(&mut self, began: Duration, result: R) {
        self.last = Some((began, result));
    }
}
