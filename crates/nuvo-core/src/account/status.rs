//! The status of an account.

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{
    NuvoAccount, NuvoAccountStatus,
    conditions::{self, AccountReason, ConditionState, ConditionStatus, MAX_MESSAGE, READY, RECONCILING, STALLED},
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
    let state = |status| ConditionState { status, reason: finding.reason.as_str(), message: &message, observed_generation: generation };
    let mut conditions = old.conditions;
    conditions.retain(|condition| wanted.iter().any(|(type_, _)| *type_ == condition.type_));
    for (type_, wanted) in wanted {
        match wanted {
            Some(holds) => conditions::set(&mut conditions, type_, &state(holds), now),
            None => conditions::remove(&mut conditions, type_),
        }
    }
    // The identity that nuvo accepted last helps to find out why it does not any more, and counts again when nuvo is back. It is dropped once
    // other credentials work.
    let (identity, identity_source) = match finding.reason {
        AccountReason::Ready => (finding.identity.clone(), finding.identity_source.clone()),
        _ => (old.identity, old.identity_source),
    };
    NuvoAccountStatus { observed_generation: generation, conditions, identity, identity_source }
}
