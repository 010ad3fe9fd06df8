//! What can go wrong outside the API's own answers.

use std::{net::SocketAddr, path::PathBuf};

/// Why the simulator could not start or could not do what it was told.
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
    /// The text is no list of pipelines.
    #[error("not a pipelines file: {0}")]
    Yaml(#[source] serde_yaml::Error),
    /// A pipeline is well-formed but makes no sense.
    #[error("pipeline `{pipeline}`: {problem}")]
    Pipeline {
        /// The pipeline's id.
        pipeline: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No execution has this id.
    #[error("there is no execution `{0}`")]
    NoSuchExecution(String),
    /// No pipeline has this id.
    #[error("there is no pipeline `{0}`")]
    NoSuchPipeline(String),
    /// An execution with this id is already there.
    #[error("there is already an execution `{0}`")]
    DuplicateExecution(String),
}
