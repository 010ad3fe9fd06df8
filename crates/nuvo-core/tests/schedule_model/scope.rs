//! What may go wrong, and how often.

/// A budget of what may go wrong.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Scope {
    /// Operators that are at work at once.
    pub operators: usize,
    /// A slot waits for the run before (`Forbid`) instead of starting beside it (`Allow`).
    pub forbids: bool,
    /// The last moment, of four.
    pub last_time: u8,
    /// A process dies between two acts, or its answer is lost.
    pub crashes: u8,
    /// The request to create a run is carried out later than its answer was waited for.
    pub late: u8,
    /// A person, or TTL, deletes a run.
    pub deletions: u8,
    /// A person suspends or resumes the schedule.
    pub edits: u8,
    /// The clock steps back by one moment.
    pub steps_back: u8,
    /// The schedule is deleted, and made again: without its status, or with it, from a backup.
    pub recreations: u8,
    /// A run is made again from a backup or a copied manifest.
    pub copies: u8,
    /// A run of another owner has the name.
    pub foreign: u8,
}

impl Scope {
    /// Nothing goes wrong.
    pub const CALM: Self = Self {
        operators: 2,
        forbids: false,
        last_time: 3,
        crashes: 0,
        late: 0,
        deletions: 0,
        edits: 0,
        steps_back: 0,
        recreations: 0,
        copies: 0,
        foreign: 0,
    };
}

/// One slot, two operators.
pub const ONE_SLOT: Scope = Scope { last_time: 2, ..Scope::CALM };
/// Two slots, one operator.
pub const TWO_SLOTS: Scope = Scope { operators: 1, ..Scope::CALM };

/// What is explored. What two operators do to each other mostly needs one slot; what a slot does to the next one mostly needs one operator.
pub const SCOPES: &[(&str, Scope)] = &[
    ("two operators, two crashes", Scope { crashes: 2, ..ONE_SLOT }),
    ("two operators, late create", Scope { late: 1, ..ONE_SLOT }),
    ("two operators, run deleted", Scope { deletions: 1, ..ONE_SLOT }),
    ("two operators, edit", Scope { edits: 1, ..ONE_SLOT }),
    ("two slots, late create, crash", Scope { late: 1, crashes: 1, ..TWO_SLOTS }),
    ("two slots, late create, run deleted", Scope { late: 1, deletions: 1, ..TWO_SLOTS }),
    ("two slots, edits, crash", Scope { edits: 2, crashes: 1, ..TWO_SLOTS }),
    ("two slots, Forbid, late create, crash", Scope { forbids: true, late: 1, crashes: 1, ..TWO_SLOTS }),
    ("two slots, Forbid, run deleted, crash", Scope { forbids: true, deletions: 1, crashes: 1, ..TWO_SLOTS }),
    ("two slots, Forbid, edits, clock steps back", Scope { forbids: true, edits: 1, steps_back: 1, ..TWO_SLOTS }),
    ("two slots, two operators, Forbid", Scope { forbids: true, operators: 2, ..TWO_SLOTS }),
    ("two operators, clock steps back", Scope { steps_back: 1, ..ONE_SLOT }),
    ("two operators, schedule made again", Scope { recreations: 1, ..ONE_SLOT }),
    ("two operators, runs restored or copied", Scope { copies: 1, ..ONE_SLOT }),
    ("two slots, clock steps back, crash", Scope { steps_back: 1, crashes: 1, ..TWO_SLOTS }),
    ("late create, crash, edit, clock steps back", Scope { late: 1, crashes: 1, edits: 1, steps_back: 1, operators: 1, ..ONE_SLOT }),
    ("schedule made again, crash", Scope { recreations: 1, crashes: 1, operators: 1, ..ONE_SLOT }),
    ("schedule made again, late create", Scope { recreations: 1, late: 1, operators: 1, ..ONE_SLOT }),
    ("runs restored or copied, deleted", Scope { copies: 1, deletions: 1, operators: 1, ..ONE_SLOT }),
    ("runs copied, schedule made again", Scope { copies: 1, recreations: 1, operators: 1, ..ONE_SLOT }),
    ("name taken, crash", Scope { foreign: 1, crashes: 1, deletions: 1, operators: 1, ..ONE_SLOT }),
];
