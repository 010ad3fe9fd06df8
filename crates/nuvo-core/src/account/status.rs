//! The status of an account.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use nuvo_crds::{
    NuvoAccount, NuvoAccountStatus,
    conditions::{AccountReason, ConditionStatus, MAX_MESSAGE, READY, RECONCILING, STALLED},
};

use super::finding::Finding;

/// The status that says this of the account.
pub(super) fn status<S>(account: &NuvoAccount, finding: &Finding<S>, now: Timestamp) -> NuvoAccountStatus {
    let old = account.status.clone().unwrap_or_default();
    let holds = finding.reason.status();
    let waiting = holds == ConditionStatus::Unknown;
    let wanted = [
        (READY, Some(holds)),
        (RECONCILING, waiting.then_some(ConditionStatus::True)),
        (STALLED, (holds == ConditionStatus::False).then_some(ConditionStatus::True)),
    ];
    let generation = account.metadata.generation;
    let message: String = finding.message.chars().take(MAX_MESSAGE).collect();
    let conditions = wanted
        .into_iter()
        .filter_map(|(kind, holds)| {
            let holds = holds?.as_str();
            let same = old.conditions.iter().find(|condition| condition.type_ == kind && condition.status == holds);
            Some(Condition {
                type_: kind.to_owned(),
                status: holds.to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
            })
        })
        .collect();
    // The identity that nuvo accepted last helps to find out why it does not any more. It is dropped once other credentials work.
    let earlier = old.identity.filter(|_| finding.reason != AccountReason::Ready);
    NuvoAccountStatus { observed_generation: generation, conditions, identity: finding.identity.clone().or(earlier) }
}
