//! The workflow that publishes a release.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::{VERSION, read, repository, succeed, yaml};

const PATH: &str = ".github/workflows/release.yml";

fn steps(workflow: &Value) -> Vec<&Value> {
    workflow["jobs"].as_object().unwrap().values().flat_map(|job| job["steps"].as_array().unwrap()).collect()
}

fn scripts(workflow: &Value) -> Vec<&str> {
    steps(workflow).into_iter().filter_map(|step| step["run"].as_str()).collect()
}

#[test]
fn workflow_passes_actionlint() {
    let mut lint = Command::new("go");
    succeed(lint.args(["tool", "actionlint", "-color"]).arg(repository().join(PATH)).current_dir(repository().join("dev/actionlint")));
}

/// A tag of an action may mean other code tomorrow.
#[test]
fn actions_are_pinned_by_commit_with_their_version_beside_it() {
    let text = read(PATH);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("uses: ")).collect();
    assert!(lines.len() >= 10, "{lines:?}");
    for line in lines {
        let (action, version) = line.split_once("uses: ").unwrap().1.split_once(" # v").unwrap_or_else(|| panic!("no version: {line}"));
        let (_, commit) = action.split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok()), "{line}");
    }
}

#[test]
fn rights_to_publish_are_those_of_one_job_that_a_person_approves() {
    let workflow = yaml(PATH);
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        let writes = job["permissions"].as_object().unwrap().values().any(|right| right != "read");
        assert_eq!(writes, name == "publish", "{name}");
        assert_eq!(job["environment"] == "release", name == "publish", "{name}");
        assert!(job["timeout-minutes"].is_u64(), "{name}");
        for step in job["steps"].as_array().unwrap() {
            if step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@")) {
                assert_eq!(step["with"]["persist-credentials"], false, "{name}");
            }
        }
    }
    // What a tag is called, for example, could otherwise be a command.
    assert!(scripts(&workflow).iter().all(|script| !script.contains("${{")), "an expression in a script");
    let needed = &workflow["jobs"]["publish"]["needs"];
    assert_eq!(needed.as_array().unwrap().len(), workflow["jobs"].as_object().unwrap().len() - 1, "{needed}");
}

/// The script of that step, with tags that are and are not the version of this workspace.
#[test]
fn tag_that_is_not_the_version_is_refused() {
    let workflow = yaml(PATH);
    let step = *steps(&workflow).iter().find(|step| step["name"] == "The tag is the version").unwrap();
    let passes = |tag: &str| {
        let mut script = Command::new("bash");
        script.args(["-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()]).env("GITHUB_REF_NAME", tag);
        script.current_dir(repository()).output().unwrap().status.success()
    };
    assert!(passes(&format!("v{VERSION}")));
    assert!(!passes(VERSION) && !passes("v9.9.9") && !passes(""));
}

#[test]
fn plugin_is_built_for_the_platforms_that_are_packed() {
    let source = read("dev/release/archives.go");
    let line = source.lines().find(|line| line.starts_with("var platforms = ")).unwrap();
    let packed: BTreeSet<String> =
        line.split("{\"").skip(1).map(|pair| pair.split('"').step_by(2).take(2).collect::<Vec<_>>().join("_")).collect();
    let workflow = yaml(PATH);
    let built = workflow["jobs"]["plugin"]["strategy"]["matrix"]["include"].as_array().unwrap();
    assert_eq!(built.iter().map(|row| row["platform"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), packed);
    for row in built {
        let (platform, target) = (row["platform"].as_str().unwrap(), row["target"].as_str().unwrap());
        let (system, architecture) = platform.split_once('_').unwrap();
        assert!(target.contains(system), "{row}");
        assert!(target.starts_with(if architecture == "amd64" { "x86_64-" } else { "aarch64-" }), "{row}");
        assert_eq!(row["program"] == "kubectl-nuvo.exe", system == "windows", "{row}");
    }
    // Where `cargo --profile image` puts programs.
    assert!(read("Cargo.toml").contains("\n[profile.image]\n"));
    let paths: Vec<&str> = steps(&workflow).into_iter().filter_map(|step| step["with"]["path"].as_str()).collect();
    assert_eq!(paths, ["target/image/nuvo-operator", "target/${{ matrix.target }}/image/${{ matrix.program }}", "built"]);
}

#[test]
fn commands_and_their_options_exist() {
    let packer = programs::release().unwrap().built().unwrap();
    let workflow = yaml(PATH);
    let mut commands = BTreeSet::new();
    for script in scripts(&workflow).into_iter().map(|script| script.replace("\\\n", " ")) {
        for line in script.lines() {
            let Some((_, called)) = line.split_once("cargo xtask ") else { continue };
            let command = called.split_whitespace().next().unwrap();
            let help = Command::new(&packer).args([command, "--help"]).output().unwrap();
            let help = String::from_utf8_lossy(&help.stderr).into_owned();
            assert!(help.contains(&format!("cargo xtask {command}:")), "{command}: {help}");
            for option in called.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                assert!(help.contains(&format!("  -{option} ")), "{command} has no --{option}: {help}");
            }
            commands.insert(command.to_owned());
        }
    }
    assert_eq!(commands, ["archives", "chart", "image"].map(str::to_owned).into());
}

/// Whoever follows the page finds what it names.
#[test]
fn page_about_releasing_names_what_exists() {
    let page = read("RELEASING.md");
    let workflow = read(PATH);
    for (named, file) in [
        ("environment with the name `release`", "environment: release"),
        ("`SHA256SUMS`", "> SHA256SUMS"),
        ("--bundle SHA256SUMS.sigstore.json", "--bundle SHA256SUMS.sigstore.json"),
        ("/charts/nuvo-operator", "\"$CHARTS/nuvo-operator@$digest\""),
        ("draft", "--draft"),
    ] {
        assert!(page.contains(named) && workflow.contains(file), "{named}: {file}");
    }
    // The steps of each section count from one.
    let mut expected = 0;
    for line in page.lines() {
        if line.starts_with("## ") {
            expected = 0;
        } else if let Some(number) = line.split_once(". ").and_then(|(number, _)| number.parse::<u32>().ok()) {
            expected += 1;
            assert_eq!(number, expected, "{line}");
        }
    }
}

#[test]
fn versions_are_those_of_the_workspace() {
    let chart = yaml("charts/nuvo-operator/Chart.yaml");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&VERSION.into(), &VERSION.into()));
    let page = read("docs/install.md");
    for before in ["nuvo-operator:", "version: ", "refs/tags/v"] {
        let after: Vec<&str> = page.split(before).skip(1).filter(|after| after.starts_with(|first: char| first.is_ascii_digit())).collect();
        assert!(!after.is_empty() && after.iter().all(|after| after.starts_with(VERSION)), "docs/install.md: {before}");
    }
    let mut images = 0;
    for file in std::fs::read_dir(repository().join("examples/orchestrators")).unwrap() {
        let path = file.unwrap().path();
        for (_, image) in std::fs::read_to_string(&path).unwrap().lines().filter_map(|line| line.split_once("registry.example.com/")) {
            let version = image.split_once(':').unwrap().1.split(['"', ' ']).next().unwrap();
            assert_eq!(version, VERSION, "{}", path.display());
            images += 1;
        }
    }
    assert_eq!(images, 4, "recipes with an image");
}
