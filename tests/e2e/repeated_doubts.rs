//! A pipeline that nuvo always fails to start.

use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use crate::environment::{Environment, assert_consistent, message, same};

#[test]
fn unknown_outcomes_in_a_row_are_counted_until_the_pipeline_starts() {
    let env = Environment::new("again", [Pipeline::new("orders").duration(std::time::Duration::from_millis(300)), Pipeline::new("other")]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::status(500)));
    let _operator = env.operator();
    let unknown = |name: &str, pipeline: &str| {
        env.start(name, pipeline, json!({}));
        let run = env.wait_reason(name, "TriggerOutcomeUnknown");
        assert_consistent(&run);
        assert!(message(&run).contains(":abandon"), "{}", message(&run));
        message(&run).to_owned()
    };
    for (name, wanted) in [("first", None), ("second", Some("trigger 2 in a row")), ("third", Some("trigger 3 in a row"))] {
        let said = unknown(name, "orders");
        same(&said, said.contains("in a row"), wanted.is_some());
        assert!(wanted.is_none_or(|wanted| said.contains(wanted)), "{said}");
    }
    assert!(!unknown("beside", "other").contains("in a row"), "another pipeline is another matter");
    env.sim.remove_fault(fault);
    env.start("works", "orders", json!({}));
    env.wait_reason("works", "Succeeded");
    env.sim.add_fault(Fault::on(Operation::Create, Effect::status(500)));
    assert!(!unknown("fourth", "orders").contains("in a row"));
    same("POSTs", env.sim.post_count(), 6);
}
