//! What `cargo xtask` runs first: it builds what a command needs, and becomes that command.
//!
//! For `archives`, `chart` and `image`, that is a program in Go, which packs them. For the demo it is a control plane and two programs, side by side. This one is compiled in a second, so they begin at once.

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use programs::cargo::{self, Profile};
use programs::cost::Part;
use programs::progress::Display;
use programs::{Cost, Progress};

const LOOK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let command = match args.split_first() {
        Some((command, options)) if command == "demo" => demo(options),
        Some((command, options)) if command == "archives" || command == "chart" || command == "image" => release(command, options),
        _ => program("xtask", &args),
    };
    // Returns only if there is no such program.
    let error = command.map_or_else(|error| error, |mut command| command.exec().into());
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn program(name: &str, args: &[OsString]) -> Result<Command, Box<dyn Error>> {
    let [path] = cargo::built([name], Profile::Dev)?;
    let mut command = Command::new(path);
    command.args(args);
    Ok(command)
}

/// A command of the program that packs releases. It is given what is built here.
fn release(name: &OsStr, options: &[OsString]) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(programs::release()?.built()?);
    command.arg(name);
    let has = |flag: &str| options.iter().any(|option| option.to_string_lossy().trim_start_matches('-').split('=').next() == Some(flag));
    if name == "chart" {
        command.arg("--helm").arg(programs::helm()?.built()?);
    }
    if name == "image" && !["operator", "help", "h"].into_iter().any(has) {
        let [operator] = cargo::built(["nuvo-operator"], Profile::Image)?;
        let architecture = if env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        command.arg(format!("--operator={architecture}={}", operator.display()));
    }
    command.args(options);
    Ok(command)
}

fn demo(options: &[OsString]) -> Result<Command, Box<dyn Error>> {
    if options.iter().any(|option| option != "--once") {
        // A question, or a mistake: nothing to wait minutes for.
        return program("demo", options);
    }
    let this = Part { name: "cargo xtask".to_owned(), cost: Cost::so_far() };
    let has_cluster = env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    let needs_go = !has_cluster && programs::assets().is_none();
    let in_go = Progress::new("control plane", "packages");
    let in_rust = [Progress::new("operator", "crates"), Progress::new("simulator", "crates")];
    let [operator, simulator] = &in_rust;
    let failure = OnceLock::new();
    let (control_plane, rust) = thread::scope(|scope| {
        let control_plane = scope.spawn(|| {
            let build = || programs::control_plane()?.build(&in_go, || {});
            needs_go.then(|| or_end_all(build(), &failure)).flatten().flatten()
        });
        let rust = scope.spawn(|| {
            // The operator first: it takes longest, and what both use is made on the way.
            let build = || {
                let ([program], cost) = cargo::build(["nuvo-operator"], Profile::Dev, operator, || {})?;
                Ok(((program, cost), cargo::build(["demo"], Profile::Dev, simulator, || {})?))
            };
            or_end_all(build(), &failure)
        });
        let mut display = Display::new();
        while !(control_plane.is_finished() && rust.is_finished()) {
            let control_plane = (needs_go && !control_plane.is_finished()).then_some(&in_go);
            let rust = in_rust.iter().find(|progress| !progress.is_complete()).filter(|_| !rust.is_finished());
            display.show(control_plane.into_iter().chain(rust));
            thread::sleep(LOOK);
        }
        display.clear();
        (control_plane.join().ok().flatten(), rust.join().ok().flatten())
    });
    let Some(((operator, operator_cost), ([demo], demo_cost))) = rust.filter(|_| failure.get().is_none()) else {
        return Err(failure.into_inner().map_or_else(|| "a build has panicked".into(), Into::into));
    };
    let costs = [("control plane", control_plane), ("operator", Some(operator_cost)), ("simulator, demo", Some(demo_cost))];
    let costs = costs.into_iter().filter_map(|(name, cost)| Some(Part { name: name.to_owned(), cost: cost? }));
    let mut command = Command::new(demo);
    command.args(options).arg("--operator").arg(operator);
    command.args(std::iter::once(this).chain(costs).map(|part| format!("--spent={part}")));
    Ok(command)
}

/// What was built. Without it the other builds would be for nothing: they end, and this is why.
fn or_end_all<T>(outcome: Result<T, programs::Error>, failure: &OnceLock<programs::Error>) -> Option<T> {
    outcome
        .map_err(|error| {
            // The first is the cause of what follows it.
            let _ = failure.set(error);
            programs::interrupt();
        })
        .ok()
}
