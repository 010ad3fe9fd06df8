//! Numbers the requests to both servers in one sequence, and injects the plan's fault at one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane::Proxy;
use controlplane::proxy::{Action, Answer, RequestInfo};
use parking_lot::Mutex;

use super::fault::{self, Effect, Fault};
use super::numbered_request::{NumberedRequest, RequestKind, Server};

/// A proxy in front of a server: one for each operator before the API server, and one before the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyId {
    /// In front of the API server, for this operator.
    Kubernetes(usize),
    /// In front of the simulator, for all operators.
    Nuvo,
}

/// Where the fault was injected.
#[derive(Debug, Clone, Copy)]
pub struct InjectedFault {
    pub proxy: ProxyId,
    /// The request's place in the proxy's journal.
    pub seq: usize,
    /// What has to be done outside the proxy.
    pub effect: Effect,
}

/// Decides about each request.
pub struct FaultInjector {
    plan: Option<(NumberedRequest, Fault)>,
    /// The list of runs, as the API server gave it before an operator began.
    old_list: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: BTreeMap<RequestKind, usize>,
    sequence: Vec<NumberedRequest>,
    injected: Option<InjectedFault>,
    /// Watches that are still to be answered with 410, and lists that are still to be answered with the old one.
    gone: usize,
    stale: usize,
}

impl FaultInjector {
    pub fn new(plan: Option<(NumberedRequest, Fault)>, old_list: String) -> Arc<Self> {
        Arc::new(Self { plan, old_list, state: Mutex::default() })
    }

    /// Makes a proxy ask this injector about each request.
    pub fn attach(self: &Arc<Self>, proxy: &Proxy, id: ProxyId) {
        let injector = Arc::clone(self);
        proxy.set_rules(move |request| injector.decide(id, request));
    }

    fn decide(&self, proxy: ProxyId, request: &RequestInfo) -> Action {
        let server = if proxy == ProxyId::Nuvo { Server::Nuvo } else { Server::Kubernetes };
        let kind = RequestKind::of(server, request);
        let mut state = self.state.lock();
        let count = state.counts.entry(kind.clone()).or_default();
        *count = count.saturating_add(1);
        let operation = NumberedRequest { kind, occurrence: *count };
        state.sequence.push(operation.clone());
        if let Some((wanted, fault)) = &self.plan
            && *wanted == operation
            && state.injected.is_none()
        {
            let (action, effect) = fault.act(&operation.kind);
            state.injected = Some(InjectedFault { proxy, seq: request.seq, effect });
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

    /// Where the fault was injected, if it was.
    pub fn injected(&self) -> Option<InjectedFault> {
        self.state.lock().injected
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.state.lock().sequence.len()
    }

    /// Every request so far, in the order in which they came.
    pub fn sequence(&self) -> Vec<NumberedRequest> {
        self.state.lock().sequence.clone()
    }
}
