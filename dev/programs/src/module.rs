//! The files of Go modules that are used here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Context, Error};

/// A symbolic link in a module. Archives of Go modules have none, so that what is built from one lacks a file.
#[derive(Debug, Hash)]
pub(crate) struct Link {
    pub(crate) module: &'static str,
    /// Where it is in the module.
    pub(crate) path: &'static str,
    /// The file in the same folder that it leads to.
    pub(crate) target: &'static str,
}

/// The folder with the files of a module, in the version that is required by the go.mod in the folder `of`.
pub fn module(of: &Path, name: &str) -> Result<PathBuf, Error> {
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", name]).current_dir(of).stdin(Stdio::null());
    let output = go.output().context(|| "starting go".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let folder = text.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.strip_suffix("\","));
    folder.map(PathBuf::from).ok_or_else(|| Error::new(format!("finding {name}: {text}{}", String::from_utf8_lossy(&output.stderr))))
}

/// Copies the module of a link into the folder `to`, with what the link leads to. The file to be used instead of the go.mod in the folder `of`.
pub(crate) fn with_link(of: &Path, link: &Link, to: &Path) -> Result<PathBuf, Error> {
    let copied = to.join("module");
    let _ = fs::remove_dir_all(&copied);
    copy(&module(of, link.module)?, &copied)?;
    let place = copied.join(link.path);
    fs::copy(place.with_file_name(link.target), &place).context(|| format!("writing {}", place.display()))?;
    let file = to.join("go.mod");
    let required = fs::read_to_string(of.join("go.mod")).context(|| format!("reading the go.mod of {}", of.display()))?;
    fs::write(&file, format!("{required}\nreplace {} => {}\n", link.module, copied.display()))
        .and_then(|()| fs::copy(of.join("go.sum"), to.join("go.sum")))
        .context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).context(|| format!("reading {}", from.display()))? {
        let path = entry.context(|| format!("reading {}", from.display()))?.path();
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &copied)?;
        } else {
            fs::copy(&path, &copied).context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}
