//! `cargo xtask generate`: the files that are made from the code, and the check that they are not stale.

mod argocd;
mod chart;
mod metrics;
mod reference;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail when a file differs from what would be written.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut stale = Vec::new();
    for (path, text) in files(&root)? {
        let full = root.join(&path);
        // A missing file is stale; git may have turned line ends on the way to this machine.
        if fs::read_to_string(&full).is_ok_and(|old| old.replace("\r\n", "\n") == text) {
            continue;
        }
        if args.check {
            stale.push(path.display().to_string());
            continue;
        }
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&full, text).map_err(|error| format!("cannot write {}: {error}", full.display()))?;
        println!("wrote {}", path.display());
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("stale: {}; run `cargo xtask generate` and commit the result", stale.join(", ")).into())
    }
}

/// Every generated file: its path from the root of the repository, and its text.
fn files(root: &Path) -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let crds = nuvo_crds::crd_files()?;
    let mut files: Vec<(PathBuf, String)> = crds.into_iter().map(|(name, text)| (Path::new("crds").join(name), text)).collect();
    files.extend(chart::files(root)?);
    files.push((PathBuf::from("docs/metrics.md"), metrics::reference()));
    files.push((PathBuf::from("docs/api.md"), reference::reference()?));
    files.push((PathBuf::from("gitops/argocd/argocd-cm.yaml"), argocd::config_map(&root.join("gitops/argocd/resource_customizations"))?));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_stale() {
        let outcome = run(&Args { check: true });
        assert!(outcome.is_ok(), "{}", outcome.err().map(|error| error.to_string()).unwrap_or_default());
    }
}
