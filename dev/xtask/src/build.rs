//! The programs that the commands run, built with cargo.

use std::error::Error;
use std::path::PathBuf;

use programs::cargo::{Profile, built};
pub use programs::repository;

use crate::stop::Stop;

/// The programs as a user runs them, without what a debugger needs.
pub struct Optimized {
    pub operator: PathBuf,
    /// This program.
    pub xtask: PathBuf,
}

/// Builds the operator. The path of the program.
pub fn operator(stop: &Stop) -> Result<PathBuf, Box<dyn Error>> {
    let [operator] = unless_stopped(built(["nuvo-operator"], Profile::Dev), stop)?;
    Ok(operator)
}

/// Builds the operator and this program, both with `--release`.
pub fn optimized(stop: &Stop) -> Result<Optimized, Box<dyn Error>> {
    let [operator, xtask] = unless_stopped(built(["nuvo-operator", "xtask"], Profile::Release), stop)?;
    Ok(Optimized { operator, xtask })
}

fn unless_stopped<T>(outcome: Result<T, programs::Error>, stop: &Stop) -> Result<T, Box<dyn Error>> {
    // Whatever failed then failed because of that.
    if outcome.is_err() {
        stop.check()?;
    }
    Ok(outcome?)
}
