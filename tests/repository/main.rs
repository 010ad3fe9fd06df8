//! Rules about the files of the repository. These tests only read files: they start and build nothing.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod citations;
mod core_purity;
mod file_length;
mod import_cycles;
mod plain_words;
mod source;

use std::{fs, path::Path};

/// The root of the repository.
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The folders with text that people write, besides the pages at the root.
const FOLDERS: [&str; 8] = ["src", "crates", "tests", "dev", "docs", "charts", "gitops", "examples"];

/// The text files with one of these extensions, by their path in the repository.
fn sources(extensions: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(REPOSITORY);
    let mut files = Vec::new();
    collect(root, extensions, false, &mut files);
    for folder in FOLDERS {
        collect(&root.join(folder), extensions, true, &mut files);
    }
    files.sort();
    files
}

fn collect(folder: &Path, extensions: &[&str], deep: bool, files: &mut Vec<(String, String)>) {
    if !folder.exists() {
        return;
    }
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().unwrap();
        let is_ours = name != "target" && !name.to_string_lossy().starts_with('.');
        if deep && kind.is_dir() && is_ours {
            collect(&path, extensions, deep, files);
        }
        let is_wanted = path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        if kind.is_file() && is_wanted {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = path.strip_prefix(REPOSITORY).unwrap_or(&path);
            files.push((path.display().to_string(), text));
        }
    }
}
