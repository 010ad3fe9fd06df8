//! One sequence for the requests to both servers, and the one place in it where something goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controlplane::Proxy;
use controlplane::proxy::{Action, Answer, RequestInfo};

use super::fault::{self, Effect, Fault};
use super::operation::{Kind, Operation, Server};

/// A proxy in front of a server: one for each operator before the API server, and one before the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Of this operator to the API server.
    Kubernetes(usize),
    /// Of everybody to the simulator.
    Nuvo,
}

/// Where the fault has struck.
#[derive(Debug, Clone, Copy)]
pub struct Struck {
    pub way: Way,
    /// The request's place in the proxy's journal.
    pub seq: usize,
    /// What is to be done besides.
    pub effect: Effect,
}

/// Decides about each request.
pub struct Director {
    plan: Option<(Operation, Fault)>,
    /// The list of runs, as the API server gave it before an operator began.
    old_list: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: BTreeMap<Kind, usize>,
    sequence: Vec<Operation>,
    struck: Option<Struck>,
    /// Watches that are still to be told that they cannot be resumed, and lists that are still to be answered with the old one.
    gone: usize,
    stale: usize,
}

impl Director {
    pub fn new(plan: Option<(Operation, Fault)>, old_list: String) -> Arc<Self> {
        Arc::new(Self { plan, old_list, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a proxy ask this about its requests.
    pub fn direct(self: &Arc<Self>, proxy: &Proxy, way: Way) {
        let director = Arc::clone(self);
        proxy.set_rules(move |request| director.decide(way, request));
    }

    fn decide(&self, way: Way, request: &RequestInfo) -> Action {
        let server = if way == Way::Nuvo { Server::Nuvo } else { Server::Kubernetes };
        let kind = Kind::of(server, request);
        let mut state = self.state();
        let count = state.counts.entry(kind.clone()).or_default();
        *count = count.saturating_add(1);
        let operation = Operation { kind, occurrence: *count };
        state.sequence.push(operation.clone());
        if let Some((wanted, fault)) = &self.plan
            && *wanted == operation
            && state.struck.is_none()
        {
            let (action, effect) = fault.act(&operation.kind);
            state.struck = Some(Struck { way, seq: request.seq, effect });
            if matches!(fault, Fault::Gone | Fault::StaleList) {
                // Both kinds of objects are watched.
                state.gone = 2;
            }
            if *fault == Fault::StaleList {
                state.stale = 1;
            }
            return action;
        }
        let kind = operation.kind.to_string();
        if state.gone > 0 && operation.kind.is_watch() {
            state.gone = state.gone.saturating_sub(1);
            return Action::Respond(fault::gone());
        }
        if state.stale > 0 && kind == "list-pipelineruns" && !request.query.contains("fieldSelector") {
            state.stale = state.stale.saturating_sub(1);
            return Action::Respond(Answer::json(200, self.old_list.clone()));
        }
        Action::Forward
    }

    /// Where the fault has struck, if it has.
    pub fn struck(&self) -> Option<Struck> {
        self.state().struck
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.state().sequence.len()
    }

    /// Every request so far, in the order in which they came.
    pub fn sequence(&self) -> Vec<Operation> {
        self.state().sequence.clone()
    }
}
