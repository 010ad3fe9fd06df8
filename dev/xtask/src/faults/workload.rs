//! The workloads: what the operator has to do while a fault is injected.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use nuvo_sim::Pipeline;

/// The pipeline of every run, so that the runs compete for its lock.
pub const PIPELINE: &str = "orders";

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// One run.
    One,
    /// Two runs on one pipeline.
    Two,
    /// One run that starts three executions.
    Files,
    /// A run that is deleted while its POST is out, and another one on the same pipeline.
    Deletion,
    /// The credential is rotated while a POST is out.
    Rotation,
    /// The token expires while a POST is out.
    Expiry,
    /// Two runs on one pipeline and two operators without leader election, whose clocks are an hour apart.
    Pair,
    /// Two runs on one pipeline, and a tenant who attacks them from another namespace.
    Tenant,
}

/// Every workload with its name.
pub const ALL: [(Workload, &str); 8] = [
    (Workload::One, "one"),
    (Workload::Two, "two"),
    (Workload::Files, "files"),
    (Workload::Deletion, "deletion"),
    (Workload::Rotation, "rotation"),
    (Workload::Expiry, "expiry"),
    (Workload::Pair, "pair"),
    (Workload::Tenant, "tenant"),
];

/// What the test does while the first POST is at the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// The first run is deleted, and the second created.
    Delete,
    /// The license key and the Secret change, and no token is accepted any more.
    Rotate,
    /// No token is accepted any more.
    Expire,
}

impl Workload {
    /// The runs that are created at once.
    pub fn runs(self) -> &'static [&'static str] {
        match self {
            Self::Two | Self::Pair | Self::Tenant => &["first", "second"],
            Self::One | Self::Files | Self::Deletion | Self::Rotation | Self::Expiry => &["first"],
        }
    }

    /// The pipeline as scripted in the simulator.
    pub fn pipeline(self) -> Pipeline {
        let pipeline = Pipeline::new(PIPELINE).duration(Duration::from_millis(300));
        if self == Self::Files { pipeline.files(3) } else { pipeline }
    }

    /// The incident of this workload, if it has one.
    pub fn incident(self) -> Option<Incident> {
        match self {
            Self::Deletion => Some(Incident::Delete),
            Self::Rotation => Some(Incident::Rotate),
            Self::Expiry => Some(Incident::Expire),
            Self::One | Self::Two | Self::Files | Self::Pair | Self::Tenant => None,
        }
    }

    /// Whether the simulator refuses the first POST, because the token that came with it is no longer accepted.
    pub fn refuses_the_first_post(self) -> bool {
        matches!(self, Self::Rotation | Self::Expiry)
    }

    /// Whether there is a tenant who attacks.
    pub fn has_tenant(self) -> bool {
        self == Self::Tenant
    }

    /// How many operators there are.
    pub fn operators(self) -> usize {
        if self == Self::Pair { 2 } else { 1 }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(workload, _)| workload == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(_, name)| *name == text).map(|(workload, _)| *workload);
        found.ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
            format!("{text}: expected a workload, one of {}", names.join(", "))
        })
    }
}
