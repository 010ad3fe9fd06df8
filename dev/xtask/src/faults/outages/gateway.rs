//! nuvo's gateway: a proxy whose backends are restarted, or which says that nuvo is under maintenance.

use std::sync::Arc;
use std::time::Instant;

use controlplane::Proxy;
use controlplane::proxy::{Action, Answer, RequestInfo};
use parking_lot::Mutex;

use super::super::numbered_request::{RequestKind, Server};

/// The backends, which take the requests in turn.
pub const BACKENDS: usize = 3;

/// What the gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It passes everything on.
    Up,
    /// One of its backends is restarted.
    Restarting(usize),
    /// It answers 503 to everything.
    Maintenance,
}

/// Decides about each request to nuvo.
pub struct Gateway(Mutex<Inner>);

struct Inner {
    state: State,
    /// When something was read last that was passed on.
    last_read: Option<Instant>,
    /// The POSTs so far, and the other requests: each of the two is balanced by itself, so that the POSTs that go wrong do not depend on how
    /// often an operator looks.
    posts: usize,
    others: usize,
}

impl Gateway {
    /// Makes a proxy behave like this gateway.
    pub fn before(proxy: &Proxy) -> Arc<Self> {
        let gateway = Arc::new(Self(Mutex::new(Inner { state: State::Up, last_read: None, posts: 0, others: 0 })));
        let decides = Arc::clone(&gateway);
        proxy.set_rules(move |request| decides.decide(request));
        gateway
    }

    /// Changes what it does. Whether it did something else before.
    pub fn set(&self, state: State) -> bool {
        std::mem::replace(&mut self.0.lock().state, state) != state
    }

    /// When something was read last that was passed on.
    pub fn last_read(&self) -> Option<Instant> {
        self.0.lock().last_read
    }

    fn decide(&self, request: &RequestInfo) -> Action {
        let mut inner = self.0.lock();
        let is_trigger = RequestKind::of(Server::Nuvo, request).is_trigger();
        let count = if is_trigger { &mut inner.posts } else { &mut inner.others };
        let number = *count;
        *count = count.saturating_add(1);
        let action = action(inner.state, is_trigger, number);
        if action == Action::Forward && !is_trigger {
            inner.last_read = Some(Instant::now());
        }
        action
    }
}

fn action(state: State, is_trigger: bool, number: usize) -> Action {
    match state {
        State::Restarting(backend) if number.checked_rem(BACKENDS) == Some(backend) => {
            if is_trigger {
                lost(number.checked_div(BACKENDS).unwrap_or_default())
            } else {
                Action::Respond(unavailable(502))
            }
        }
        State::Up | State::Restarting(_) => Action::Forward,
        State::Maintenance => Action::Respond(page(503, "nuvo is under maintenance")),
    }
}

/// Half of the POSTs that meet a backend on its way down are carried out, and their answers are lost.
fn lost(turn: usize) -> Action {
    match turn.checked_rem(4) {
        Some(0) => Action::Respond(unavailable(502)),
        Some(1) => Action::ForwardThenDrop,
        Some(2) => Action::Respond(unavailable(503)),
        _ => Action::ForwardThenRespond(unavailable(502)),
    }
}

fn unavailable(status: u16) -> Answer {
    page(status, "the backend is not available")
}

/// A gateway answers with a page of its own.
fn page(status: u16, text: &str) -> Answer {
    Answer::html(status, format!("<html><body><h1>{status}</h1>{text}</body></html>"))
}
