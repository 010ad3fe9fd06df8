//! The core decides and does nothing else: it has no I/O, no clock and no randomness.

use std::{fs, path::Path};

use crate::{REPOSITORY, source::product_files};

/// Crates that bring I/O, a runtime or randomness.
const CRATES: [&str; 5] = ["kube", "reqwest", "tokio", "rand", "uuid"];
/// Calls and types that read a clock.
const CLOCKS: [&str; 4] = ["Timestamp::now", "Zoned::now", "Instant::now", "SystemTime"];

/// The names in the section `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[").find_map(|section| section.trim_start_matches('[').strip_prefix("dependencies]"));
    let lines = section.unwrap_or_default().lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['.', '=']).next().map(str::trim)).filter(|name| !name.is_empty()).collect()
}

#[test]
fn core_manifest_has_no_client_runtime_or_randomness() {
    let manifest = fs::read_to_string(Path::new(REPOSITORY).join("crates/nuvo-core/Cargo.toml")).unwrap();
    let dependencies = dependencies(&manifest);
    assert!(dependencies.contains(&"nuvo-crds"), "the dependencies are not found: {dependencies:?}");
    let forbidden: Vec<&str> = CRATES.into_iter().filter(|name| dependencies.contains(name)).collect();
    assert!(forbidden.is_empty(), "crates/nuvo-core must not depend on {forbidden:?}");
}

#[test]
fn core_sources_read_no_clock() {
    let mut reads = Vec::new();
    let core: Vec<_> = product_files().into_iter().filter(|file| file.path.starts_with("crates/nuvo-core/")).collect();
    assert!(!core.is_empty(), "the sources of the core are not found");
    for file in core {
        reads.extend(CLOCKS.iter().filter(|clock| file.code.contains(**clock)).map(|clock| format!("{}: {clock}", file.path)));
    }
    assert!(reads.is_empty(), "the core takes the time as a parameter:\n{}", reads.join("\n"));
}

#[test]
fn dependencies_of_a_manifest_are_found() {
    let manifest =
        "[package]\nname = \"a\"\n\n[dependencies]\nkube.workspace = true\nserde = \"1\"\n# rand\n\n[dev-dependencies]\nuuid = \"1\"\n";
    assert_eq!(dependencies(manifest), ["kube", "serde"]);
}
