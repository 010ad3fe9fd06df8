//! Who may trigger next. A turn is a look at nuvo's list that began after the lock of the run was read, and one request for the POST. Runs that
//! wait at the same time share a look.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::budget::Ticket;
use crate::run::Baseline;

/// The oldest look that a trigger may rest on.
const USABLE_FOR: Duration = Duration::from_secs(10);
/// When few requests are left, the triggers of the time in which the rate limit allows this many requests share one look.
const SHARED_BY: f64 = 20.0;
/// The longest time that a trigger waits to share a look with others.
const SHARE_WITHIN: Duration = Duration::from_secs(5);

/// What a look has shown: none if the list does not reliably show what is newest.
pub type Shown<E> = Result<Option<Baseline>, E>;

/// The turns of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub(super) struct Turns<E> {
    /// Those that wait for a look, and when it must begin at the earliest.
    waiting: VecDeque<(Ticket, Duration)>,
    /// Those that have one, and wait for their request.
    looked: BTreeMap<Ticket, Looked>,
    /// When the last look began, and what it has shown.
    last: Option<(Duration, Shown<E>)>,
    looking: bool,
}

#[derive(Debug)]
struct Looked {
    after: Duration,
    began: Duration,
    baseline: Option<Baseline>,
}

/// What the turns need.
pub(super) enum Need<E> {
    /// This one has its look, and needs a request.
    Request(Ticket),
    /// The look of this one has failed.
    Failed(Ticket, E),
    /// A look.
    Look,
    /// Nothing before this time.
    Wait(Option<Duration>),
}

/// Whose request is there.
pub(super) enum Called {
    /// A turn: it may be used now.
    Turn(Option<Baseline>),
    /// A turn whose look is too old by now. It waits for another one.
    TooLate,
    /// No turn.
    Other,
}

impl<E> Default for Turns<E> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), looked: BTreeMap::new(), last: None, looking: false }
    }
}

impl<E: Clone> Turns<E> {
    /// Waits for a look that begins `after` this time.
    pub(super) fn want(&mut self, ticket: Ticket, after: Duration) {
        self.waiting.push_back((ticket, after));
    }

    /// Whether a run waits for a look.
    pub(super) fn wait_for_look(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is needed next. `is_tight`: few requests are left of this rate.
    pub(super) fn need(&mut self, now: Duration, is_tight: bool, rate: f64) -> Need<E> {
        if self.waiting.is_empty() {
            return Need::Wait(None);
        }
        // A failure has no age: those that waited for it hear of it, however long it took.
        let usable = self.last.as_ref().filter(|(began, shown)| shown.is_err() || now.saturating_sub(*began) < USABLE_FOR);
        if let Some((began, shown)) = usable
            && let Some((ticket, after)) =
                self.waiting.iter().position(|(_, after)| began >= after).and_then(|position| self.waiting.remove(position))
        {
            return match shown {
                Ok(baseline) => {
                    self.looked.insert(ticket, Looked { after, began: *began, baseline: baseline.clone() });
                    Need::Request(ticket)
                }
                Err(error) => Need::Failed(ticket, error.clone()),
            };
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
    pub(super) fn shown(&mut self, began: Duration, shown: Shown<E>) {
        self.last = Some((began, shown));
        self.looking = false;
    }

    /// The request with this ticket is there.
    pub(super) fn called(&mut self, ticket: Ticket, now: Duration) -> Called {
        let Some(Looked { after, began, baseline }) = self.looked.remove(&ticket) else { return Called::Other };
        if now.saturating_sub(began) < USABLE_FOR {
            return Called::Turn(baseline);
        }
        self.waiting.push_front((ticket, after));
        Called::TooLate
    }

    /// Takes them out. Those that wait for a request are in the budget, too: only the others are returned. Those whose look
    /// is under way, or has failed, are told that.
    pub(super) fn refuse(&mut self) -> impl Iterator<Item = Ticket> + use<E> {
        self.looked.clear();
        let failed = self.last.as_ref().filter(|(_, shown)| shown.is_err()).map(|(began, _)| *began);
        let is_told = |after: Duration| self.looking || failed.is_some_and(|began| began >= after);
        let (told, refused) = std::mem::take(&mut self.waiting).into_iter().partition(|(_, after)| is_told(*after));
        self.waiting = told;
        let refused: VecDeque<(Ticket, Duration)> = refused;
        refused.into_iter().map(|(ticket, _)| ticket)
    }
}
