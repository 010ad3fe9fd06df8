use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use nuvo_sim::{BUILTIN_PIPELINES, SimError, parse_pipelines};

use crate::test_client::{client, json, until};

#[test]
fn builtin_pipelines_parse() {
    let pipelines = parse_pipelines(BUILTIN_PIPELINES).unwrap();
    let ids: Vec<_> = pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
    assert_eq!(ids, ["orders", "invoices", "customers", "ledger", "archive", "stock", "deliveries", "returns"]);
}

#[test]
fn pipelines_file_with_a_mistake_is_refused() {
    let parse = |text: &str| parse_pipelines(text).unwrap_err().to_string();
    assert!(parse("pipelines: [{id: a, durations: 1s}]").contains("durations"));
    assert!(parse("pipelines: [{id: a, duration: 1 second}]").contains("250ms"));
    assert!(parse("pipelines: [{id: a, outcome: MAYBE}]").contains("`outcome` must be SUCCESSFUL, FAILED or a list of them"));
    assert!(matches!(parse_pipelines("pipelines: [{id: a}, {id: a}]"), Err(SimError::Pipeline { .. })));
}

#[test]
fn help_lists_every_field_and_effect() {
    let output = Command::new(env!("CARGO_BIN_EXE_nuvo-sim")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let fields = "duration files outcome error stats delays fixAfter active draft developerMode name inputTrigger schedule starts spelling";
    for word in fields.split(' ').chain("status delay drop hang raw redirect".split(' ')) {
        assert!(help.contains(&format!("{word}:")), "{word}");
    }
}

#[tokio::test]
async fn program_with_exit_with_stdin_ends_when_stdin_closes() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nuvo-sim"))
        .args(["--listen", "127.0.0.1:0", "--base-path", "x/", "--access-token", "t", "--spelling", "seen", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let url = url.trim();
    assert!(url.ends_with("/x/"), "{url}");
    let shown = json(client().get(format!("{url}pipeline/orders")).bearer_auth("t").send().await.unwrap(), 200).await;
    assert_eq!(shown["data"]["id"], "orders");
    drop(child.stdin.take());
    let status = until("the program exits", async || child.try_wait().unwrap()).await;
    assert!(status.success());
}
