//! Shows the progress of a run on standard error: a status line that updates on a terminal, and a plain line for each change.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nuvo_core::run::reason;
use nuvo_crds::{
    PipelineRun,
    conditions::{SUCCEEDED, find},
};

use super::{
    error::PluginError,
    table::{age, phase, printable},
};

/// How often the status line is redrawn.
const REDRAW: Duration = Duration::from_millis(120);
/// The part of a message on the status line: as much as fits on most terminals.
const MESSAGE_LIMIT: usize = 60;

/// The progress of one run.
pub struct Progress {
    status_line: Option<ProgressBar>,
    /// The last state that was printed: phase, reason and attempt.
    printed: String,
}

impl Progress {
    /// With a status line if standard error is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let status_line = std::io::stderr().is_terminal().then(|| status_line(ProgressDrawTarget::stderr()));
        Self { status_line, printed: String::new() }
    }

    /// Shows the state of a run, and prints a line when the state has changed.
    ///
    /// # Errors
    /// [`PluginError::Output`].
    pub fn show(&mut self, run: &PipelineRun, now: Timestamp) -> Result<(), PluginError> {
        let status = run.status.clone().unwrap_or_default();
        let why = reason(&status).map(|reason| reason.to_string()).unwrap_or_default();
        let phase = phase(&status);
        let attempt = status.attempt.filter(|attempt| *attempt > 1).map(|attempt| format!(" attempt {attempt}")).unwrap_or_default();
        let message = find(&status.conditions, SUCCEEDED);
        let message = printable(message.map(|condition| condition.message.as_str()).unwrap_or_default());
        let because = if why.is_empty() || why == phase { String::new() } else { format!(" ({why})") };
        let state = format!("{phase}{because}{attempt}");
        if let Some(bar) = &self.status_line {
            let short: String = message.chars().take(MESSAGE_LIMIT).collect();
            bar.set_message(format!("{}: {state}  {short}", run.name_any()));
        }
        if state != self.printed {
            self.printed.clone_from(&state);
            let line = format!("{:>6}  {}: {state}  {message}", age(run.metadata.creation_timestamp.as_ref(), now), run.name_any());
            match &self.status_line {
                Some(bar) => bar.suspend(|| eprintln!("{}", line.trim_end())),
                None => eprintln!("{}", line.trim_end()),
            }
        }
        Ok(())
    }

    /// Removes the status line.
    pub fn finish(&self) {
        if let Some(bar) = &self.status_line {
            bar.finish_and_clear();
        }
    }
}

fn status_line(terminal: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, terminal);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REDRAW);
    bar
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;
    use serde_json::json;

    use super::*;

    #[test]
    fn status_line_on_a_terminal_updates_and_is_removed_at_the_end() {
        let terminal = InMemoryTerm::new(10, 120);
        let mut progress =
            Progress { status_line: Some(status_line(ProgressDrawTarget::term_like(Box::new(terminal.clone())))), printed: String::new() };
        for (phase, reason) in [("Pending", "PipelineBusy"), ("Running", "Running")] {
            let run: PipelineRun = serde_json::from_value(json!({
                "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders" }, "spec": { "pipelineId": "orders" },
                "status": { "phase": phase, "attempt": 2, "conditions": [{
                    "type": "Succeeded", "status": "Unknown", "reason": reason, "message": "because\u{1b}[2J", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }] },
            }))
            .unwrap();
            progress.show(&run, Timestamp::UNIX_EPOCH).unwrap();
            let shown = terminal.contents();
            let state = if phase == "Running" { "Running attempt 2" } else { "Pending (PipelineBusy) attempt 2" };
            assert!(shown.contains(&format!("orders: {state}  because")), "{shown:?}");
            assert_eq!(progress.printed, state);
        }
        progress.finish();
        assert_eq!(terminal.contents(), "");
    }
}
