//! What can be said of the image without building one.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{deployment, read, rendered, repository};

/// The instructions of the Dockerfile, without comments, a line each.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).unwrap()).collect()
}

/// The arguments before the first stage, which name the images.
fn images() -> BTreeMap<String, String> {
    let arguments = instructions().into_iter().take_while(|(name, _)| name != "FROM").filter(|(name, _)| name == "ARG");
    arguments.map(|(_, rest)| rest.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect()
}

#[test]
fn image_is_built_with_the_pinned_compiler_and_has_no_shell() {
    let (images, toolchain) = (images(), read("rust-toolchain.toml"));
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"').to_owned();
    // The release with the same glibc as the base: Debian 12.
    assert_eq!(images["BUILDER"], format!("docker.io/library/rust:{channel}-bookworm"));
    assert_eq!(images["BASE"], "gcr.io/distroless/cc-debian12:nonroot");
    assert!(read("Dockerfile").contains(&format!("RUSTUP_TOOLCHAIN={channel} ")));

    let all = instructions();
    let stages: Vec<&str> = all.iter().filter(|(name, _)| name == "FROM").map(|(_, rest)| rest.as_str()).collect();
    assert_eq!(stages, ["${BUILDER} AS builder", "${BASE}"]);
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let of = |wanted: &str| all[last..].iter().filter(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str()).collect::<Vec<_>>();
    assert_eq!(of("RUN"), [""; 0], "there is no shell to run it");
    assert_eq!(of("ENTRYPOINT"), [r#"["/usr/local/bin/nuvo-operator"]"#]);
    assert_eq!(of("USER"), ["65532:65532"]);
    assert_eq!(of("ENV"), ["MALLOC_ARENA_MAX=1"], "what the benchmark measures");
    assert!(of("COPY").iter().all(|copy| copy.starts_with("--from=builder ")));
    assert!(all.iter().all(|(name, rest)| name != "ADD" && !rest.contains("curl") && !rest.contains("wget")), "something is downloaded");
    assert!(all.iter().any(|(name, rest)| name == "RUN" && rest.contains("cargo install --locked ")));
}

#[test]
fn chart_runs_the_user_and_program_of_the_image() {
    let objects = rendered(&json!({}));
    let pod = &deployment(&objects)["spec"]["template"]["spec"];
    assert_eq!((&pod["securityContext"]["runAsUser"], &pod["securityContext"]["runAsGroup"]), (&json!(65532), &json!(65532)));
    assert!(pod["containers"][0].get("command").is_none(), "the image has an entry point");
    let ports: Vec<i64> =
        pod["containers"][0]["ports"].as_array().unwrap().iter().map(|port| port["containerPort"].as_i64().unwrap()).collect();
    assert!(instructions().contains(&("EXPOSE".to_owned(), format!("{} {}", ports[0], ports[1]))));
}

/// What the base has: glibc with its parts, and libgcc.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn program_needs_only_libraries_of_the_base_image() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_nuvo-operator")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("libc.so.6"), "{text}");
    for line in text.lines() {
        let library = line.split_whitespace().next().unwrap().rsplit('/').next().unwrap();
        let there = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "libdl.so", "librt.so", "libpthread.so", "ld-linux"];
        assert!(there.iter().any(|beginning| library.starts_with(beginning)), "the base has no {library}");
    }
}

/// Cargo finds the whole workspace in what is sent to the builder.
#[test]
fn build_context_contains_the_workspace() {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "everything is left out that is not named");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build-context");
    let _ = fs::remove_dir_all(&folder);
    for line in lines {
        let name = line.strip_prefix('!').unwrap_or_else(|| panic!("{line}"));
        copy(&repository().join(name), &folder.join(name));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let operator = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "nuvo-operator").unwrap();
    let programs = operator["targets"].as_array().unwrap().iter().filter(|target| target["kind"] == json!(["bin"]));
    let programs: Vec<&Value> = programs.map(|target| &target["name"]).collect();
    assert_eq!(programs, ["nuvo-operator"], "all of them would be in the image");
    fs::remove_dir_all(&folder).unwrap();
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}
