//! Errors of the simulator itself. What the API answers is in `execution_api`.

use std::{net::SocketAddr, path::PathBuf};

/// Why the simulator could not start, or refused a change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The server's thread or runtime could not be made.
    #[error("cannot start the server: {0}")]
    Start(#[source] std::io::Error),
    /// The file with the pipelines cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The text is not a pipelines file.
    #[error("not a pipelines file: {0}")]
    Yaml(#[source] serde_yaml::Error),
    /// A pipeline has a field with a value that is not allowed.
    #[error("pipeline `{pipeline}`: {problem}")]
    Pipeline {
        /// The pipeline's id.
        pipeline: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The zone of the times that name none cannot be read.
    #[error("`{0}` is no time zone as in the variable TZ of POSIX; write for example UTC0 or CET-1CEST,M3.5.0,M10.5.0/3")]
    Zone(String),
    /// No execution has this id.
    #[error("no such execution: `{0}`")]
    NoSuchExecution(String),
    /// No pipeline has this id.
    #[error("no such pipeline: `{0}`")]
    NoSuchPipeline(String),
    /// An execution with this id exists already.
    #[error("an execution `{0}` exists already")]
    DuplicateExecution(String),
}
