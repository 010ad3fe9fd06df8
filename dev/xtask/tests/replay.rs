//! Replays of saved runs, compared with recorded traces.
//!
//! `UPDATE_RECORDINGS=1 cargo test -p xtask --test replay` writes the traces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic, also in its helpers")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|known| known == extension)).collect();
    files.sort();
    files
}

fn replay(path: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("replay").arg(path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The lines from the first to the last that differ.
fn difference(recorded: &str, now: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (recorded.lines().collect(), now.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()).saturating_sub(same);
    let same_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let lines = |all: &[&str], sign: char| -> String {
        let count = all.len().saturating_sub(same).saturating_sub(same_end);
        all.iter().skip(same).take(count).map(|line| format!("  {sign} {line}\n")).collect()
    };
    format!("  from line {}:\n{}{}", same.saturating_add(1), lines(&old, '-'), lines(&new, '+'))
}

#[test]
fn replays_print_the_recorded_traces() {
    let mut stale = String::new();
    for path in files("yaml") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let trace = replay(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let recording = path.with_extension("trace");
        if env::var_os("UPDATE_RECORDINGS").is_some() {
            fs::write(&recording, &trace).unwrap();
            continue;
        }
        let recorded = fs::read_to_string(&recording).unwrap_or_default().replace("\r\n", "\n");
        if recorded != trace {
            stale.push_str(&format!("{name}:\n{}", difference(&recorded, &trace)));
        }
    }
    assert!(stale.is_empty(), "traces differ; UPDATE_RECORDINGS=1 writes them:\n{stale}");
}

#[test]
fn recorded_trace_has_a_case() {
    for trace in files("trace") {
        assert!(trace.with_extension("yaml").exists(), "{} has no case", trace.display());
    }
}
