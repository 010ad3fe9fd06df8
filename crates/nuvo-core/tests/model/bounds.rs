//! What kind of world is explored: who acts in it, and how much goes wrong.

use nuvo_crds::ConcurrencyPolicy;

/// How many runs of the pipeline there are.
pub const RUNS: usize = 2;
/// How many processes act on them.
pub const OPERATORS: usize = 2;

/// How long the processes live, besides those that die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restarts {
    /// As long as the world.
    Never,
    /// From one tick to the next.
    AtEveryTick,
    /// Less than the quarantine.
    AtLongTicks,
}

/// What a process lacks from its begin until a tick that it lives through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// Nothing.
    Whole,
    /// It cannot use its account.
    WithoutAccount,
    /// nuvo gives it no list of what a trigger in doubt may have started.
    WithoutList,
}

/// How much of what goes wrong is left, and what kind of world it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Processes that die.
    pub crashes: u8,
    /// Whether it can be told how old a lock is. Elsewhere no process can.
    pub aged: bool,
    /// Whether processes end and begin again as time passes.
    pub restarts: Restarts,
    /// What a process lacks at first.
    pub start: Start,
    /// Whether it lacks it now.
    pub starting: bool,
    /// Processes that go away for good, each between two passes, while others remain.
    pub leavers: u8,
    /// Writes to Kubernetes that are applied, or never sent, without an answer.
    pub lost: u8,
    /// Writes that are applied long after the writer has given up.
    pub late_writes: u8,
    /// Markers that the API server refuses for good.
    pub denied: u8,
    /// Passes that are broken off.
    pub broken_off: u8,
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
    /// Processes that are told to end.
    pub drains: u8,
    /// Lists that nuvo does not give to who looks into a trigger in doubt.
    pub failed_lists: u8,
    /// Whether nuvo never gives a list to who looks into a trigger in doubt.
    pub never_listed: bool,
    /// Lists that do not reach back as far as is needed, to who looks into a trigger in doubt.
    pub short_lists: u8,
    /// Lists that do not show the newest executions, to who triggers.
    pub blind_lists: u8,
    /// Executions that another client starts.
    pub intruders: u8,
    /// Whether the account names another tenant of nuvo now and then.
    pub moves: bool,
    /// Whether it does now.
    pub moved: bool,
    /// Foreign edits of a run.
    pub edits: u8,
    /// Runs whose controller a NuvoPipeline becomes, and that do not say which execution they follow.
    pub mirrors: u8,
    /// Whether the last run only follows executions, whoever started them.
    pub observer: bool,
    /// Runs that are held back before they are triggered.
    pub suspensions: u8,
    /// Whether a run that is held back stays so.
    pub stays_suspended: bool,
    /// Runs whose account is gone for good.
    pub account_losses: u8,
    /// Runs that are deleted.
    pub deletions: u8,
    /// Runs that are created again from a backup.
    pub restores: u8,
    /// Attempts that a person opens after the first.
    pub reruns: u8,
    /// Answers of a person to a doubt.
    pub resolutions: u8,
    /// Statuses that are wiped.
    pub status_wipes: u8,
    /// Markers that are wiped.
    pub marker_wipes: u8,
    /// Markers that only a later version can read.
    pub garbled_markers: u8,
    /// Entries of the ledger that only a later version can read.
    pub garbled_entries: u8,
    /// Earlier records that are written over a run.
    pub roll_backs: u8,
    /// Lease objects that are deleted.
    pub lease_deletions: u8,
    /// Locks that the operator deletes because they are not used any more.
    pub sweeps: u8,
    /// Ledgers that are forgotten, as after sixty-four other runs.
    pub ledger_losses: u8,
    /// Whether the deadline of the runs is over from the beginning.
    pub overdue: bool,
    /// Whether runs also take what is not provably theirs.
    pub adopt: bool,
    /// Whether a run triggers again by itself, once, when nothing has come of its trigger.
    pub retrigger: bool,
    /// Whether it is not known as whom nuvo shows the account.
    pub anonymous: bool,
    /// Whether it is explored how long a trigger whose executions were found may still be answered, and how its batch grows. Elsewhere that is
    /// over at once.
    pub open: bool,
    /// Whether the time of day stands still, so that what is open stays so.
    pub standing: bool,
    /// How many executions a POST may start.
    pub batches: &'static [u8],
    /// Whether an execution may be listed later than it is started.
    pub lag: bool,
    /// Whether what a living process knows is written before time passes.
    pub brisk: bool,
    /// Whether a process works on both runs at once.
    pub concurrent: bool,
    /// Whether each run is in a namespace that only one of the processes may read.
    pub split: bool,
    /// Whether the life of the runs around their triggers is explored, too: what is shown, retried, deleted.
    pub life: bool,
    /// Retries that the spec allows.
    pub retries: u8,
    /// Whether runs are deleted some time after their end.
    pub expire: bool,
    /// What a run does while another execution of the pipeline runs.
    pub policy: ConcurrencyPolicy,
    /// Whether runs are not triggered some time after they were asked for.
    pub start_deadline: bool,
    /// Reasons to wait that are written into a status.
    pub notes: u8,
    /// Whether a finalizer keeps a deleted run without end.
    pub kept: bool,
    /// How many processes act.
    pub operators: usize,
    /// How many runs there are.
    pub runs: usize,
}

impl Scope {
    /// Two operators and two runs to which nothing bad happens.
    pub const CALM: Self = Self {
        crashes: 0,
        aged: false,
        restarts: Restarts::Never,
        start: Start::Whole,
        starting: false,
        leavers: 0,
        lost: 0,
        late_writes: 0,
        denied: 0,
        broken_off: 0,
        unanswered: 0,
        late_posts: 0,
        refused: 0,
        slow: 0,
        stale: 0,
        drains: 0,
        failed_lists: 0,
        never_listed: false,
        short_lists: 0,
        blind_lists: 0,
        intruders: 0,
        moves: false,
        moved: false,
        edits: 0,
        mirrors: 0,
        observer: false,
        suspensions: 0,
        stays_suspended: false,
        account_losses: 0,
        deletions: 0,
        restores: 0,
        reruns: 0,
        resolutions: 0,
        status_wipes: 0,
        marker_wipes: 0,
        garbled_markers: 0,
        garbled_entries: 0,
        roll_backs: 0,
        lease_deletions: 0,
        sweeps: 0,
        ledger_losses: 0,
        overdue: false,
        adopt: false,
        retrigger: false,
        anonymous: false,
        open: false,
        standing: false,
        batches: &[1],
        lag: false,
        brisk: false,
        concurrent: false,
        split: false,
        life: false,
        retries: 0,
        expire: false,
        policy: ConcurrencyPolicy::Allow,
        start_deadline: false,
        notes: 0,
        kept: false,
        operators: OPERATORS,
        runs: RUNS,
    };

    /// Whether the list shows every execution by the time of the next look, and the records are not tampered with.
    pub fn list_is_prompt(&self) -> bool {
        let garbled = self.garbled_markers + self.garbled_entries;
        let tampering =
            [garbled, self.deletions, self.status_wipes, self.marker_wipes, self.roll_backs, self.lease_deletions, self.ledger_losses];
        !self.lag && !self.never_listed && [self.late_posts, self.blind_lists] == [0; 2] && tampering == [0; 7]
    }

    /// Whether nuvo gives no list to who looks into a trigger in doubt now.
    pub fn is_without_list(&self) -> bool {
        self.never_listed || (self.starting && self.start == Start::WithoutList)
    }

    /// Whether no lock is deleted; or if one is, nothing is as late as to do harm.
    pub fn locks_are_kept(&self) -> bool {
        self.lease_deletions == 0 || self.brisk
    }

    /// Whether something tells of the newest attempt, whoever looks: not if a run is put back to an earlier attempt, nor if marker and
    /// status are wiped while another process looks at one after the other.
    pub fn some_record_remains(&self) -> bool {
        let wiped = self.status_wipes > 0 && self.marker_wipes > 0 && self.operators > 1;
        !(wiped || self.roll_backs > 0) || self.reruns == 0
    }

    /// Whether every POST is answered to a process that lives and writes what it knows, before others lose patience.
    pub fn no_doubt_can_arise(&self) -> bool {
        // Who takes the lock over from another task of the same run cannot know what that one has done. An end that is written before W1 of
        // another task disturbs it like an edit.
        let undisturbed =
            self.operators == 1 || ([self.edits, self.mirrors, self.suspensions, self.slow] == [0; 4] && !self.start_deadline);
        // A pass that is slow and then disturbed leaves the rest to the next one, which does not know whether it has sent anything.
        let patient = self.slow == 0 || [self.edits, self.mirrors, self.suspensions, self.notes] == [0; 4];
        let answered = [self.crashes, self.broken_off, self.unanswered, self.lost, self.late_writes, self.leavers] == [0; 6];
        self.list_is_prompt()
            && self.restarts == Restarts::Never
            && self.account_losses == 0
            && (self.brisk || [self.refused, self.drains] == [0; 2])
            && undisturbed
            && patient
            && answered
    }
}

/// One operator, which may die and lose answers.
const ALONE: Scope = Scope { operators: 1, crashes: 1, unanswered: 1, ..Scope::CALM };
/// One run that triggers again by itself.
const RETRIGGER: Scope = Scope { retrigger: true, runs: 1, ..ALONE };
/// A run whose executions are found before its trigger is over.
const FOUND: Scope = Scope { open: true, batches: &[2], runs: 1, ..Scope::CALM };
/// One run, and two operators that get into each other's way.
const ONE_RUN: Scope = Scope { runs: 1, crashes: 1, ..Scope::CALM };
/// One run, and two operators of which one goes away. What it leaves behind the other one brings to an end, whatever that remembers.
const LEFT: Scope = Scope { runs: 1, leavers: 1, ..Scope::CALM };

/// One operator that is restarted again and again.
const RESTLESS: Scope = Scope { restarts: Restarts::AtEveryTick, aged: true, operators: 1, ..Scope::CALM };
/// One operator that is restarted more often than the quarantine takes.
const BRIEF: Scope = Scope { restarts: Restarts::AtLongTicks, ..RESTLESS };
/// Two operators that can tell how old a lock is, and one run.
const AGED: Scope = Scope { aged: true, runs: 1, ..Scope::CALM };
/// The same with two runs and one operator.
const AGED_LOCKS: Scope = Scope { aged: true, operators: 1, ..Scope::CALM };
/// Two operators, each with a run in a namespace of its own.
const APART: Scope = Scope { split: true, ..Scope::CALM };

/// What is explored on every change.
pub const STANDARD: &[(&str, Scope)] = &[
    ("nothing", Scope::CALM),
    ("a crash", Scope { crashes: 1, ..Scope::CALM }),
    ("a write is lost, or its answer", Scope { lost: 1, ..Scope::CALM }),
    ("a write lands late", Scope { late_writes: 1, ..Scope::CALM }),
    ("a foreign edit (409)", Scope { edits: 1, ..Scope::CALM }),
    ("a stale cache", Scope { stale: 1, ..Scope::CALM }),
    ("an answer of nuvo is lost; 0 or 2 executions", Scope { unanswered: 1, batches: &[0, 2], ..Scope::CALM }),
    ("a POST lands late, or is lost", Scope { late_posts: 1, unanswered: 1, ..Scope::CALM }),
    ("an answer of nuvo is lost, slow list", Scope { unanswered: 1, lag: true, ..Scope::CALM }),
    ("nuvo refuses", Scope { refused: 1, ..Scope::CALM }),
    ("nuvo refuses, all is written at once", Scope { refused: 1, brisk: true, ..Scope::CALM }),
    ("an operator is slow", Scope { slow: 1, ..Scope::CALM }),
    ("a pass is broken off", Scope { broken_off: 1, ..Scope::CALM }),
    ("a marker is refused for good", Scope { denied: 1, ..Scope::CALM }),
    ("an operator is told to end", Scope { drains: 1, ..Scope::CALM }),
    ("namespaces apart, a crash, a lost answer; 0 or 2 executions", Scope { crashes: 1, unanswered: 1, batches: &[0, 2], ..APART }),
    ("namespaces apart, a lost answer, slow list", Scope { unanswered: 1, lag: true, ..APART }),
    ("namespaces apart, a POST lands late, or is lost", Scope { late_posts: 1, unanswered: 1, ..APART }),
    ("namespaces apart, refusal, a write lost, or its answer", Scope { refused: 1, lost: 1, ..APART }),
    ("restarts at every tick, an answer of nuvo is lost; 0 or 2 executions", Scope { unanswered: 1, batches: &[0, 2], ..RESTLESS }),
    ("restarts at every tick, slow list", Scope { lag: true, ..RESTLESS }),
    ("restarts at every tick, a deletion, a finalizer that stays", Scope { deletions: 1, kept: true, ..RESTLESS }),
    ("restarts at every tick, refusal, marker wiped", Scope { refused: 1, marker_wipes: 1, ..RESTLESS }),
    ("locks have an age, a crash", Scope { crashes: 1, ..AGED }),
    ("locks have an age, a lost answer, slow list", Scope { unanswered: 1, lag: true, ..AGED }),
    ("locks have an age, slow", Scope { slow: 1, ..AGED }),
    ("locks have an age, lost answer, slow list, deletion", Scope { unanswered: 1, lag: true, deletions: 1, ..AGED_LOCKS }),
    ("locks have an age, crash, late POST, slow list", Scope { crashes: 1, late_posts: 1, unanswered: 1, lag: true, ..AGED_LOCKS }),
    (
        "locks have an age, a write lost, slow, slow list; 0 or 2 executions",
        Scope { lost: 1, slow: 1, lag: true, batches: &[0, 2], ..AGED_LOCKS },
    ),
    ("never a list, a crash, a lost answer", Scope { never_listed: true, crashes: 1, unanswered: 1, ..AGED_LOCKS }),
    ("never a list, restarts within the quarantine", Scope { never_listed: true, unanswered: 1, ..BRIEF }),
    ("an account is gone, restarts within the quarantine", Scope { account_losses: 1, unanswered: 1, ..BRIEF }),
    ("restarts within the quarantine, each without its account at first", Scope { start: Start::WithoutAccount, unanswered: 1, ..BRIEF }),
    ("restarts within the quarantine, each without a list at first", Scope { start: Start::WithoutList, unanswered: 1, ..BRIEF }),
    (
        "a crash, without its account at first, overdue",
        Scope { crashes: 1, start: Start::WithoutAccount, overdue: true, unanswered: 1, ..AGED_LOCKS },
    ),
    ("unused locks are deleted, refusal", Scope { sweeps: 1, refused: 1, operators: 1, ..Scope::CALM }),
    ("unused locks are deleted, a crash", Scope { sweeps: 1, crashes: 1, ..Scope::CALM }),
    ("unused locks are deleted, deletion, a lost answer", Scope { sweeps: 2, deletions: 1, unanswered: 1, ..AGED_LOCKS }),
    ("unused locks are deleted, deletion, slow list", Scope { sweeps: 1, deletions: 1, unanswered: 1, lag: true, ..AGED_LOCKS }),
    ("unused locks are deleted, deletion, backup", Scope { sweeps: 1, deletions: 1, restores: 1, ..AGED_LOCKS }),
    ("unused locks are deleted, status and marker wiped", Scope { sweeps: 1, status_wipes: 1, marker_wipes: 1, ..AGED_LOCKS }),
    ("crash, lost answer, suspended for good", Scope { suspensions: 1, stays_suspended: true, ..ALONE }),
    ("crash, lost answer, an account is gone", Scope { account_losses: 1, ..ALONE }),
    ("crash, edit, an account is gone", Scope { crashes: 1, edits: 1, account_losses: 1, operators: 1, ..Scope::CALM }),
    ("crash, marker wiped, an account is gone", Scope { crashes: 1, marker_wipes: 1, account_losses: 1, operators: 1, ..Scope::CALM }),
    ("slow, a late write, an account is gone", Scope { slow: 1, late_writes: 1, account_losses: 1, operators: 1, ..Scope::CALM }),
    ("two operators, suspended for good", Scope { suspensions: 1, stays_suspended: true, ..Scope::CALM }),
    ("two operators, an account is gone", Scope { account_losses: 1, ..Scope::CALM }),
    ("an operator goes away", Scope { leavers: 1, ..Scope::CALM }),
    ("a NuvoPipeline takes a run over", Scope { mirrors: 1, ..Scope::CALM }),
    ("crash, lost answer, a NuvoPipeline takes a run over", Scope { mirrors: 1, ..ALONE }),
    ("crash, lost answer, an observing run, slow list; 0 or 2 executions", Scope { observer: true, batches: &[0, 2], lag: true, ..ALONE }),
    ("Retrigger, an observing run, slow list", Scope { observer: true, runs: 2, lag: true, ..RETRIGGER }),
    ("a run is deleted", Scope { deletions: 1, ..Scope::CALM }),
    ("a status is wiped", Scope { status_wipes: 1, ..Scope::CALM }),
    ("a marker is wiped", Scope { marker_wipes: 1, ..Scope::CALM }),
    ("a marker is of a later version", Scope { garbled_markers: 1, ..Scope::CALM }),
    ("an entry is of a later version", Scope { garbled_entries: 1, ..Scope::CALM }),
    ("the lock is deleted", Scope { lease_deletions: 1, ..Scope::CALM }),
    ("crash, lost answer: twice", Scope { crashes: 2, unanswered: 2, ..ALONE }),
    ("crash, lost answer, writes lost: twice", Scope { lost: 2, ..ALONE }),
    ("crash, lost answer, pass broken off", Scope { broken_off: 1, ..ALONE }),
    ("crash, lost answer, late write", Scope { late_writes: 1, ..ALONE }),
    ("crash, lost answer, slow list; 0 or 2 executions", Scope { batches: &[0, 2], lag: true, ..ALONE }),
    ("crash, lost answer, slow list, deletion", Scope { deletions: 1, lag: true, ..ALONE }),
    ("crash, lost answer, no list; 0 or 2 executions", Scope { failed_lists: 2, batches: &[0, 2], ..ALONE }),
    (
        "crash, lost answer, no list, or a short one; 0 or 2 executions",
        Scope { failed_lists: 1, short_lists: 2, batches: &[0, 2], ..ALONE },
    ),
    ("crash, lost answer, no list, overdue", Scope { failed_lists: 1, overdue: true, lag: true, ..ALONE }),
    ("crash, lost answer, marker refused for good, twice", Scope { denied: 2, ..ALONE }),
    ("crash, lost answer, no list before the trigger", Scope { blind_lists: 1, ..ALONE }),
    ("crash, lost answer, another client's execution", Scope { intruders: 1, ..ALONE }),
    ("crash, lost answer, status and marker wiped", Scope { status_wipes: 1, marker_wipes: 1, ..ALONE }),
    ("crash, lost answer, marker of a later version, lock deleted", Scope { garbled_markers: 1, lease_deletions: 1, ..ALONE }),
    ("crash, lost answer, marker of a later version, ledger lost", Scope { garbled_markers: 1, ledger_losses: 1, ..ALONE }),
    ("crash, lost answer, marker of a later version, another attempt", Scope { garbled_markers: 1, reruns: 1, ..ALONE }),
    ("crash, lost answer, entry of a later version, deletion", Scope { garbled_entries: 1, deletions: 1, ..ALONE }),
    (
        "crash, lost answer, entry of a later version, status and marker wiped",
        Scope { garbled_entries: 1, status_wipes: 1, marker_wipes: 1, ..ALONE },
    ),
    ("crash, lost answer, status wiped, lock deleted", Scope { status_wipes: 1, lease_deletions: 1, ..ALONE }),
    ("crash, lost answer, status wiped, ledger lost", Scope { status_wipes: 1, ledger_losses: 1, ..ALONE }),
    ("crash, lost answer, deletion, backup", Scope { deletions: 1, restores: 1, ..ALONE }),
    ("crash, lost answer, another attempt", Scope { reruns: 1, ..ALONE }),
    ("crash, lost answer, a person's word, slow list", Scope { resolutions: 1, lag: true, ..ALONE }),
    ("crash, lost answer, told to end, suspended", Scope { drains: 1, suspensions: 1, ..ALONE }),
    ("crash, lost answer, refusal, slow, stale cache", Scope { refused: 1, slow: 1, stale: 1, ..ALONE }),
    ("crash, lost answer, refusal, marker wiped", Scope { refused: 1, marker_wipes: 1, ..ALONE }),
    ("suspended, edited, slow", Scope { suspensions: 1, edits: 1, slow: 1, operators: 1, ..Scope::CALM }),
    ("onAmbiguousTrigger: Adopt, slow list", Scope { adopt: true, lag: true, ..ALONE }),
    ("onAmbiguousTrigger: Retrigger, slow list; 0 or 2 executions", Scope { batches: &[0, 2], lag: true, ..RETRIGGER }),
    ("Retrigger, no list, or a short one", Scope { failed_lists: 2, short_lists: 1, ..RETRIGGER }),
    ("Retrigger, another client's execution, identity not known", Scope { intruders: 1, anonymous: true, ..RETRIGGER }),
    ("Retrigger, a POST lands late, or is lost", Scope { late_posts: 1, crashes: 0, ..RETRIGGER }),
    ("Retrigger, two runs, slow list", Scope { runs: 2, lag: true, crashes: 0, unanswered: 2, ..RETRIGGER }),
    ("Retrigger, another account meanwhile", Scope { moves: true, ..RETRIGGER }),
    ("Retrigger, two operators", Scope { operators: 2, ..RETRIGGER }),
    ("found before the answer, slow list; 2 executions", Scope { late_posts: 1, lag: true, ..FOUND }),
    ("found after a lost answer, slow list; 2 executions", Scope { unanswered: 1, lag: true, ..FOUND }),
    ("found, two runs, slow list; 2 executions", Scope { runs: 2, operators: 1, unanswered: 1, lag: true, crashes: 1, ..FOUND }),
    ("found, another account meanwhile, slow list; 2 executions", Scope { operators: 1, unanswered: 1, lag: true, moves: true, ..FOUND }),
    ("found, two runs, the time of day stands still", Scope { runs: 2, operators: 1, unanswered: 1, standing: true, ..FOUND }),
    ("crash, refusal", Scope { refused: 1, ..ONE_RUN }),
    ("crash, foreign edit", Scope { edits: 1, ..ONE_RUN }),
    ("crash, another attempt", Scope { reruns: 1, ..ONE_RUN }),
    ("crash, marker wiped", Scope { marker_wipes: 1, ..ONE_RUN }),
    ("crash, marker wiped, marker refused for good", Scope { marker_wipes: 1, denied: 1, ..ONE_RUN }),
    ("crash, status wiped", Scope { status_wipes: 1, ..ONE_RUN }),
    ("crash, status and marker wiped", Scope { status_wipes: 1, marker_wipes: 1, ..ONE_RUN }),
    ("crash, refusal, earlier record put back", Scope { refused: 1, roll_backs: 1, runs: 1, operators: 1, ..ALONE }),
    ("left alone, lost answer", Scope { unanswered: 1, ..LEFT }),
    ("left alone, refusal, marker wiped", Scope { refused: 1, marker_wipes: 1, ..LEFT }),
    ("left alone, refusal, status wiped", Scope { refused: 1, status_wipes: 1, ..LEFT }),
    ("left alone, refusal, deletion", Scope { refused: 1, deletions: 1, ..LEFT }),
];

/// What takes minutes: two things go wrong for two operators and two runs.
pub const LARGE: &[(&str, Scope)] = &[
    ("unused locks are deleted, refusal", Scope { sweeps: 1, refused: 1, ..Scope::CALM }),
    ("unused locks are deleted, marker wiped, refusal", Scope { sweeps: 1, marker_wipes: 1, refused: 1, ..AGED }),
    ("locks have an age, a crash, a lost answer", Scope { crashes: 1, unanswered: 1, ..AGED }),
    ("locks have an age, a crash, a lost answer, slow list", Scope { crashes: 1, unanswered: 1, lag: true, ..AGED }),
    ("locks have an age, a crash, a late POST", Scope { crashes: 1, late_posts: 1, unanswered: 1, ..AGED }),
    ("locks have an age, slow, a late write", Scope { slow: 1, late_writes: 1, ..AGED }),
    ("locks have an age, another attempt", Scope { reruns: 1, unanswered: 1, ..AGED }),
    ("crash: three times", Scope { crashes: 3, ..Scope::CALM }),
    ("crash, lost answer", Scope { crashes: 1, unanswered: 1, ..Scope::CALM }),
    ("crash, lost answer, slow list", Scope { crashes: 1, unanswered: 1, lag: true, ..Scope::CALM }),
    ("crash, POST lands late, or is lost", Scope { crashes: 1, late_posts: 1, unanswered: 1, ..Scope::CALM }),
    ("crash, write lost, or its answer", Scope { crashes: 1, lost: 1, ..Scope::CALM }),
    ("lost answer, pass broken off", Scope { broken_off: 1, unanswered: 1, ..Scope::CALM }),
    ("crash, late write", Scope { crashes: 1, late_writes: 1, ..Scope::CALM }),
    ("crash, foreign edit (409)", Scope { crashes: 1, edits: 1, ..Scope::CALM }),
    ("crash, stale cache", Scope { crashes: 1, stale: 1, ..Scope::CALM }),
    ("crash, refusal", Scope { crashes: 1, refused: 1, ..Scope::CALM }),
    ("crash, slow", Scope { crashes: 1, slow: 1, ..Scope::CALM }),
    ("crash, deletion", Scope { crashes: 1, deletions: 1, ..Scope::CALM }),
    ("crash, another attempt", Scope { crashes: 1, reruns: 1, ..Scope::CALM }),
    ("crash, marker wiped", Scope { crashes: 1, marker_wipes: 1, ..Scope::CALM }),
    ("crash, status wiped", Scope { crashes: 1, status_wipes: 1, ..Scope::CALM }),
    ("status and marker wiped", Scope { status_wipes: 1, marker_wipes: 1, ..Scope::CALM }),
    ("lost answer: twice, slow list", Scope { unanswered: 2, lag: true, ..Scope::CALM }),
    ("lost answer, slow list; 0 to 2 executions", Scope { unanswered: 1, lag: true, batches: &[0, 1, 2], ..Scope::CALM }),
    ("lost answer, slow list, deletion", Scope { unanswered: 1, lag: true, deletions: 1, ..Scope::CALM }),
    ("lost answer, slow list, marker wiped", Scope { unanswered: 1, lag: true, marker_wipes: 1, ..Scope::CALM }),
    ("lost answer, slow list, status wiped", Scope { unanswered: 1, lag: true, status_wipes: 1, ..Scope::CALM }),
    ("late write: twice", Scope { late_writes: 2, ..Scope::CALM }),
    ("refusal: twice, told to end", Scope { refused: 2, drains: 1, ..Scope::CALM }),
    ("refusal, earlier record put back", Scope { refused: 1, roll_backs: 1, ..Scope::CALM }),
    ("suspended", Scope { suspensions: 1, ..Scope::CALM }),
    ("deletion, backup", Scope { deletions: 1, restores: 1, ..Scope::CALM }),
    ("both runs at once, crash", Scope { concurrent: true, crashes: 1, ..Scope::CALM }),
    ("a rerun and a retry, two operators", Scope { reruns: 1, retries: 1, operators: 2, ..LIFE }),
    ("both runs at once, lost answer", Scope { concurrent: true, unanswered: 1, ..Scope::CALM }),
];

/// The life of runs around their triggers.
const LIFE: Scope = Scope { life: true, runs: 1, operators: 1, ..Scope::CALM };

/// Runs that wait for each other's executions.
const QUEUED: Scope = Scope { policy: ConcurrencyPolicy::Queue, ..LIFE };

/// What is explored of the life of runs on every change.
pub const LIVES: &[(&str, Scope)] = &[
    ("an end", LIFE),
    ("an end, two operators", Scope { operators: 2, ..LIFE }),
    ("two runs, a crash", Scope { runs: 2, crashes: 1, ..LIFE }),
    ("a retry, a crash", Scope { retries: 1, crashes: 1, ..LIFE }),
    ("a retry, two operators", Scope { retries: 1, operators: 2, ..LIFE }),
    ("a retry, a lost write, a lost answer of nuvo", Scope { retries: 1, lost: 1, unanswered: 1, ..LIFE }),
    ("a rerun, a crash, a lost write", Scope { reruns: 1, crashes: 1, lost: 1, ..LIFE }),
    ("a rerun, two operators", Scope { reruns: 1, operators: 2, ..LIFE }),
    ("expiry, a crash, a lost write", Scope { expire: true, crashes: 1, lost: 1, ..LIFE }),
    ("expiry, a rerun, two operators", Scope { expire: true, reruns: 1, operators: 2, ..LIFE }),
    ("expiry, two runs, a lost answer of nuvo", Scope { expire: true, runs: 2, unanswered: 1, ..LIFE }),
    ("deletion, a finalizer that stays", Scope { deletions: 1, kept: true, runs: 2, crashes: 1, ..LIFE }),
    ("deletion during a retry, a finalizer that stays", Scope { retries: 1, deletions: 1, kept: true, operators: 2, ..LIFE }),
    ("queued runs, slow list, a crash", Scope { runs: 2, lag: true, crashes: 1, ..QUEUED }),
    ("queued runs, two operators", Scope { runs: 2, operators: 2, ..QUEUED }),
    ("queued runs, a start deadline, a refusal", Scope { runs: 2, start_deadline: true, refused: 1, ..QUEUED }),
    ("runs that skip, slow list, a crash", Scope { runs: 2, lag: true, crashes: 1, policy: ConcurrencyPolicy::Skip, ..LIFE }),
    ("a start deadline, a rerun, a crash", Scope { start_deadline: true, reruns: 1, crashes: 1, ..LIFE }),
    ("a start deadline, two operators", Scope { start_deadline: true, operators: 2, ..LIFE }),
    ("a start deadline that passes on the way", Scope { start_deadline: true, slow: 1, lost: 1, notes: 1, ..LIFE }),
    ("a start deadline, two runs, a refusal", Scope { start_deadline: true, runs: 2, refused: 1, ..LIFE }),
    ("suspended, notes, a crash", Scope { suspensions: 1, notes: 2, crashes: 1, ..LIFE }),
    ("a NuvoPipeline takes a run over, a retry", Scope { mirrors: 1, retries: 1, ..LIFE }),
    ("a NuvoPipeline takes a run over, two runs, a crash", Scope { mirrors: 1, runs: 2, crashes: 1, ..LIFE }),
    ("suspended, notes, two operators", Scope { suspensions: 1, notes: 2, operators: 2, ..LIFE }),
    ("two runs, notes, a lost answer of nuvo", Scope { runs: 2, notes: 2, unanswered: 1, ..LIFE }),
    ("overdue, a retry, a lost answer of nuvo", Scope { retries: 1, overdue: true, unanswered: 1, ..LIFE }),
    ("overdue, a retry, a crash", Scope { retries: 1, overdue: true, crashes: 1, ..LIFE }),
    ("found before the answer, slow list; 2 executions", Scope { life: true, late_posts: 1, lag: true, ..FOUND }),
    ("found after a lost answer, a retry, a crash", Scope { retries: 1, unanswered: 1, crashes: 1, operators: 1, life: true, ..FOUND }),
    ("a retry, a status wiped", Scope { retries: 1, status_wipes: 1, ..LIFE }),
    ("a rerun, a marker wiped", Scope { reruns: 1, marker_wipes: 1, ..LIFE }),
];
