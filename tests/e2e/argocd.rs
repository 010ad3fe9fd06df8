//! Syncs by the engine of Argo CD (`dev/gitops/sync`), with the health scripts of `gitops/argocd`. The POSTs are counted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nuvo_crds::{Phase, PipelineRun, well_known::TRIGGER_ANNOTATION};
use nuvo_sim::{Effect, Fault, Operation, Pipeline};

use crate::{
    environment::{Environment, WITHIN, block_on, same, uid},
    schedules_over_time::Slots,
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A manifest of an Application.
fn manifest(env: &Environment, name: &str, text: &str) -> PathBuf {
    let path = env.server.folder().join(format!("{}-{name}.yaml", env.namespace));
    fs::write(&path, text).unwrap();
    path
}

fn orders(env: &Environment, annotations: &str) -> PathBuf {
    let run = format!(
        "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: {{name: orders, annotations: {{{annotations}}}}}\nspec: {{pipelineId: orders}}\n"
    );
    manifest(env, "orders", &run)
}

fn sync(env: &Environment, manifest: &Path, flags: &[&str]) -> Output {
    let program = programs::argocd_sync().unwrap().built().unwrap();
    let mut sync = Command::new(program);
    sync.args(["-namespace", &env.namespace, "-kubeconfig"]).arg(env.server.admin_kubeconfig()).args(flags).arg(manifest);
    sync.current_dir(repository()).output().unwrap()
}

/// What a failed operation said, one line for each try.
#[track_caller]
fn failed_tries(output: &Output) -> Vec<String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && stderr.contains("the operation has failed after"), "{stdout}{stderr}");
    stdout.lines().map(str::to_owned).collect()
}

#[track_caller]
fn synced(output: &Output) {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn runs(env: &Environment) -> Vec<PipelineRun> {
    block_on(env.runs().list(&Default::default())).unwrap().items
}

/// The name that Argo CD makes of `generateName` has the commit and the time at which the operation began, which its retries share.
#[test]
fn hook_of_the_sample_starts_its_pipeline_once_however_often_its_sync_is_retried() {
    let env = Environment::new("argocd-sample", [Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "No answer")]);
    let _operator = env.operator();
    let sample = repository().join("gitops/argocd/samples/hook.yaml");
    let tries = failed_tries(&sync(&env, &sample, &["-retries", "5"]));
    same("tries", tries.len(), 6);
    same("POSTs", env.sim.post_count(), 1);
    let [run] = &runs(&env)[..] else { panic!("{:?}", runs(&env)) };
    assert!(run.metadata.name.as_ref().unwrap().starts_with("orders-after-sync-0123456-postsync-"), "{:?}", run.metadata.name);
}

/// The trap, and what the samples do about it.
#[test]
fn hook_with_a_fixed_name_starts_its_pipeline_again_in_each_retry() {
    let env = Environment::new("argocd-fixed", [Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "No answer")]);
    let _operator = env.operator();
    let hook = orders(&env, "argocd.argoproj.io/hook: PostSync");
    same("tries", failed_tries(&sync(&env, &hook, &["-retries", "2"])).len(), 3);
    same("POSTs", env.sim.post_count(), 3);
    same("tries without retries", failed_tries(&sync(&env, &hook, &[])).len(), 1);
    same("POSTs", env.sim.post_count(), 4);
}

/// As `each-commit.yaml` makes it. The run fails, so that there are retries.
#[test]
fn run_with_the_commit_as_its_token_starts_its_pipeline_once_for_each_commit() {
    let env = Environment::new("argocd-commit", [Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "No answer")]);
    let _operator = env.operator();
    for (posts, commit) in [(1, "0a1b2c3d4e"), (2, "5f6a7b8c9d")] {
        let run = format!(
            "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: {{name: orders}}\nspec: {{pipelineId: orders, rerunToken: {commit}}}\n"
        );
        let run = manifest(&env, commit, &run);
        for _ in ["by itself", "by hand"] {
            synced(&sync(&env, &run, &["-revision", commit, "-retries", "2"]));
            let done = |run: &PipelineRun| run.status.as_ref().is_some_and(|status| status.series.rerun_token.as_deref() == Some(commit));
            env.wait("orders", "at this commit", done);
            env.wait_phase("orders", Phase::Failed);
        }
        same("POSTs", env.sim.post_count(), posts);
    }
}

/// It removes the marker and whatever else Git does not have.
#[test]
fn run_that_is_replaced_while_its_post_is_out_starts_its_pipeline_once() {
    let env = Environment::new("argocd-replace", [Pipeline::new("orders")]);
    let _operator = env.operator_with(&["--trigger-timeout-seconds", "30", "--quarantine-seconds", "40"]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let run = orders(&env, "");
    synced(&sync(&env, &run, &[]));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let marked = |run: &PipelineRun| run.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(TRIGGER_ANNOTATION));
    let before = env.get("orders");
    assert!(marked(&before), "{before:?}");
    synced(&sync(&env, &run, &["-replace"]));
    assert!(!marked(&env.get("orders")), "the marker is still there");
    env.sim.release(fault);
    let after = env.wait_phase("orders", Phase::Succeeded);
    same("the object", uid(&after), uid(&before));
    synced(&sync(&env, &run, &["-replace"]));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn run_is_created_again_only_by_force_and_replace_together() {
    let env = Environment::new("argocd-force", [Pipeline::new("orders")]);
    let _operator = env.operator();
    let plain = orders(&env, "");
    synced(&sync(&env, &plain, &[]));
    let first = uid(&env.wait_phase("orders", Phase::Succeeded));
    for flags in [&["-force"][..], &["-replace"], &["-server-side"]] {
        synced(&sync(&env, &plain, flags));
        same(&format!("the object after {flags:?}"), uid(&env.wait_phase("orders", Phase::Succeeded)), first.clone());
    }
    same("POSTs", env.sim.post_count(), 1);

    synced(&sync(&env, &plain, &["-force", "-replace"]));
    let second = uid(&env.wait_phase("orders", Phase::Succeeded));
    assert_ne!(second, first);
    let annotated = orders(&env, "argocd.argoproj.io/sync-options: 'Force=true,Replace=true'");
    synced(&sync(&env, &annotated, &[]));
    assert_ne!(uid(&env.wait_phase("orders", Phase::Succeeded)), second);
    same("POSTs", env.sim.post_count(), 3);
}

/// A later wave waits for the health of the schedule. The operator's clock is moved to its slot.
#[test]
fn schedule_whose_last_run_failed_stops_no_sync_unless_that_is_asked_for() {
    let env = Environment::new("argocd-schedule", [Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "No answer")]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let schedule = |name: &str, annotations: &str, line: &str| {
        let run = "{spec: {pipelineId: orders, startDeadlineSeconds: 86400}}";
        format!(
            "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineSchedule\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n\
             spec: {{schedules: ['{line}'], runTemplate: {run}}}\n"
        )
    };
    let application = |annotations: &str| {
        let later = schedule("yearly", "argocd.argoproj.io/sync-wave: '1'", "0 0 1 1 *");
        manifest(&env, "schedules", &format!("{}---\n{later}", schedule("hourly", annotations, "0 * * * *")))
    };
    synced(&sync(&env, &application(""), &[]));
    time.at(time.next("hourly"));
    let [run] = &runs(&env)[..] else { panic!("{:?}", runs(&env)) };
    same("its run", run.status.as_ref().and_then(|status| status.phase), Some(Phase::Failed));

    synced(&sync(&env, &application(""), &[]));
    same("tries", failed_tries(&sync(&env, &application("nuvo.dev/health: last-run"), &[])).len(), 1);
    same("the runs", runs(&env).iter().map(uid).collect::<Vec<_>>(), vec![uid(run)]);
    same("POSTs", env.sim.post_count(), 1);
}
