//! What kind of world is explored: who acts in it, and how much goes wrong.

/// How many runs of the pipeline there are.
pub const RUNS: usize = 2;
/// How many processes act on them.
pub const OPERATORS: usize = 2;

/// How much of what goes wrong is left, and what kind of world it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Processes that die.
    pub crashes: u8,
    /// Processes that go away for good, each between two passes, while others remain.
    pub leavers: u8,
    /// Writes to Kubernetes that are applied, or never sent, without an answer.
    pub lost: u8,
    /// Writes that are applied long after the writer has given up.
    pub late_writes: u8,
    /// POSTs that get no answer, whether they were carried out or not.
    pub unanswered: u8,
    /// POSTs that are carried out long after they were sent.
    pub late_posts: u8,
    /// POSTs that nuvo certainly did not carry out.
    pub refused: u8,
    /// Ticks between a W1 and its POST.
    pub slow: u8,
    /// Passes that begin with the run as it was first.
    pub stale: u8,
    /// Foreign edits of a run.
    pub edits: u8,
    /// Runs that are deleted.
    pub deletions: u8,
    /// Attempts that a person opens after the first.
    pub reruns: u8,
    /// Statuses that are wiped.
    pub status_wipes: u8,
    /// Markers that are wiped.
    pub marker_wipes: u8,
    /// Lease objects that are deleted.
    pub lease_deletions: u8,
    /// Ledgers that are forgotten, as after sixty-four other runs.
    pub ledger_losses: u8,
    /// How many executions a POST may start.
    pub batches: &'static [u8],
    /// Whether an execution may be listed later than it is started.
    pub lag: bool,
    /// Whether what a living process knows is written before time passes.
    pub brisk: bool,
    /// Whether a process works on both runs at once.
    pub concurrent: bool,
    /// How many processes act.
    pub operators: usize,
    /// How many runs there are.
    pub runs: usize,
}

impl Scope {
    /// Two operators and two runs to which nothing bad happens.
    pub const CALM: Self = Self {
        crashes: 0,
        leavers: 0,
        lost: 0,
        late_writes: 0,
        unanswered: 0,
        late_posts: 0,
        refused: 0,
        slow: 0,
        stale: 0,
        edits: 0,
        deletions: 0,
        reruns: 0,
        status_wipes: 0,
        marker_wipes: 0,
        lease_deletions: 0,
        ledger_losses: 0,
        batches: &[1],
        lag: false,
        brisk: false,
        concurrent: false,
        operators: OPERATORS,
        runs: RUNS,
    };

    /// Whether the list shows every execution by the time that anybody looks, and nobody tampers with the records.
    pub fn list_is_prompt(&self) -> bool {
        let tampering = [self.edits, self.deletions, self.status_wipes, self.marker_wipes, self.lease_deletions, self.ledger_losses];
        !self.lag && self.late_posts == 0 && tampering == [0; 6]
    }

    /// Whether every POST is answered to a process that lives and writes what it knows, before others lose patience.
    pub fn no_doubt_can_arise(&self) -> bool {
        self.list_is_prompt() && (self.brisk || self.refused == 0) && [self.crashes, self.unanswered, self.lost, self.late_writes] == [0; 4]
    }
}
