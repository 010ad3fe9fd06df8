//! `kubectl nuvo schedule describe`: the next and the last slots of a schedule, and what to do next.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use nuvo_core::schedule::offset;
use nuvo_crds::{
    PipelineRun, PipelineSchedule, PipelineScheduleStatus,
    conditions::{self, ALSO_SCHEDULED_IN_NUVO, ConditionStatus, LAST_RUN_SUCCEEDED, READY, ScheduleReason},
    well_known::SCHEDULE_LABEL,
};

use super::{
    cluster_context::ClusterContext,
    description::{Description, condition_table, messages, time_and_age},
    error::PluginError,
    exit_status::ExitStatus,
    output::print,
    past_slots::{explained, past_slots},
    schedules::until,
    slots::Slots,
    table::table,
};

/// How many slots are shown in each direction.
const SHOWN: usize = 5;

/// Describes PipelineSchedules.
///
/// # Errors
/// [`PluginError::NotFound`], [`PluginError::Api`].
pub async fn describe(context: &ClusterContext, names: &[String], now: Timestamp) -> Result<ExitStatus, PluginError> {
    for (number, name) in names.iter().enumerate() {
        let schedule: PipelineSchedule = context.get(name, "PipelineSchedule", "schedule list").await?;
        let of_schedule = ListParams::default().labels(&format!("{SCHEDULE_LABEL}={name}"));
        let runs = context.runs().list(&of_schedule).await.map_err(PluginError::list("PipelineRun"))?;
        let gap = if number > 0 { "\n\n" } else { "" };
        print(&format!("{gap}{}", text(&schedule, &runs.items, now)))?;
    }
    Ok(ExitStatus::Success)
}

fn text(schedule: &PipelineSchedule, runs: &[PipelineRun], now: Timestamp) -> String {
    let status = schedule.status.clone().unwrap_or_default();
    let slots = Slots::parse(&schedule.spec.schedules, &schedule.spec.time_zone);
    let mut text = Description::of(&facts(schedule, &status, now));
    let said = messages(&status.conditions, &[READY, LAST_RUN_SUCCEEDED, ALSO_SCHEDULED_IN_NUVO]);
    let otherwise = match conditions::find(&status.conditions, READY) {
        Some(_) => "Each slot starts a run when it is due.",
        None => "The operator has not seen this PipelineSchedule yet.",
    };
    text.section("What happened", if said.trim().is_empty() { otherwise } else { &said });
    text.section("What to do next", &advice(schedule, &status).join("\n"));
    match &slots {
        Ok(_) if schedule.spec.suspend => text.section("Next slots", "None starts, because spec.suspend is true."),
        Ok(slots) => text.section("Next slots", &next_slots(schedule, slots, now)),
        Err(error) => text.section("Next slots", &format!("None: {error}.")),
    }
    text.section("Last slots", &past_slots(schedule, &status, runs, slots.as_ref().ok(), SHOWN));
    text.section("Missed slots", &missed(&status, slots.as_ref().ok()));
    text.section("Conditions", &condition_table(&status.conditions, now));
    text.0
}

fn facts(schedule: &PipelineSchedule, status: &PipelineScheduleStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let spec = &schedule.spec;
    let ready = conditions::find(&status.conditions, READY);
    let deadline = spec.starting_deadline_seconds.map(|seconds| format!("{seconds} s after a slot is due"));
    let active: Vec<&str> = status.active.iter().map(|run| run.name.as_str()).collect();
    vec![
        ("Name", schedule.name_any()),
        ("Namespace", schedule.namespace().unwrap_or_default()),
        ("Pipeline", spec.run_template.spec.pipeline_id.clone()),
        ("Account", spec.run_template.spec.account_ref.name.clone()),
        ("Schedules", spec.schedules.join("; ")),
        ("Time zone", spec.time_zone.clone()),
        ("Concurrency", format!("{:?}", spec.concurrency_policy)),
        ("Deadline", deadline.unwrap_or_default()),
        ("Ready", ready.map(|ready| format!("{} ({})", ready.status, ready.reason)).unwrap_or_default()),
        ("Active", active.join(", ")),
        ("Last success", time_and_age(status.last_successful_time.as_ref(), now)),
        ("Last failure", time_and_age(status.last_failed_time.as_ref(), now)),
    ]
}

fn next_slots(schedule: &PipelineSchedule, slots: &Slots, now: Timestamp) -> String {
    let late = offset(&schedule.uid().unwrap_or_default(), schedule.spec.spread_seconds);
    let due = |slot: Timestamp| slot.checked_add(late).unwrap_or(slot);
    // A slot whose time has come may still have to wait until it is due.
    let from = now.checked_sub(late).unwrap_or(now);
    let upcoming: Vec<_> = slots.after(from).take(SHOWN).collect();
    let noted = upcoming.iter().any(|slot| !slot.note.is_empty());
    let rows: Vec<Vec<String>> = upcoming
        .into_iter()
        .map(|slot| {
            let mut row = vec![slot.local];
            row.extend((!late.is_zero()).then(|| due(slot.time).to_string()));
            row.push(until(due(slot.time), now));
            row.push(slot.note);
            row
        })
        .collect();
    let of_zone = format!("SLOT IN {}", schedule.spec.time_zone);
    let mut header = vec![of_zone.as_str()];
    header.extend((!late.is_zero()).then_some("DUE"));
    header.push("STARTS");
    header.extend(noted.then_some("NOTE"));
    if rows.is_empty() { "None: no line names a date that exists.".to_owned() } else { table(&header, &rows) }
}

fn missed(status: &PipelineScheduleStatus, slots: Option<&Slots>) -> String {
    let Some(missed) = status.missed.as_ref().filter(|missed| missed.total > 0) else { return String::new() };
    let number = format!("{}{}", if missed.at_least == Some(true) { "at least " } else { "" }, missed.total);
    let newest = missed.last_time.as_ref().map(|time| slots.map_or_else(|| time.0.to_string(), |slots| slots.local(time.0)));
    let reason = missed.last_reason.map(|reason| format!("\n{}: {}", reason.as_str(), explained(reason))).unwrap_or_default();
    format!("{number}, the newest on {}{reason}", newest.unwrap_or_default())
}

/// The next step for each condition that is not as it should be.
fn advice(schedule: &PipelineSchedule, status: &PipelineScheduleStatus) -> Vec<String> {
    let here = schedule.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let Some(ready) = conditions::find(&status.conditions, READY) else {
        return vec!["Check that the operator is running and watches this namespace.".to_owned()];
    };
    let of_ready = ScheduleReason::parse(&ready.reason, &ready.status).and_then(|reason| of_readiness(schedule, status, reason, &here));
    let failed =
        conditions::find(&status.conditions, LAST_RUN_SUCCEEDED).filter(|condition| condition.status == ConditionStatus::False.as_str());
    let of_run =
        failed.map(|_| format!("Look at the runs that failed:\n$ kubectl nuvo list -l {SCHEDULE_LABEL}={}{here}", schedule.name_any()));
    let both = conditions::find(&status.conditions, ALSO_SCHEDULED_IN_NUVO);
    let of_both = both.map(|_| "Remove the schedule in nuvo or this one: both start the pipeline.".to_owned());
    [of_ready, of_run, of_both].into_iter().flatten().collect()
}

fn of_readiness(schedule: &PipelineSchedule, status: &PipelineScheduleStatus, reason: ScheduleReason, here: &str) -> Option<String> {
    let name = schedule.name_any();
    match reason {
        ScheduleReason::Scheduled => None,
        ScheduleReason::Suspended if !schedule.spec.suspend => {
            Some("Start the operator without --hold-schedules, when it is known what may repeat.".to_owned())
        }
        ScheduleReason::Suspended => Some(format!(
            "To have it start its slots again (none of the past is made up for):\n$ kubectl nuvo schedule resume {name}{here}"
        )),
        ScheduleReason::BlockedByRun => {
            let run = status.active.first().map(|run| format!("\n$ kubectl nuvo describe {}{here}", run.name)).unwrap_or_default();
            Some(format!("Nothing, if the earlier run ends in time: the slot then starts by itself.{run}"))
        }
        ScheduleReason::InvalidSchedule | ScheduleReason::NeverDue => Some(
            "Correct spec.schedules. To see the slots of a line first:\n$ kubectl nuvo schedule check \"30 2 * * 1-5\" --tz Europe/Berlin"
                .to_owned(),
        ),
        ScheduleReason::InvalidTimeZone => {
            Some("Correct spec.timeZone: the name as the IANA database spells it, such as Europe/Berlin.".to_owned())
        }
        ScheduleReason::NotSelected => {
            Some("Add the labels that the operator's --label-selector asks for to spec.runTemplate.metadata.labels.".to_owned())
        }
        ScheduleReason::ClockInDoubt => Some("Do what the message above says.".to_owned()),
        ScheduleReason::NameTaken => Some("Delete the object that has the name of the run, or rename the schedule.".to_owned()),
        ScheduleReason::CreateRefused => {
            Some("Remove what refuses the run: the message above names the quota, the policy or the webhook.".to_owned())
        }
        ScheduleReason::TooManyUnresolved => {
            Some(format!("Decide about the unresolved runs:\n$ kubectl nuvo list --phase Unresolved -l {SCHEDULE_LABEL}={name}{here}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schedule(spec: Value, status: Value) -> PipelineSchedule {
        let mut object = json!({
            "metadata": { "name": "nightly", "namespace": "team", "uid": "abc" },
            "spec": { "schedules": ["30 2 * * *"], "timeZone": "Europe/Berlin", "runTemplate": { "spec": { "pipelineId": "p-1" } } },
            "status": status,
        });
        for (name, value) in spec.as_object().unwrap() {
            object["spec"][name] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": format!("{kind} says {reason}."),
            "lastTransitionTime": "2027-03-27T11:00:00Z" })
    }

    fn run(name: &str, slot: Option<&str>, phase: &str, reason: &str) -> PipelineRun {
        let mut run = json!({
            "metadata": { "name": name, "creationTimestamp": "2027-03-26T01:30:00Z", "ownerReferences": [
                { "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly", "uid": "abc", "controller": true },
            ] },
            "spec": { "pipelineId": "p-1" },
            "status": { "phase": phase, "duration": "1m30s", "conditions": [condition("Succeeded", "True", reason)] },
        });
        if let Some(slot) = slot {
            run["metadata"]["annotations"] = json!({ "nuvo.dev/scheduled-at": slot });
        }
        serde_json::from_value(run).unwrap()
    }

    fn noon() -> Timestamp {
        "2027-03-27T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn description_shows_five_slots_in_each_direction_and_why_one_was_missed() {
        let status = json!({
            "observedGeneration": 1, "anchor": { "time": "2027-03-22T12:00:00Z", "uid": "abc" }, "lastSlot": "2027-03-27T01:30:00Z",
            "lastScheduleTime": "2027-03-26T01:30:00Z", "lastSuccessfulTime": "2027-03-26T02:00:00Z",
            "lastRun": { "name": "nightly-20270326t0130", "slot": "2027-03-26T01:30:00Z", "phase": "Succeeded", "reason": "Succeeded" },
            "missed": { "total": 1, "lastTime": "2027-03-27T01:30:00Z", "lastReason": "StillRunning" },
            "conditions": [condition(READY, "True", "Scheduled"), condition(LAST_RUN_SUCCEEDED, "True", "Succeeded")],
        });
        let runs = [
            run("nightly-20270326t0130", Some("2027-03-26T01:30:00Z"), "Succeeded", "Succeeded"),
            run("nightly-20270325t0130", Some("2027-03-25T01:30:00Z"), "Succeeded", "Skipped"),
        ];
        assert_eq!(
            text(&schedule(json!({}), status), &runs, noon()),
            "\
Name:         nightly
Namespace:    team
Pipeline:     p-1
Account:      default
Schedules:    30 2 * * *
Time zone:    Europe/Berlin
Concurrency:  Forbid
Ready:        True (Scheduled)
Last success: 2027-03-26T02:00:00Z (34h00m ago)

What happened:
  Ready says Scheduled.
  LastRunSucceeded says Succeeded.

Next slots:
  SLOT IN Europe/Berlin         STARTS       NOTE
  Sun 2027-03-28 03:00 +02:00   in 13h00m    02:30 does not exist on this day: due when clocks have gone forward
  Mon 2027-03-29 02:30 +02:00   in 36h30m
  Tue 2027-03-30 02:30 +02:00   in 60h30m
  Wed 2027-03-31 02:30 +02:00   in 84h30m
  Thu 2027-04-01 02:30 +02:00   in 108h30m

Last slots:
  SLOT                          RESULT      REASON         RUN                     DURATION
  Sat 2027-03-27 02:30 +01:00   Missed      StillRunning
  Fri 2027-03-26 02:30 +01:00   Succeeded   Succeeded      nightly-20270326t0130   1m30s
  Thu 2027-03-25 02:30 +01:00   Succeeded   Skipped        nightly-20270325t0130   1m30s
  Wed 2027-03-24 02:30 +01:00   not kept
  Tue 2027-03-23 02:30 +01:00   not kept

Missed slots:
  1, the newest on Sat 2027-03-27 02:30 +01:00
  StillRunning: an earlier run of this schedule had not ended when the next slot was due, and spec.concurrencyPolicy is Forbid.

Conditions:
  TYPE               STATUS   REASON      AGE
  Ready              True     Scheduled   1h00m
  LastRunSucceeded   True     Succeeded   1h00m
"
        );
    }

    #[test]
    fn slots_that_are_spread_say_when_they_are_due() {
        let found = text(&schedule(json!({ "spreadSeconds": 3600 }), json!({})), &[], noon());
        let due = "2027-03-28T01:00:00Z".parse::<Timestamp>().unwrap().checked_add(offset("abc", 3_600)).unwrap();
        assert!(found.contains(&format!("Sun 2027-03-28 03:00 +02:00   {due}   in 13h")), "{found}");
    }

    #[test]
    fn schedule_without_slots_says_why() {
        let of = |spec| text(&schedule(spec, json!({})), &[], noon());
        let found = of(json!({ "suspend": true }));
        assert!(found.contains("None starts, because spec.suspend is true."), "{found}");
        let quiet =
            json!({ "type": READY, "status": "True", "reason": "Scheduled", "message": "", "lastTransitionTime": "2027-03-27T11:00:00Z" });
        let found = text(&schedule(json!({}), json!({ "conditions": [quiet] })), &[], noon());
        assert!(found.contains("Each slot starts a run when it is due."), "{found}");
        let held = json!({ "conditions": [condition(READY, "True", "Suspended")] });
        assert!(text(&schedule(json!({}), held), &[], noon()).contains("--hold-schedules"));
        let found = of(json!({ "timeZone": "Europe/Berln" }));
        assert!(found.contains("None: 'Europe/Berln' is no time zone"), "{found}");
        let found = of(json!({ "schedules": ["0 0 31 2 *"] }));
        assert!(found.contains("no line names a date that exists") && found.contains("The operator has not seen"), "{found}");
    }

    #[test]
    fn description_for_every_reason_has_advice_or_needs_none() {
        let said =
            |conditions: &[Value]| text(&schedule(json!({}), json!({ "conditions": conditions })), &[], noon()).contains("What to do next");
        for reason in ScheduleReason::ALL {
            let fine = *reason == ScheduleReason::Scheduled;
            assert_eq!(said(&[condition(READY, reason.status().as_str(), reason.as_str())]), !fine, "{reason}");
        }
        let scheduled = condition(READY, "True", "Scheduled");
        assert!(said(&[scheduled.clone(), condition(LAST_RUN_SUCCEEDED, "False", "ExecutionFailed")]));
        assert!(!said(&[scheduled.clone(), condition(LAST_RUN_SUCCEEDED, "True", "Succeeded")]));
        assert!(said(&[scheduled, condition(ALSO_SCHEDULED_IN_NUVO, "True", "Scheduled")]));
    }
}
