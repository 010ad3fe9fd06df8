//! What is shown while a run goes on: one moving line on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    PluginError, list,
    table::{ago, printable},
};
use nuvo_core::run::reason;
use nuvo_crds::{
    PipelineRun,
    conditions::{SUCCEEDED, find},
};

/// How often the moving line moves.
const BEAT: Duration = Duration::from_millis(120);
/// What is shown of a message on the moving line: as much as fits on most terminals.
const MOVING: usize = 60;

/// Writes to the standard output.
///
/// # Errors
/// [`PluginError::Output`].
pub fn tell(text: &str) -> Result<(), PluginError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| PluginError::Output(error.to_string()))
}

/// The progress of one run.
pub struct Progress {
    moving: Option<ProgressBar>,
    /// What was said last: phase, reason and attempt.
    said: String,
}

impl Progress {
    /// A moving line on the standard error if that is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let moving = std::io::stderr().is_terminal().then(|| moving(ProgressDrawTarget::stderr()));
        Self { moving, said: String::new() }
    }

    /// Shows where a run is now. A line is written when it has got somewhere else.
    ///
    /// # Errors
    /// [`PluginError::Output`].
    pub fn show(&mut self, run: &PipelineRun, now: Timestamp) -> Result<(), PluginError> {
        let status = run.status.clone().unwrap_or_default();
        let why = reason(&status).map(|reason| reason.to_string()).unwrap_or_default();
        let phase = list::phase(&status);
        let attempt = status.attempt.filter(|attempt| *attempt > 1).map(|attempt| format!(" attempt {attempt}")).unwrap_or_default();
        let message = find(&status.conditions, SUCCEEDED);
        let message = printable(message.map(|condition| condition.message.as_str()).unwrap_or_default());
        let because = if why.is_empty() || why == phase { String::new() } else { format!(" ({why})") };
        let state = format!("{phase}{because}{attempt}");
        if let Some(bar) = &self.moving {
            let short: String = message.chars().take(MOVING).collect();
            bar.set_message(format!("{}: {state}  {short}", run.name_any()));
        }
        if state != self.said {
            self.said.clone_from(&state);
            let line = format!("{:>6}  {}: {state}  {message}", ago(run.metadata.creation_timestamp.as_ref(), now), run.name_any());
            match &self.moving {
                Some(bar) => bar.suspend(|| eprintln!("{}", line.trim_end())),
                None => eprintln!("{}", line.trim_end()),
            }
        }
        Ok(())
    }

    /// Takes the moving line away.
    pub fn end(&self) {
        if let Some(bar) = &self.moving {
            bar.finish_and_clear();
        }
    }
}

fn moving(terminal: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, terminal);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(BEAT);
    bar
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;
    use serde_json::json;

    use super::*;

    #[test]
    fn on_a_terminal_a_line_moves_while_the_run_goes_on_and_is_gone_at_its_end() {
        let terminal = InMemoryTerm::new(10, 120);
        let mut progress =
            Progress { moving: Some(moving(ProgressDrawTarget::term_like(Box::new(terminal.clone())))), said: String::new() };
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
            assert_eq!(progress.said, state);
        }
        progress.end();
        assert_eq!(terminal.contents(), "");
    }
}
