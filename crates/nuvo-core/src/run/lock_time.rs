//! When a lock was written last, as the API server has noted it.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use nuvo_crds::well_known::LOCK_ANNOTATION;

/// When the content of a lock was written last, by the clock of the API server that wrote it. None if it has not noted that.
///
/// It notes it for each of the writers that own a field, so that a label which someone adds does not make a lock younger.
#[must_use]
pub fn lock_written(metadata: &ObjectMeta) -> Option<Timestamp> {
    let path = format!("/f:metadata/f:annotations/f:{}", LOCK_ANNOTATION.replace('/', "~1"));
    let writers = metadata.managed_fields.iter().flatten();
    let owners = writers.filter(|writer| writer.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&path).is_some()));
    owners.filter_map(|owner| owner.time.as_ref().map(|time| time.0)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writers: &str) -> Option<String> {
        let metadata = serde_json::from_str(&format!("{{\"managedFields\": {writers}}}")).unwrap();
        lock_written(&metadata).map(|time| time.to_string())
    }

    #[test]
    fn lock_was_written_when_its_owner_wrote_it() {
        let ours = r#"{"manager": "nuvo-operator", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1":
            {"f:metadata": {"f:annotations": {".": {}, "f:nuvo.dev/lock": {}}}, "f:spec": {"f:holderIdentity": {}}}}"#;
        let label = r#"{"manager": "kubectl-label", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1":
            {"f:metadata": {"f:labels": {"f:team": {}}}}}"#;
        assert_eq!(written(&format!("[{ours}, {label}]")).as_deref(), Some("2026-01-01T00:00:00Z"));
        let applied = ours.replace("2026-01-01", "2026-01-03");
        assert_eq!(written(&format!("[{applied}, {ours}]")).as_deref(), Some("2026-01-03T00:00:00Z"), "the newest of its owners");
        for unknown in ["[]".to_owned(), format!("[{label}]"), format!("[{}]", ours.replace(r#""time": "2026-01-01T00:00:00Z","#, ""))] {
            assert_eq!(written(&unknown), None, "{unknown}");
        }
    }
}
