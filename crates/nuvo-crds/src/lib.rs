//! The custom resources: types, validation rules, printer columns, conditions and reasons.
//!
//! `crds/` is generated from here by `cargo xtask generate`.

pub mod conditions;
mod definitions;
mod nuvo_account;
mod nuvo_pipeline;
mod nuvo_pipeline_status;
mod pipeline_run;
mod pipeline_schedule;
mod run_status;
mod schedule_status;
mod schema;
mod served_definition;
mod tolerant;
pub mod well_known;

pub use definitions::{CrdError, crd_files, crds, crds_yaml};
pub use nuvo_account::{
    AccessToken, AccountTls, CaBundle, DEFAULT_BASE_URL, DEFAULT_TOKEN_PATH, IdentityType, LicenseKey, NuvoAccount, NuvoAccountSpec,
    NuvoAccountStatus, SecretRef, TlsObjectRef,
};
pub use nuvo_pipeline::{DueBy, Freshness, Mirror, NuvoPipeline, NuvoPipelineSpec};
pub use nuvo_pipeline_status::{
    AboutPipeline, Gap, MAX_RECENT, MAX_RUNNING, MAX_SEEN, NuvoPipelineStatus, RunningExecution, Seen, SeenExecution,
};
pub use pipeline_run::{
    AccountRef, ConcurrencyPolicy, OnAmbiguousTrigger, OnNothingToProcess, PipelineRun, PipelineRunSpec, QualityGate, Retry,
};
pub use pipeline_schedule::{
    MAX_SCHEDULE_NAME, MAX_SCHEDULES, PipelineSchedule, PipelineScheduleSpec, RunTemplate, RunTemplateMetadata, ScheduleConcurrency,
};
pub use run_status::{
    AttemptStatus, Evidence, Execution, ExecutionError, LogRun, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_HISTORY_IDS,
    MAX_INTEGER, MAX_RUNS, MAX_STATUS_MESSAGE, MAX_WORD, PastAttempt, Phase, PipelineRunStatus, RetryStatus, SeriesStatus, Stats, Trigger,
    TriggerState,
};
pub use schedule_status::{
    ActiveRun, Anchor, Claim, LastRun, MAX_ACTIVE, MAX_CLAIMS, Missed, MissedReason, ObservedSlots, PendingStart, PipelineScheduleStatus,
};
pub use served_definition::ServedDefinition;
