//! What the controller of Flux does with runs, by its libraries (`dev/gitops/flux`) and with the health checks of `gitops/flux`.

use std::{fs, path::PathBuf, process::Command};

use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Pipeline, Status};

use crate::environment::{Environment, same};

/// A run in Git.
fn in_git(env: &Environment, annotations: &str, suspend: bool) -> PathBuf {
    let path = env.server.folder().join(format!("{}-orders.yaml", env.namespace));
    let run = format!(
        "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: {{name: orders, annotations: {{{annotations}}}}}\n\
         spec: {{pipelineId: orders, suspend: {suspend}}}\n"
    );
    fs::write(&path, run).unwrap();
    path
}

/// Whether all are ready within this time, and what Flux says.
fn reconcile(env: &Environment, manifest: &PathBuf, timeout: &str) -> Result<(), String> {
    let mut flux = Command::new(programs::flux_apply().unwrap().built().unwrap());
    flux.args(["-namespace", &env.namespace, "-timeout", timeout, "-kubeconfig"]).arg(env.server.admin_kubeconfig()).arg(manifest);
    let output = flux.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn times_out(result: Result<(), String>) {
    let error = result.unwrap_err();
    assert!(error.contains("timeout waiting for") && error.contains("InProgress"), "{error}");
}

fn set_token(env: &Environment, token: &str) -> PipelineRun {
    env.kubectl(&["patch", "pipelinerun.nuvo.dev/orders", "--type=merge", "-p", &format!(r#"{{"spec":{{"rerunToken":"{token}"}}}}"#)])
        .unwrap();
    env.get("orders")
}

fn end(env: &Environment, attempt: i32) {
    let of = |run: &PipelineRun| {
        run.status.as_ref().is_some_and(|status| status.attempt == Some(attempt) && !status.current.execution_ids.is_empty())
    };
    let running = env.wait("orders", "running", of);
    env.sim.finish(&running.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    env.wait_phase("orders", Phase::Succeeded);
}

#[test]
fn token_of_kubectl_is_removed_by_flux_and_counts_only_if_the_run_has_ended() {
    let env = Environment::new("flux-token", [Pipeline::new("orders").held()]);
    let _operator = env.operator();
    let run = in_git(&env, "", false);
    times_out(reconcile(&env, &run, "1s"));
    env.wait_phase("orders", Phase::Running);
    set_token(&env, "while-it-runs");
    env.wait("orders", "seen", |run| run.status.as_ref().unwrap().waiting_rerun_token.is_some());
    times_out(reconcile(&env, &run, "1s"));
    let note = env.wait_note("orders", "RerunTokenRemoved");
    assert!(note.contains("while-it-runs"), "{note}");
    same("token", env.get("orders").spec.rerun_token, None);
    end(&env, 1);
    reconcile(&env, &run, "30s").unwrap();
    same("POSTs", env.sim.post_count(), 1);

    set_token(&env, "after-its-end");
    env.wait("orders", "in its second attempt", |run| run.status.as_ref().is_some_and(|status| status.attempt == Some(2)));
    times_out(reconcile(&env, &run, "1s"));
    same("token", env.get("orders").spec.rerun_token, None);
    end(&env, 2);
    reconcile(&env, &run, "30s").unwrap();
    same("POSTs", env.sim.post_count(), 2);

    let run = in_git(&env, "kustomize.toolkit.fluxcd.io/ssa: Merge", false);
    reconcile(&env, &run, "30s").unwrap();
    set_token(&env, "kept");
    times_out(reconcile(&env, &run, "1s"));
    same("token", env.get("orders").spec.rerun_token.as_deref(), Some("kept"));
    end(&env, 3);
    same("POSTs", env.sim.post_count(), 3);
}

/// Until then no later commit is applied, also not the one that resumes it.
#[test]
fn suspended_run_keeps_flux_waiting_until_its_timeout() {
    let env = Environment::new("flux-suspended", [Pipeline::new("orders")]);
    let _operator = env.operator();
    times_out(reconcile(&env, &in_git(&env, "", true), "2s"));
    reconcile(&env, &in_git(&env, "", false), "30s").unwrap();
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

/// As the sample says, before any timeout.
#[test]
fn failed_run_ends_the_waiting_of_flux() {
    let env = Environment::new("flux-failed", [Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "No answer")]);
    let _operator = env.operator();
    let error = reconcile(&env, &in_git(&env, "", false), "50s").unwrap_err();
    assert!(error.contains("Failed") && !error.contains("timeout waiting"), "{error}");
    // Flux looks again after its retryInterval, which starts nothing.
    reconcile(&env, &in_git(&env, "", false), "50s").unwrap_err();
    same("POSTs", env.sim.post_count(), 1);
}
