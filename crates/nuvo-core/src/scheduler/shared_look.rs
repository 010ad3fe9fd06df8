//! A look at nuvo that all share who asked before it began.

use std::{collections::VecDeque, time::Duration};

use super::budget::Ticket;

/// When few requests are left, those that ask in the time in which the rate limit allows this many requests share one look.
const SHARED_BY: f64 = 20.0;
/// The longest time that one waits to share a look with others.
const SHARE_WITHIN: Duration = Duration::from_secs(5);

/// The looks of one kind, and those that wait for one. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub(super) struct SharedLook<T, E> {
    /// The oldest look that may still be used.
    usable_for: Duration,
    waiting: VecDeque<Asked>,
    /// When the last look began, and what it has shown.
    last: Option<(Duration, Result<T, E>)>,
    looking: bool,
}

/// One that waits for a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Who it is.
    pub(super) ticket: Ticket,
    /// When the look must begin at the earliest.
    pub(super) after: Duration,
}

/// What is needed next.
pub(super) enum Need<T, E> {
    /// This one is told what the look that began then has shown.
    Tell(Asked, Duration, Result<T, E>),
    /// A look.
    Look,
    /// Nothing before this time.
    Wait(Option<Duration>),
}

impl<T: Clone, E: Clone> SharedLook<T, E> {
    /// Nothing was looked at yet. A look may be used for so long after it began.
    pub(super) const fn new(usable_for: Duration) -> Self {
        Self { usable_for, waiting: VecDeque::new(), last: None, looking: false }
    }

    /// Waits for a look.
    pub(super) fn want(&mut self, asked: Asked) {
        self.waiting.push_back(asked);
    }

    /// Waits for another look, before all others.
    pub(super) fn want_again(&mut self, asked: Asked) {
        self.waiting.push_front(asked);
    }

    /// Whether one waits for a look.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is needed next. `is_tight`: few requests are left of this rate.
    pub(super) fn need(&mut self, now: Duration, is_tight: bool, rate: f64) -> Need<T, E> {
        if self.waiting.is_empty() {
            return Need::Wait(None);
        }
        // A failure has no age: those that waited for it hear of it, however long it took.
        let usable = self.last.as_ref().filter(|(began, shown)| shown.is_err() || now.saturating_sub(*began) < self.usable_for);
        if let Some((began, shown)) = usable
            && let Some(asked) =
                self.waiting.iter().position(|asked| *began >= asked.after).and_then(|position| self.waiting.remove(position))
        {
            return Need::Tell(asked, *began, shown.clone());
        }
        if self.looking {
            return Need::Wait(None);
        }
        let share = Duration::from_secs_f64(SHARED_BY / rate).min(SHARE_WITHIN);
        match &self.last {
            Some((began, _)) if is_tight && began.saturating_add(share) > now => Need::Wait(Some(began.saturating_add(share))),
            _ => {
                self.looking = true;
                Need::Look
            }
        }
    }

    /// A look that began then has shown this.
    pub(super) fn shown(&mut self, began: Duration, shown: Result<T, E>) {
        self.last = Some((began, shown));
        self.looking = false;
    }

    /// Takes out those that wait, except those whose look is under way, or has failed: they are told that.
    pub(super) fn refuse(&mut self) -> impl Iterator<Item = Ticket> + use<T, E> {
        let failed = self.last.as_ref().filter(|(_, shown)| shown.is_err()).map(|(began, _)| *began);
        let is_told = |asked: &Asked| self.looking || failed.is_some_and(|began| began >= asked.after);
        let (told, refused): (_, VecDeque<Asked>) = std::mem::take(&mut self.waiting).into_iter().partition(is_told);
        self.waiting = told;
        refused.into_iter().map(|asked| asked.ticket)
    }
}
