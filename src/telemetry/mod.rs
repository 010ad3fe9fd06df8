//! What the operator reports about itself: the log on standard error, and [`metrics`].

pub mod metrics;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::{Layer, SubscriberExt},
    util::{SubscriberInitExt, TryInitError},
};

use crate::settings::{LogFormat, LogLevel};
pub use metrics::{Metrics, RunResult, TriggerOutcome};

/// Starts logging. Fails only when something else in this process already did.
pub fn init(format: LogFormat, level: LogLevel) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(level))).try_init()
}

/// Libraries log only from `info` up, whatever the level: below, HTTP clients describe requests, which carry credentials.
fn filter(level: LogLevel) -> Targets {
    let (own, libraries) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::INFO),
    };
    // kube's HTTP layer logs each failed request as an error, which its caller reports as well.
    let doubled = ("kube_client::client::builder", LevelFilter::OFF);
    Targets::new().with_default(libraries).with_targets([("nuvo_operator", own), doubled])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn library_never_logs_requests() {
        let filter = filter(LogLevel::Trace);
        assert!(filter.would_enable("nuvo_operator::nuvo", &Level::TRACE));
        assert!(filter.would_enable("kube_client", &Level::INFO));
        for library in ["kube_client", "hyper", "h2", "reqwest", "rustls"] {
            assert!(!filter.would_enable(library, &Level::DEBUG), "{library}");
        }
    }
}
