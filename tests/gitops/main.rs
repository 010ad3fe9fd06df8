//! The scripts and expressions in `gitops/`, under the engines of Argo CD and Flux: see `dev/gitops`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed test may panic")]

use std::{path::Path, process::Command};

#[test]
fn argo_cd_and_flux_assess_the_recorded_objects_as_intended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev/gitops");
    // Go takes an earlier result for that of now, unless it counts, if only files outside of the module have changed.
    let output = Command::new("go").args(["test", "-count=1", "./..."]).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
