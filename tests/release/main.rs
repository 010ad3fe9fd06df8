//! What another organization needs for a release: what is packed, and the files that registries and services read.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod artifact_hub;
mod k9s;
mod packed_chart;
mod renovate;
mod workflow;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

/// An empty folder of this name.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The tests of the program that packs releases, some of them with the real Krew.
#[test]
fn packer_passes_its_tests() {
    // Go takes an earlier result for that of now, unless it counts, if only files outside of the module have changed.
    let mut tests = Command::new("go");
    tests.args(["test", "-count=1", "./..."]).current_dir(repository().join("dev/release"));
    succeed(tests.env("NUVO_OPERATOR", env!("CARGO_BIN_EXE_nuvo-operator")));
}
