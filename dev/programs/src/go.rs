//! Programs that are built here from Go modules: once, however many processes ask for them, and again when their sources change.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use crate::child::{POLL, check_interrupted, wait};
use crate::module::{Link, with_link};
use crate::progress::{Display, Progress};
use crate::{Context, Cost, Error, repository, say};

/// The flags of every build. `.ci/run` has them, too, so that what `go vet` compiles is there for the builds.
/// Debug information is an eighth of the work, and the linker would throw it away.
const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"];
/// The compilers live for a second each: collecting their garbage is a good part of the work of a first build. The limit is
/// for each process.
const COLLECTOR: [(&str, &str); 2] = [("GOGC", "off"), ("GOMEMLIMIT", "1GiB")];
const ERROR_LINES: usize = 20;
/// The folder in a module with the files that can be used instead of its go.mod.
const VARIANTS: &str = "versions";

/// The folder of everything that is built or run here, for one of these programs.
pub fn home(program: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    target.unwrap_or_else(|| repository().join("target")).join(program)
}

/// What a program is made of.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name of the program, and of its folder.
    pub(crate) name: &'static str,
    /// What a person calls it.
    pub(crate) title: &'static str,
    /// How long the first build takes on two cores, in words.
    pub(crate) first_build: &'static str,
    /// What to do where there is no Go.
    pub(crate) without_go: &'static str,
    /// The folder of its go.mod.
    pub(crate) module: PathBuf,
    /// The package of its main function.
    pub(crate) package: &'static str,
    /// The build tags.
    pub(crate) tags: &'static str,
    /// The version that it cannot know by itself.
    pub(crate) version: [&'static str; 3],
    /// The name of the file in `versions/` that is used instead of go.mod. What is built from it is beside what is built from go.mod.
    pub(crate) variant: Option<&'static str>,
    /// What its module lacks.
    pub(crate) link: Option<Link>,
    /// How it is told the version.
    pub(crate) ldflags: fn([&str; 3]) -> String,
}

/// A program, whether it is there or not.
#[derive(Debug)]
pub struct Program {
    source: Source,
    home: PathBuf,
    binary: PathBuf,
    /// Says from which sources the program was built.
    stamp: PathBuf,
    /// What the stamp of the sources here is.
    wanted: String,
}

impl Program {
    pub(crate) fn new(source: Source) -> Result<Self, Error> {
        let home = home(&source.folder());
        fs::create_dir_all(&home).context(|| format!("creating {}", home.display()))?;
        let home = home.canonicalize().context(|| format!("finding {}", home.display()))?;
        let stamp = home.join(format!("{}.stamp", source.name));
        Ok(Self { binary: home.join(source.name), stamp, wanted: source.fingerprint()?, home, source })
    }

    /// Its path, if it is there and as new as its sources.
    pub fn current(&self) -> Option<&Path> {
        let current = self.binary.is_file() && fs::read_to_string(&self.stamp).is_ok_and(|found| found == self.wanted);
        current.then_some(&*self.binary)
    }

    /// Its path, after it was built if that is needed: once, however many processes ask for it. Says on standard error how far it is.
    pub fn built(self) -> Result<PathBuf, Error> {
        let progress = Progress::new(self.source.title, "packages");
        let mut display = Display::among_others();
        let outcome = self.build(&progress, || display.show([&progress]));
        outcome.map(|_| self.binary)
    }

    /// Builds it if that is needed. What that has cost, if this process has done it. Calls `look` now and then.
    pub fn build(&self, progress: &Progress, mut look: impl FnMut()) -> Result<Option<Cost>, Error> {
        if self.current().is_some() {
            return Ok(None);
        }
        let path = self.home.join("build.lock");
        let lock = File::create(&path).context(|| format!("opening {}", path.display()))?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        say(&format!("waiting for another process that builds {}", self.source.title));
                        told = true;
                    }
                    check_interrupted()?;
                    thread::sleep(POLL);
                }
                Err(TryLockError::Error(error)) => return Err(Error::new(format!("locking {}: {error}", path.display()))),
            }
        }
        if self.current().is_some() {
            return Ok(None);
        }
        say(&format!("building {}: once, {} on two cores", self.source.title, self.source.first_build));
        // A stamp is only beside what it was written for.
        let _ = fs::remove_file(&self.stamp);
        // Go leaves its files when it is interrupted, and what was killed could not remove them.
        let temporary = self.home.join("go-build");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary).context(|| format!("creating {}", temporary.display()))?;
        let outcome = self.compile(&temporary, progress, &mut look);
        let _ = fs::remove_dir_all(&temporary);
        let cost = outcome?;
        fs::write(&self.stamp, &self.wanted).context(|| format!("writing {}", self.stamp.display()))?;
        Ok(Some(cost))
    }

    fn compile(&self, temporary: &Path, progress: &Progress, look: &mut impl FnMut()) -> Result<Cost, Error> {
        let Source { name, title, package, tags, version, ldflags, .. } = &self.source;
        let module_file = match &self.source.link {
            None => self.source.module_file(),
            Some(link) => Some(format!("-modfile={}", with_link(&self.source.module, link, &self.home)?.display())),
        };
        let ldflags = format!("-s -w {}", ldflags(*version));
        let unfinished = self.home.join(format!("{name}.new"));
        let mut build = self.go("build");
        // It names each package as it compiles it. Into a pipe, whose end also ends go when this process is killed.
        build.arg("-v").args(FLAGS).args(&module_file).args(["-ldflags", &ldflags, "-o"]).arg(&unfinished).args(["-tags", tags, package]);
        let mut build = self.spawn(build.env("GOTMPDIR", temporary).stderr(Stdio::piped()))?;
        let mut list = self.go("list");
        list.arg("-deps").args(&module_file).args(["-tags", tags, package]);
        let mut list = self.spawn(list.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let stderr = build.stderr.take();
        let stdout = list.stdout.take();
        let (outcome, said) = thread::scope(|scope| {
            // What is in Go's cache already is counted here and never named, so the end may come before this total.
            scope.spawn(|| progress.set_total(stdout.map(|lines| BufReader::new(lines).lines().count()).unwrap_or_default()));
            let said = scope.spawn(|| follow(stderr, progress));
            let outcome = wait(&mut build, "go", look);
            (outcome, said.join().unwrap_or_default())
        });
        let listed = wait(&mut list, "go", || {});
        let (status, cost) = outcome?;
        listed?;
        if !status.success() {
            let skipped = said.len().saturating_sub(ERROR_LINES);
            let said: Vec<_> = said.into_iter().skip(skipped).collect();
            return Err(Error::new(format!("building {title}: go ended with {status}:\n{}", said.join("\n"))));
        }
        fs::rename(&unfinished, &self.binary).context(|| format!("renaming {}", unfinished.display()))?;
        Ok(cost)
    }

    fn go(&self, command: &str) -> Command {
        let mut go = Command::new("go");
        go.arg(command).current_dir(&self.source.module).env("CGO_ENABLED", "0").stdin(Stdio::null()).stdout(Stdio::null());
        if env::var_os("GOGC").is_none() {
            go.envs(COLLECTOR);
        }
        go
    }

    fn spawn(&self, go: &mut Command) -> Result<Child, Error> {
        let Source { title, without_go, .. } = &self.source;
        go.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(format!(
                "{title} is built with Go, and there is no `go` in PATH: install Go 1.26 or newer (https://go.dev/dl), which downloads \
                 its modules once{without_go}"
            )),
            _ => Error::new(format!("starting go: {error}")),
        })
    }
}

/// Reads what go says to its end: counts the packages, and returns the rest.
fn follow(stderr: Option<ChildStderr>, progress: &Progress) -> Vec<String> {
    let mut said = Vec::new();
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
        // The path of a package has no spaces, and nearly nothing else that go says has none.
        if line.contains(' ') {
            said.push(line);
        } else {
            progress.advance();
        }
    }
    said
}

impl Source {
    /// The name of its folder.
    fn folder(&self) -> String {
        self.variant.map_or_else(|| self.name.to_owned(), |variant| format!("{}-{variant}", self.name))
    }

    /// The flag that has Go use another file than go.mod.
    fn module_file(&self) -> Option<String> {
        self.variant.map(|variant| format!("-modfile={VARIANTS}/{variant}.mod"))
    }

    /// Changes when the Go sources change.
    fn fingerprint(&self) -> Result<String, Error> {
        let mut paths = Vec::new();
        go_files(&self.module, &mut paths)?;
        let variants = self.module.join(VARIANTS);
        paths.retain(|path| !path.starts_with(&variants) || path.file_stem().and_then(OsStr::to_str) == self.variant);
        paths.sort();
        let mut hasher = DefaultHasher::new();
        self.version.hash(&mut hasher);
        self.link.hash(&mut hasher);
        FLAGS.hash(&mut hasher);
        for path in paths {
            path.strip_prefix(&self.module).unwrap_or(&path).hash(&mut hasher);
            let mut file = File::open(&path).context(|| format!("opening {}", path.display()))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).context(|| format!("reading {}", path.display()))?;
            bytes.hash(&mut hasher);
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }
}

fn go_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).context(|| format!("reading {}", folder.display()))? {
        let path = entry.context(|| format!("reading {}", folder.display()))?.path();
        if path.is_dir() {
            go_files(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "go" || end == "mod" || end == "sum") {
            found.push(path);
        }
    }
    Ok(())
}
