//! Well-known names: labels, annotations and other names that manifests and tools outside of this project rely on.

/// The API group of all kinds.
pub const GROUP: &str = "nuvo.dev";

/// The served and stored version.
pub const VERSION: &str = "v1alpha1";

/// The operator's marker on a run: written before the one POST of an attempt, so that a restart knows a POST may be out.
pub const TRIGGER_ANNOTATION: &str = "nuvo.dev/trigger";

/// The content of a pipeline's lock, on its Lease.
pub const LOCK_ANNOTATION: &str = "nuvo.dev/lock";

/// A person's answer to an ambiguous trigger: `<nonce>:adopt=<id,..>`, `<nonce>:retry` or `<nonce>:abandon`.
pub const RESOLVE_ANNOTATION: &str = "nuvo.dev/resolve";

/// Any new value on an account has the operator read the account's Secret at once. It is an annotation like any other: each change of an
/// annotation does so.
pub const REFRESH_ANNOTATION: &str = "nuvo.dev/refresh";

/// The label of a run that a schedule started: the name of the schedule.
pub const SCHEDULE_LABEL: &str = "nuvo.dev/schedule";

/// The slot of a run that a schedule started, RFC 3339. Such a run triggers only when its schedule has claimed the slot for it.
pub const SCHEDULED_AT_ANNOTATION: &str = "nuvo.dev/scheduled-at";
/// With the value `data` on a NuvoPipeline, the health in Argo CD is also about the data: stale or failed data is Degraded. Read by
/// `health.lua` only.
pub const HEALTH_ANNOTATION: &str = "nuvo.dev/health";

/// A Secret is read only when it carries this label with [`CREDENTIAL_LABEL_VALUE`]: who may create an account must not be able to
/// use every Secret of the namespace.
pub const CREDENTIAL_LABEL: &str = "nuvo.dev/credential";

/// The value of [`CREDENTIAL_LABEL`] that opts a Secret in.
pub const CREDENTIAL_LABEL_VALUE: &str = "true";

/// On a run that only shows an execution for a NuvoPipeline: the name of that object.
pub const PIPELINE_OBJECT_LABEL: &str = "nuvo.dev/pipeline-object";

/// The field manager of every write; it stays stable, or Argo CD and Flux see foreign owners after an upgrade.
pub const FIELD_MANAGER: &str = "nuvo-operator";

/// The account of a run that names none.
pub const DEFAULT_ACCOUNT: &str = "default";
