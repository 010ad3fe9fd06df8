//! The demo in a cluster that is not its own.

#![allow(clippy::unwrap_used, reason = "a failed test may panic, also in its helpers")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use controlplane::{ControlPlane, Options};

/// A resource of the same name, as Tekton has one. Its group comes first in the alphabet, so kubectl takes a bare `pipelineruns` for it.
const NAMESAKE: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: pipelineruns.cd.example.com
spec:
  group: cd.example.com
  scope: Namespaced
  names: {kind: PipelineRun, plural: pipelineruns, singular: pipelinerun, shortNames: [pr, prs]}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[test]
fn a_given_cluster_is_left_as_it_was() {
    let server = ControlPlane::start(Options { controller_manager: true, ..Options::default() }).unwrap();
    let demo = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        // A relative path must do too.
        let path = server.admin_kubeconfig();
        command.current_dir(path.parent().unwrap()).env("KUBECONFIG", path.file_name().unwrap());
        command
    };
    let objects = || {
        let mut all = server.kubectl(&["get", "crd,namespaces", "--output=name"]).unwrap();
        for kind in ["secrets", "leases.coordination.k8s.io"] {
            all.push_str(&server.kubectl(&["get", kind, "--namespace=demo", "--output=name"]).unwrap());
        }
        all
    };
    server.apply(NAMESAKE).unwrap();
    server.kubectl(&["wait", "--for=condition=Established", "crd/pipelineruns.cd.example.com"]).unwrap();
    let before = objects();

    let output = demo().arg("--once").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(objects(), before, "{}", text(&output.stdout));

    // Not its own namespace, and a Ctrl-C in the middle.
    server.kubectl(&["create", "namespace", "demo"]).unwrap();
    let before = objects();
    let mut child = demo().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("Running")), "a run was seen running");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    assert_eq!(objects(), before, "{rest:?}");

    // What is there is not touched.
    let secret = ["create", "secret", "generic", "nuvo-credentials", "--namespace=demo"];
    server.kubectl(&secret).unwrap();
    let before = objects();
    let output = demo().arg("--once").output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("has secret/nuvo-credentials already"), "{}", text(&output.stderr));
    assert_eq!(objects(), before);
}
