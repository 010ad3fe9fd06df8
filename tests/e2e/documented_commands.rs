//! Runs the commands of the documentation and compares their output with what the pages show.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nuvo_sim::{AccessToken, Identity, Pipeline, SimConfig, Stats};

use crate::environment::Environment;

/// A part of a page that is marked in the text before it.
enum Part {
    /// `<!-- file: NAME -->` and a block: a file that the commands use.
    File(String, String),
    /// `<!-- run -->` and a block: commands behind `$`, and what they print.
    Run(Vec<(String, Vec<String>)>),
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut mark = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            mark = Some(found.to_owned());
        } else if line.starts_with("```") && line.len() > 3 {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match mark.take() {
                Some(found) if found == "run" => parts.push(Part::Run(commands(&block))),
                Some(found) => {
                    if let Some(name) = found.strip_prefix("file: ") {
                        parts.push(Part::File(name.to_owned(), block.join("\n") + "\n"));
                    }
                }
                None => assert!(!line.starts_with("```console"), "not marked how these commands are tested: {block:?}"),
            }
        }
    }
    parts
}

fn commands(block: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().unwrap_or_else(|| panic!("output before a command: {line}")).1.push((*line).to_owned()),
        }
    }
    commands
}

/// Replaces what differs from run to run: ages, ids, and generated suffixes of names.
fn without_variable_parts(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([':', '.', ',']);
        let generated = bare.rsplit_once("orders-").is_some_and(|(_, end)| end.len() <= 5);
        match () {
            () if generated => word.split("orders-").next().unwrap().to_owned() + "orders-…",
            () if bare.len() == 24 && bare.bytes().all(|b| b.is_ascii_hexdigit()) => "<id>".to_owned(),
            () if bare.ends_with('s') && bare.trim_end_matches('s').parse::<f64>().is_ok() => "<time>".to_owned(),
            () => word.to_owned(),
        }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A folder with `kubectl` and `kubectl-nuvo`, to be put before the path.
fn tools(env: &Environment) -> PathBuf {
    let folder = env.server.folder().join(format!("{}-bin", env.namespace));
    fs::create_dir_all(&folder).unwrap();
    let plugin = crate::environment::kubectl_nuvo();
    let kubectl = env.server.kubectl_command();
    let words: Vec<String> =
        std::iter::once(kubectl.get_program()).chain(kubectl.get_args()).map(|word| format!("'{}'", word.display())).collect();
    let cache = env.server.folder().join("kubectl-cache");
    let script = |text: String, name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let (kubeconfig, namespace) = (env.server.admin_kubeconfig().display(), &env.namespace);
    // kubectl finds its plugins by their names; here it is a part of another program.
    script(
        format!(
            "if [ \"$1\" = nuvo ]; then shift; exec '{plugin}' --kubeconfig '{kubeconfig}' -n {namespace} \"$@\"; fi\n\
             export KUBECACHEDIR='{}' KUBERC=off\nexec {} --kubeconfig '{kubeconfig}' -n {namespace} \"$@\"",
            cache.display(),
            words.join(" "),
        ),
        "kubectl",
    );
    folder
}

fn run_page(name: &str, with_account: bool) {
    let stats = Stats { total_rows: 1200, ..Stats::default() };
    let quick = |id: &str| Pipeline::new(id).duration(Duration::from_millis(700)).stats(stats);
    let pipelines = vec![quick("orders"), quick("customers").failing("ERROR_THRESHOLD_EXCEEDED", "412 of 5000 cells are erroneous")];
    let config = SimConfig { pipelines, ..SimConfig::default() };
    let env = Environment::without_account(&format!("docs-{}", name.trim_end_matches(".md")), config);
    env.sim.set_access_tokens(vec![AccessToken::new("demo-access-token", Identity::user("demo@example.com"))]);
    if with_account {
        env.credential("nuvo-credentials", "demo-license-key");
        env.account("default");
    }
    let _operator = env.operator();
    let (bin, folder) = (tools(&env), env.server.folder().join(format!("{}-files", env.namespace)));
    fs::create_dir_all(&folder).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // A file may be shown below its first use.
    let (files, runs): (Vec<_>, Vec<_>) = parts(&page(name)).into_iter().partition(|part| matches!(part, Part::File(..)));
    for part in files.into_iter().chain(runs) {
        match part {
            Part::File(file, text) => {
                // The page's account is for the real nuvo.
                let here = format!("spec:\n  baseUrl: {}\n", env.sim.base_url());
                let text = if text.contains("kind: NuvoAccount") { text.replacen("spec:\n", &here, 1) } else { text };
                fs::write(folder.join(file), text).unwrap();
            }
            Part::Run(commands) => {
                for (command, wanted) in commands {
                    let shell = format!("{{ {command}\n}} 2>&1");
                    let output = Command::new("bash").args(["-c", &shell]).current_dir(&folder).env("PATH", &path).output().unwrap();
                    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(output.status.success(), "{name}: $ {command}\n{output_text}");
                    let output_lines: Vec<String> = output_text.lines().map(without_variable_parts).collect();
                    let mut rest = output_lines.iter();
                    for line in wanted {
                        let line = without_variable_parts(&line);
                        assert!(
                            rest.any(|output_text| output_text.starts_with(&line)),
                            "{name}: $ {command}\ndoes not say {line:?}:\n{output_text}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn first_run_page_prints_what_it_shows() {
    run_page("first-run.md", false);
}

#[test]
fn accounts_page_prints_what_it_shows() {
    run_page("accounts.md", false);
}

#[test]
fn kubectl_nuvo_page_prints_what_it_shows() {
    run_page("kubectl-nuvo.md", true);
}

/// A page's commands are run here, or the page says what they need.
#[test]
fn commands_of_all_pages_say_how_they_are_tested() {
    let run = ["first-run.md", "accounts.md", "kubectl-nuvo.md"];
    for folder in ["docs", "docs/runbooks"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if text.contains("on this page needs a cluster") || text.contains("on this page need a cluster") {
                continue;
            }
            let is_run = parts(&text).iter().any(|part| matches!(part, Part::Run(_)));
            assert_eq!(is_run, run.contains(&name.as_str()), "{name}");
        }
    }
}
