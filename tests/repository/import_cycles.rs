//! Modules of a crate form layers: no file imports, directly or through others, a file that imports it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{SourceFile, crate_files};

/// Crates that still have such circles.
const EXCEPT: [&str; 0] = [];

/// A module by its path from the root of its crate; the root is empty.
type Module = Vec<String>;

/// A file of a crate.
struct File {
    path: String,
    code: String,
    /// The full paths that it imports or names, without `self`, `super` and `crate`.
    imports: Vec<Module>,
    /// The names that it re-exports, with their full paths. A glob has the name `*`.
    reexports: Vec<(String, Module)>,
}

/// The module that a file of a crate is, from its path behind `src/`.
fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main" | "mod") { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The code without `in PATH` of visibilities: a path there is no import.
fn without_visibilities(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + "pub" + part.split_once(')').map_or(part, |(_, rest)| rest))
}

/// The code as words and signs; paths stay whole as words separated by `::`.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if c == '"' {
            while let Some(next) = chars.next() {
                match next {
                    '\\' => _ = chars.next(),
                    '"' => break,
                    _ => {}
                }
            }
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    tokens
}

/// The paths of a `use` tree that begins here, each with the name under which it is known, and the place behind it.
fn use_tree(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<(String, Module)>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = use_tree(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some("*") => {
                found.push(("*".to_owned(), path));
                return at + 1;
            }
            Some(word) if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                at += 1;
            }
            _ => return at + 1,
        }
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("as") => {
                found.push((tokens.get(at + 1).cloned().unwrap_or_default(), path));
                return at + 2;
            }
            _ => {
                found.push((path.last().cloned().unwrap_or_default(), path));
                return at;
            }
        }
    }
}

/// A path as it is written in a module, from the root of the crate. None if it leads out of the crate.
fn absolute(path: &[String], module: &[String], children: &BTreeSet<Module>) -> Option<Module> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        child => {
            let child: Module = module.iter().cloned().chain([child.to_owned()]).collect();
            if !children.contains(&child) {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn file(source: &SourceFile, module: &[String], modules: &BTreeSet<Module>) -> File {
    let tokens = tokens(&without_visibilities(&source.code));
    let (mut imports, mut reexports) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_path = ["crate", "super"].contains(&tokens[at].as_str()) && tokens.get(at + 1).is_some_and(|token| token == "::");
        if tokens[at] == "use" {
            let mut found = Vec::new();
            let public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
            at = use_tree(&tokens, at + 1, &[], &mut found);
            for (name, path) in found {
                if let Some(path) = absolute(&path, module, modules) {
                    if public {
                        reexports.push((name, path.clone()));
                    }
                    imports.push(path);
                }
            }
        } else if is_path {
            let mut path = vec![tokens[at].clone()];
            while tokens.get(at + 1).is_some_and(|token| token == "::")
                && tokens.get(at + 2).is_some_and(|word| word.chars().all(|c| c.is_alphanumeric() || c == '_'))
            {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            imports.extend(absolute(&path, module, modules));
            at += 1;
        } else {
            at += 1;
        }
    }
    File { path: source.path.clone(), code: source.code.clone(), imports, reexports }
}

/// Whether a file defines an item of this name.
fn defines(code: &str, name: &str) -> bool {
    let kinds = ["struct", "enum", "fn", "trait", "const", "type", "static", "macro_rules!", "mod", "union"];
    kinds.iter().any(|kind| {
        let start = format!("{kind} {name}");
        code.match_indices(&start).any(|(at, _)| !code[at + start.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// The module whose file defines what this path names, through re-exports as far as they can be followed.
fn definition(path: &[String], files: &BTreeMap<Module, File>, depth: usize) -> Option<Module> {
    let module = (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| files.contains_key(module))?;
    let Some(item) = path.get(module.len()).filter(|_| depth < 8) else { return Some(module) };
    let file = &files[&module];
    if defines(&file.code, item) {
        return Some(module);
    }
    let named = file.reexports.iter().find(|(name, _)| name == item);
    if let Some((_, target)) = named {
        return definition(target, files, depth + 1);
    }
    let globs = file.reexports.iter().filter(|(name, _)| name == "*");
    let through = globs.filter_map(|(_, target)| {
        let full: Module = target.iter().cloned().chain([item.clone()]).collect();
        let found = definition(&full, files, depth + 1)?;
        defines(&files[&found].code, item).then_some(found)
    });
    through.into_iter().next().or(Some(module))
}

/// The circles of a graph, each once: the shortest through its first node.
fn cycles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut cycles = Vec::new();
    let mut covered: BTreeSet<&String> = BTreeSet::new();
    for start in edges.keys() {
        if covered.contains(start) {
            continue;
        }
        let mut before: BTreeMap<&String, &String> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in edges.get(node).into_iter().flatten() {
                if !before.contains_key(next) {
                    before.insert(next, node);
                    queue.push_back(next);
                }
            }
        }
        if before.contains_key(start) {
            let mut cycle = vec![start.clone()];
            let mut node = before[start];
            while node != start {
                cycle.push(node.clone());
                covered.insert(node);
                node = before[node];
            }
            covered.insert(start);
            cycle.push(start.clone());
            cycle.reverse();
            cycles.push(cycle);
        }
    }
    cycles
}

#[test]
fn files_of_a_crate_import_each_other_in_one_direction_only() {
    let mut crates: BTreeMap<String, Vec<SourceFile>> = BTreeMap::new();
    for source in crate_files() {
        let root = source.path.split_once("src/").map_or("", |(root, _)| root).to_owned();
        // A binary imports its library by the name of the crate.
        if !source.path.ends_with("src/main.rs") {
            crates.entry(root).or_default().push(source);
        }
    }
    let mut found = Vec::new();
    for (root, sources) in crates.into_iter().filter(|(root, _)| !EXCEPT.contains(&root.as_str())) {
        let behind = |source: &SourceFile| module_of(source.path.trim_start_matches(root.as_str()).trim_start_matches("src/"));
        let modules: BTreeSet<Module> = sources.iter().map(behind).collect();
        let files: BTreeMap<Module, File> =
            sources.iter().map(|source| (behind(source), file(source, &behind(source), &modules))).collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in files.values() {
            let targets = file.imports.iter().filter_map(|import| definition(import, &files, 0));
            let paths = targets.map(|module| files[&module].path.clone()).filter(|target| *target != file.path);
            // What a folder of a tool shares may stand in its root.
            let paths = paths.filter(|target| !(root.starts_with("dev/") && (target.ends_with("/mod.rs") || target.ends_with("/lib.rs"))));
            edges.entry(file.path.clone()).or_default().extend(paths);
        }
        assert!(edges.values().any(|targets| !targets.is_empty()) || edges.len() < 2, "no import was found in {root}src");
        found.extend(cycles(&edges).into_iter().map(|cycle| cycle.join("\n    -> ")));
    }
    assert!(found.is_empty(), "{} circles of imports:\n{}", found.len(), found.join("\n"));
}

#[test]
fn imports_of_a_source_are_found() {
    let source = SourceFile {
        path: "src/a/mod.rs".to_owned(),
        code: "pub use b::{C, D as E};\nuse crate::{f::G, h::*};\nuse super::i;\nuse std::fmt;\nfn k() { super::l::m(); let s = \"crate::n\"; }"
            .to_owned(),
    };
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Module>();
    let modules = [path("a"), path("a::b")].into();
    let file = file(&source, &path("a"), &modules);
    assert_eq!(file.imports, ["a::b::C", "a::b::D", "f::G", "h", "i", "l::m"].map(path));
    assert_eq!(file.reexports, [("C".to_owned(), path("a::b::C")), ("E".to_owned(), path("a::b::D"))]);
}
