//! The kubeconfig files.

use std::{
    env,
    path::{Path, PathBuf},
};

use kube::config::{Kubeconfig, KubeconfigError};

use super::error::ConnectionError;

/// Reads this file, or merges the files of `KUBECONFIG` that exist, or reads `~/.kube/config`. None if there is no file, or no cluster in any.
///
/// # Errors
/// [`ConnectionError::Kubeconfig`]
pub fn read(file: Option<&Path>) -> Result<Option<Kubeconfig>, ConnectionError> {
    let merged = match file {
        Some(file) => Some(Kubeconfig::read_from(file)?),
        None => merge_existing(&configured_files())?,
    };
    Ok(merged.filter(|kubeconfig| !kubeconfig.clusters.is_empty()))
}

fn configured_files() -> Vec<PathBuf> {
    match env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => env::split_paths(&list).collect(),
        None => env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    }
}

fn merge_existing(files: &[PathBuf]) -> Result<Option<Kubeconfig>, KubeconfigError> {
    // kube fails where kubectl skips a missing file. One that cannot be looked at is not missing: reading it says why.
    files.iter().filter(|file| file.try_exists().unwrap_or(true)).try_fold(None, |merged: Option<Kubeconfig>, file| {
        let next = Kubeconfig::read_from(file)?;
        Ok(Some(merged.unwrap_or_default().merge(next)?))
    })
}
