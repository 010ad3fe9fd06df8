//! `--check`: whether the data of a pipeline is as it should be, for scripts.

use nuvo_crds::{
    NuvoPipeline,
    conditions::{FRESH, LAST_EXECUTION_SUCCEEDED, QUALITY_GATE_PASSED, READY, STALLED, find},
};

use super::exit_status::ExitStatus;

/// What is known of the data of a pipeline. The later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as it should be.
    Good,
    /// It is not known, or no longer.
    Unknown,
    /// It is stale, the last execution failed, the quality gate does, or the pipeline cannot be observed at all.
    Bad,
}

impl Verdict {
    /// The verdict on the state that the status shows.
    #[must_use]
    pub fn on(pipeline: &NuvoPipeline) -> Self {
        let Some(status) = pipeline.status.as_ref().filter(|status| status.observed_generation == pipeline.metadata.generation) else {
            return Self::Unknown;
        };
        let is = |kind: &str| find(&status.conditions, kind).map(|condition| condition.status.as_str());
        let about_data = [FRESH, LAST_EXECUTION_SUCCEEDED, QUALITY_GATE_PASSED].map(is);
        let no_execution = is(LAST_EXECUTION_SUCCEEDED).is_none();
        if is(STALLED) == Some("True") || about_data.contains(&Some("False")) {
            Self::Bad
        } else if is(READY) != Some("True") || no_execution || about_data.contains(&Some("Unknown")) {
            Self::Unknown
        } else {
            Self::Good
        }
    }

    /// As scripts see it.
    #[must_use]
    pub const fn exit_status(self) -> ExitStatus {
        match self {
            Self::Good => ExitStatus::Success,
            Self::Unknown => ExitStatus::DataUnknown,
            Self::Bad => ExitStatus::DataBad,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The verdict on an object with these conditions: type and status.
    fn verdict(conditions: &[(&str, &str)]) -> Verdict {
        let condition = |(kind, status): &(&str, &str)| json!({ "type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" });
        let conditions: Vec<Value> = conditions.iter().map(condition).collect();
        let pipeline = json!({
            "metadata": { "name": "orders", "generation": 2 }, "spec": { "pipelineId": "orders" },
            "status": { "observedGeneration": 2, "conditions": conditions },
        });
        Verdict::on(&serde_json::from_value(pipeline).unwrap())
    }

    #[test]
    fn verdict_is_good_only_if_everything_is_known_and_as_it_should_be() {
        let good = [("Ready", "True"), ("Fresh", "True"), ("LastExecutionSucceeded", "True"), ("QualityGatePassed", "True")];
        assert_eq!(verdict(&good), Verdict::Good);
        assert_eq!(verdict(&[("Ready", "True"), ("LastExecutionSucceeded", "True")]), Verdict::Good, "nothing else is judged");
        for (kind, status, wanted) in [
            ("Fresh", "False", Verdict::Bad),
            ("LastExecutionSucceeded", "False", Verdict::Bad),
            ("QualityGatePassed", "False", Verdict::Bad),
            ("Fresh", "Unknown", Verdict::Unknown),
            ("QualityGatePassed", "Unknown", Verdict::Unknown),
            ("Ready", "False", Verdict::Unknown),
            ("Ready", "Unknown", Verdict::Unknown),
        ] {
            let changed = good.map(|(name, old)| (name, if name == kind { status } else { old }));
            assert_eq!(verdict(&changed), wanted, "{kind} {status}");
        }
        assert_eq!(verdict(&[("Ready", "True")]), Verdict::Unknown, "nothing has run yet");
        assert_eq!(verdict(&[("Ready", "False"), ("Stalled", "True")]), Verdict::Bad);
        assert_eq!(verdict(&[("Ready", "False"), ("Fresh", "False")]), Verdict::Bad, "what is known to be bad stays bad");
    }

    #[test]
    fn verdict_on_a_change_that_the_operator_has_not_seen_is_unknown() {
        let unseen = json!({ "metadata": { "name": "orders", "generation": 1 }, "spec": { "pipelineId": "orders" } });
        assert_eq!(Verdict::on(&serde_json::from_value(unseen).unwrap()), Verdict::Unknown);
        let changed = json!({
            "metadata": { "name": "orders", "generation": 2 }, "spec": { "pipelineId": "orders" },
            "status": { "observedGeneration": 1, "conditions": [
                { "type": "Fresh", "status": "False", "reason": "R", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" },
            ] },
        });
        assert_eq!(Verdict::on(&serde_json::from_value(changed).unwrap()), Verdict::Unknown);
    }

    #[test]
    fn worst_verdict_counts() {
        assert_eq!([Verdict::Bad, Verdict::Unknown, Verdict::Good].iter().max(), Some(&Verdict::Bad));
        assert_eq!([Verdict::Good, Verdict::Unknown, Verdict::Bad].map(|verdict| verdict.exit_status().code()), [0, 6, 3]);
    }
}
