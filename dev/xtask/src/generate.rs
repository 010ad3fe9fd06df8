//! `cargo xtask generate`: the files that are made from the code, and the check that they are not stale.

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
    for (path, text) in files()? {
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
fn files() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let crds = nuvo_operator::api::crd_files()?;
    Ok(crds.into_iter().map(|(name, text)| (Path::new("crds").join(name), text)).collect())
}
