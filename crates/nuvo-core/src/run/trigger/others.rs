//! What the other runs of a pipeline say.

use std::collections::BTreeSet;

use crate::run::{ids::ExecutionId, trigger::run_view::Run, trigger::verdict::decided};

/// The other runs of the pipeline, by a quorum LIST.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Others {
    /// One of them may have a POST out, or its result is not written.
    pub undecided: bool,
    /// Executions that they show.
    pub claimed: BTreeSet<ExecutionId>,
}

impl Others {
    /// Takes in one of the other runs, which shows these executions (of earlier attempts, too).
    pub fn include(&mut self, run: &Run, shown: impl IntoIterator<Item = ExecutionId>) {
        self.undecided |= run.own_marker().is_some() && !decided(run);
        self.claimed.extend(shown);
    }
}
