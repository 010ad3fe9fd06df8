//! The pauses that nuvo asks an account for, triggers and reads apart.

use std::{fmt, time::Duration};

use super::purpose::Purpose;
use crate::{backoff::Backoff, run::Obstacle};

/// The longest pause after 429 in answer to a POST: a quota of executions does not end after seconds. It doubles from what nuvo asks for.
const LONGEST_QUOTA: Duration = Duration::from_secs(15 * 60);

/// A pause: nothing of its kind is sent to nuvo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// The time that is left.
    pub left: Duration,
    /// Why.
    pub obstacle: Obstacle,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the time: the text is part of statuses, and each new time would mean another write.
        f.write_str(match self.obstacle {
            Obstacle::RateLimited => "nuvo limits the rate of requests",
            Obstacle::Unavailable => "nuvo does not answer as it should",
            Obstacle::Account => "nuvo has rejected the credentials of the account, or is not where the account says",
            Obstacle::Operator => "the operator could not send the request",
        })
    }
}

/// How long one POST may take to find out whether triggers are accepted again.
const PROBE: Duration = Duration::from_secs(10);

/// The pauses of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    all: Option<(Duration, Obstacle)>,
    quota: Option<Quota>,
}

/// nuvo refuses triggers, and answers everything else.
#[derive(Debug, Clone, Copy)]
struct Quota {
    until: Duration,
    /// How often in a row.
    refusals: u32,
    /// One POST is out to find out whether this goes on.
    probing: bool,
}

impl Pauses {
    /// Pauses everything for this long. A longer pause stays.
    pub fn pause(&mut self, length: Duration, obstacle: Obstacle, now: Duration) {
        let until = now.saturating_add(length);
        if self.all.is_none_or(|(present, _)| present < until) {
            self.all = Some((until, obstacle));
        }
    }

    /// nuvo has answered 429 to a POST, and asks for a pause of this length. Only triggers pause. The answer to a POST that was sent before the
    /// pause began says nothing new.
    pub fn quota_exceeded(&mut self, asked: Duration, now: Duration) {
        let refusals = match self.quota {
            Some(quota) if quota.until > now && !quota.probing => return,
            Some(quota) => quota.refusals,
            None => 0,
        };
        let until = now.saturating_add(Backoff::doubling(asked, LONGEST_QUOTA.max(asked)).wait(refusals));
        self.quota = Some(Quota { until, refusals: refusals.saturating_add(1), probing: false });
    }

    /// A trigger is about to be sent. The first one after a refusal finds out for all whether nuvo accepts them again.
    pub fn triggering(&mut self, now: Duration) {
        if let Some(quota) = &mut self.quota {
            (quota.until, quota.probing) = (now.saturating_add(PROBE), true);
        }
    }

    /// nuvo has accepted a trigger.
    pub fn triggered(&mut self) {
        self.quota = None;
    }

    /// The pause of requests for this purpose, if there is one.
    #[must_use]
    pub fn of(&self, purpose: Purpose, now: Duration) -> Option<Pause> {
        let quota = self.quota.filter(|quota| purpose.is_trigger() && !quota.probing).map(|quota| (quota.until, Obstacle::RateLimited));
        self.all.into_iter().chain(quota).filter_map(|pause| left(pause, now)).max_by_key(|pause| pause.left)
    }

    /// The pause of further triggers while one finds out whether nuvo accepts them again.
    #[must_use]
    pub fn while_probing(&self, now: Duration) -> Option<Pause> {
        let quota = self.quota.filter(|quota| quota.probing)?;
        left((quota.until, Obstacle::RateLimited), now)
    }
}

fn left((until, obstacle): (Duration, Obstacle), now: Duration) -> Option<Pause> {
    Some(Pause { left: until.saturating_sub(now), obstacle }).filter(|pause| !pause.left.is_zero())
}
