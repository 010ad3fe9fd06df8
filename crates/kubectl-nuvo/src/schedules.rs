//! `kubectl nuvo schedule list`: when what runs, as a table.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use nuvo_core::time::human_duration;
use nuvo_crds::{
    Phase, PipelineSchedule,
    conditions::{READY, find},
};

use super::{
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    flag_values::{ObjectListArgs, Output},
    output::{self, print},
    table::{age, table},
};

/// Lists PipelineSchedules by their name.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(context: &ClusterContext, args: &ObjectListArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let objects = context.objects::<PipelineSchedule>(args.all_namespaces);
    let found = objects.list(&params).await.map_err(PluginError::list("PipelineSchedule"))?;
    if let Some(text) = output::list(&found.items, args.output)? {
        return print(&text).map(|()| ExitStatus::Success);
    }
    if found.items.is_empty() {
        eprintln!("No PipelineSchedules found. See the documentation, \"Schedules\", for when you need one.");
        return Ok(ExitStatus::Success);
    }
    let text = schedule_table(&found.items, args.all_namespaces, args.output == Some(Output::Wide), now);
    print(&text).map(|()| ExitStatus::Success)
}

fn schedule_table(schedules: &[PipelineSchedule], namespaces: bool, wide: bool, now: Timestamp) -> String {
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "PIPELINE", "SCHEDULE", "TIME ZONE", "READY", "ACTIVE", "LAST", "NEXT", "LAST RESULT", "AGE"]);
    if wide {
        header.extend(["MISSED", "LAST MISSED", "SUCCESS", "CONCURRENCY", "ACCOUNT"]);
    }
    let row = |schedule: &PipelineSchedule| {
        let (spec, status) = (&schedule.spec, schedule.status.clone().unwrap_or_default());
        let mut row = Vec::new();
        if namespaces {
            row.push(schedule.namespace().unwrap_or_default());
        }
        row.extend([
            schedule.name_any(),
            spec.run_template.spec.pipeline_id.clone(),
            lines(&spec.schedules),
            spec.time_zone.clone(),
            find(&status.conditions, READY).map_or_else(|| "Unseen".to_owned(), |condition| condition.reason.clone()),
            status.active_count.map(|count| count.to_string()).unwrap_or_default(),
            age(status.last_schedule_time.as_ref(), now),
            status.next_schedule_time.as_ref().map(|next| until(next.0, now)).unwrap_or_default(),
            status.last_run.as_ref().map(|run| run.phase.map_or("Active", Phase::as_str).to_owned()).unwrap_or_default(),
            age(schedule.metadata.creation_timestamp.as_ref(), now),
        ]);
        if wide {
            let missed = status.missed.unwrap_or_default();
            row.extend([
                missed.total.to_string(),
                missed.last_reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
                age(status.last_successful_time.as_ref(), now),
                format!("{:?}", spec.concurrency_policy),
                spec.run_template.spec.account_ref.name.clone(),
            ]);
        }
        row
    };
    table(&header, &schedules.iter().map(row).collect::<Vec<_>>())
}

fn lines(schedules: &[String]) -> String {
    match schedules {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

/// How long it is until then.
#[must_use]
pub fn until(time: Timestamp, now: Timestamp) -> String {
    if time < now {
        format!("{} ago", human_duration(now.duration_since(time)))
    } else {
        format!("in {}", human_duration(time.duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_shows_a_schedule_at_work_and_one_that_was_not_seen() {
        let seen: PipelineSchedule = serde_json::from_value(json!({
            "metadata": { "name": "nightly", "namespace": "team", "creationTimestamp": "1969-12-31T00:00:00Z" },
            "spec": { "schedules": ["30 2 * * 1-5", "0 12 1 * *"], "timeZone": "Europe/Berlin", "runTemplate": { "spec": { "pipelineId": "p-1" } } },
            "status": {
                "activeCount": 0, "lastScheduleTime": "1969-12-31T21:00:00Z", "nextScheduleTime": "1970-01-01T01:30:00Z",
                "lastRun": { "name": "nightly-19691231t2100", "slot": "1969-12-31T21:00:00Z", "phase": "Failed", "reason": "ExecutionFailed" },
                "missed": { "total": 3, "lastTime": "1969-12-30T21:00:00Z", "lastReason": "StillRunning" },
                "conditions": [
                    { "type": "Ready", "status": "True", "reason": "Scheduled", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" },
                ],
            },
        }))
        .unwrap();
        let unseen: PipelineSchedule = serde_json::from_value(json!({
            "metadata": { "name": "new", "namespace": "team" },
            "spec": { "schedules": ["@daily"], "runTemplate": { "spec": { "pipelineId": "p-2" } } },
        }))
        .unwrap();
        let text = |wide| schedule_table(&[seen.clone(), unseen.clone()], true, wide, Timestamp::UNIX_EPOCH);
        assert_eq!(
            text(false),
            "\
NAMESPACE   NAME      PIPELINE   SCHEDULE                  TIME ZONE       READY       ACTIVE   LAST    NEXT       LAST RESULT   AGE
team        nightly   p-1        30 2 * * 1-5 and 1 more   Europe/Berlin   Scheduled   0        3h00m   in 1h30m   Failed        24h00m
team        new       p-2        @daily                    UTC             Unseen
"
        );
        let wide = text(true);
        assert!(wide.contains("3        StillRunning             Forbid        default"), "{wide}");
    }
}
