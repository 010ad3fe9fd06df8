//! One fault at one request of one workload.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use super::fault::{self, Fault};
use super::numbered_request::NumberedRequest;
use super::workload::Workload;

/// One fault at one request of one workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plan {
    pub workload: Workload,
    pub operation: NumberedRequest,
    pub fault: Fault,
}

/// Every plan for a workload whose requests are these.
pub fn all(workload: Workload, sequence: &[NumberedRequest]) -> Vec<Plan> {
    let watched = sequence.iter().rposition(|operation| operation.kind.is_watch() && operation.occurrence == 1).unwrap_or(usize::MAX);
    let mut plans = BTreeSet::new();
    // One question about a permission is like the next.
    let asked = |operation: &NumberedRequest| operation.kind.is_question() && operation.occurrence > 1;
    for (place, operation) in sequence.iter().enumerate().filter(|(_, operation)| !asked(operation)) {
        for (fault, _) in fault::ALL {
            if fault.fits(operation, place > watched, workload) {
                plans.insert(Plan { workload, operation: operation.clone(), fault });
            }
        }
    }
    plans.into_iter().collect()
}

/// So many of these plans, chosen by this seed; in an order that mixes the workloads.
pub fn sample(mut plans: Vec<Plan>, count: usize, seed: u64) -> Vec<Plan> {
    plans.sort_by_cached_key(|plan| {
        let mut hasher = DefaultHasher::new();
        (seed, plan).hash(&mut hasher);
        hasher.finish()
    });
    plans.truncate(count);
    plans
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.workload, self.operation, self.fault)
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let [workload, operation, fault] = parts.as_slice() else {
            return Err(format!("{text}: expected WORKLOAD/OPERATION/FAULT, such as two/nuvo-create.1/crash-after"));
        };
        Ok(Self { workload: workload.parse()?, operation: operation.parse()?, fault: fault.parse()? })
    }
}
