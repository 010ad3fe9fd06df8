//! Who may trigger next. A turn is a look at nuvo's list that began after the lock of the run was read, and one request for the POST.

use std::{collections::BTreeMap, time::Duration};

use super::{
    budget::Ticket,
    shared_look::{self, Asked, SharedLook},
};
use crate::run::Baseline;

/// The oldest look that a trigger may rest on.
const USABLE_FOR: Duration = Duration::from_secs(10);
/// The time from a turn to its POST that still permits as many POSTs as the rate limit: two writes to the API server lie between them.
const TURN_TAKES: Duration = Duration::from_millis(250);
/// The part of the rate limit at which turns come. Executions end as fast as they were triggered, and each end costs a read: without room for the
/// looks that find them, reads would queue.
const SHARE: f64 = 0.95;

/// What a look has shown: none if the list does not reliably show what is newest.
pub type Shown<E> = Result<Option<Baseline>, E>;

/// The turns of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub(super) struct Turns<E> {
    looks: SharedLook<Option<Baseline>, E>,
    /// Those that have a look, and wait for their request.
    looked: BTreeMap<Ticket, Looked>,
    /// Those that have come, and whose POST was not sent yet.
    out: usize,
    /// When the next one may come.
    next: Duration,
}

#[derive(Debug)]
struct Looked {
    asked: Asked,
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

impl<E: Clone> Turns<E> {
    pub(super) const fn new() -> Self {
        Self { looks: SharedLook::new(USABLE_FOR), looked: BTreeMap::new(), out: 0, next: Duration::ZERO }
    }

    /// Waits for a look that begins `after` this time.
    pub(super) fn want(&mut self, ticket: Ticket, after: Duration) {
        self.looks.want(Asked { ticket, after });
    }

    /// Whether a run waits for a look.
    pub(super) fn wait_for_look(&self) -> bool {
        self.looks.is_wanted()
    }

    /// What is needed next. `is_tight`: few requests are left of this rate.
    pub(super) fn need(&mut self, now: Duration, is_tight: bool, rate: f64) -> Need<E> {
        // More would only wait between lock and POST, where a crash puts a run in doubt.
        let most = rate * TURN_TAKES.as_secs_f64();
        if f64::from(u32::try_from(self.out.saturating_add(self.looked.len())).unwrap_or(u32::MAX)) >= most.max(1.0) {
            return Need::Wait(None);
        }
        if now < self.next && self.looks.is_wanted() {
            return Need::Wait(Some(self.next));
        }
        match self.looks.need(now, is_tight, rate) {
            shared_look::Need::Tell(asked, began, Ok(baseline)) => {
                let earliest = now.saturating_sub(TURN_TAKES);
                self.next = self.next.max(earliest).saturating_add(Duration::from_secs_f64(1.0 / (SHARE * rate)));
                self.looked.insert(asked.ticket, Looked { asked, began, baseline });
                Need::Request(asked.ticket)
            }
            shared_look::Need::Tell(asked, _, Err(error)) => Need::Failed(asked.ticket, error),
            shared_look::Need::Look => Need::Look,
            shared_look::Need::Wait(until) => Need::Wait(until),
        }
    }

    /// A look that began then has shown this.
    pub(super) fn shown(&mut self, began: Duration, shown: Shown<E>) {
        self.looks.shown(began, shown);
    }

    /// The request with this ticket is there.
    pub(super) fn called(&mut self, ticket: Ticket, now: Duration) -> Called {
        let Some(Looked { asked, began, baseline }) = self.looked.remove(&ticket) else { return Called::Other };
        if now.saturating_sub(began) < USABLE_FOR {
            self.out = self.out.saturating_add(1);
            return Called::Turn(baseline);
        }
        self.looks.want_again(asked);
        Called::TooLate
    }

    /// A turn is over: its POST is sent, or will not be.
    pub(super) fn over(&mut self) {
        self.out = self.out.saturating_sub(1);
    }

    /// Takes them out. Those that wait for a request are in the budget, too: only the others are returned. Those whose look
    /// is under way, or has failed, are told that.
    pub(super) fn refuse(&mut self) -> impl Iterator<Item = Ticket> + use<E> {
        self.looked.clear();
        self.looks.refuse()
    }
}
