//! A wall clock that a test moves: that of an operator, of the API server as this operator sees it, and of nuvo, all at once. So the program
//! that is shipped goes through hours in seconds, or through the night in which the clocks change.
//!
//! What waits goes by clocks that nothing moves: a period of 15 s takes 15 s. The API server gives its objects the real time, so the clock is
//! moved forward only. In a test:
//!
//! ```ignore
//! let clock = MovedClock::new(&env);
//! let operator = clock.operator(&env, &[]);
//! clock.forward(&env, SignedDuration::from_hours(3)); // or: clock.set(&env, "2027-03-28T00:59:50Z".parse().unwrap())
//! ```

use std::time::Duration;

use controlplane::Proxy;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::Phase;
use nuvo_sim::Pipeline;
use serde_json::json;

use crate::environment::{Environment, Operator, same};

/// How long an answer that is on its way is waited for.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

pub struct MovedClock {
    clock: controlplane::MovedClock,
    /// In front of the API server, for faults.
    pub proxy: Proxy,
}

impl MovedClock {
    /// One that is not moved yet.
    pub fn new(env: &Environment) -> Self {
        let clock = controlplane::MovedClock::new(env.server.folder()).unwrap();
        let proxy = Proxy::start(env.server).unwrap();
        proxy.follow_clock(&clock);
        Self { clock, proxy }
    }

    /// An operator whose clock this is.
    pub fn operator(&self, env: &Environment, flags: &[&str]) -> Operator {
        let variables = self.clock.environment().map(|(name, path)| (name, path.to_str().unwrap()));
        env.operator_in(&variables, &self.proxy.kubeconfig(&env.kubeconfig).unwrap(), flags)
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.clock.seconds().unwrap())
    }

    /// Moves it by so much, for operators that run and those that begin. An answer of the API server that is on its way at this moment shows
    /// the time from before, and has a running operator doubt its clock for half a minute.
    pub fn forward(&self, env: &Environment, by: SignedDuration) {
        let _is_idle = self.proxy.wait_until_idle(ON_ITS_WAY);
        let seconds = self.clock.seconds().unwrap() + by.as_secs();
        self.clock.set(seconds).unwrap();
        env.sim.move_clock(Duration::from_secs(seconds.try_into().unwrap()));
    }

    /// Has it show this time, unless that is over.
    pub fn set(&self, env: &Environment, at: Timestamp) {
        self.forward(env, at.duration_since(self.now()).max(SignedDuration::ZERO));
    }
}

#[test]
fn clock_of_a_running_operator_is_moved_with_those_of_nuvo_and_of_the_api_server() {
    let env = Environment::new("moved", [Pipeline::new("orders")]);
    let clock = MovedClock::new(&env);
    let operator = clock.operator(&env, &[]);
    env.eventually("a leader", || operator.leads());
    let later = clock.now() + SignedDuration::from_hours(3);
    clock.set(&env, later);
    assert!(clock.now() >= later - SignedDuration::from_secs(2));

    env.start("later", "orders", json!({}));
    let status = env.wait_phase("later", Phase::Succeeded).status.unwrap();
    let ended = status.current.completion_time.unwrap().0;
    assert!(ended >= later - SignedDuration::from_secs(2), "{ended} by the clock of the operator");
    let skew = operator.metric("nuvo_operator_clock_skew_seconds").unwrap();
    assert!((-30.0..1.0).contains(&skew), "{skew} s between the clocks");
    let execution = env.sim.executions().remove(0);
    let created: Timestamp = execution.created_at.parse().unwrap();
    assert!(created >= later - SignedDuration::from_secs(2), "{created} by the clock of nuvo");
    same("exit code", operator.stop(), Some(0));
}
