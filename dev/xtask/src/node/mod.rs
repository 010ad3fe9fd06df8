//! `cargo xtask node`: the chart as it is shipped, with its image, on a real node; and plays, each of which says how long it took, what it has
//! cost, and what a person sees.
//!
//! The node is a set of namespaces with a process 1 of its own, in which this program runs again. To containerd, the kubelet and kube-proxy they
//! are a machine, and whatever they do there ends with process 1.

mod cluster;
mod configuration;
mod firewall;
mod ingredients;
mod namespaces;
mod orchestrators;
mod play;
mod plays;
mod prepare;
mod released;
mod stage;

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use controlplane::RunDir;

use self::ingredients::Previous;
pub use self::namespaces::CannotRunHere;
use self::play::Play;
use self::prepare::{Packed, prepare};
use self::stage::Stage;
use crate::bench::markdown_table;
use crate::documented_figures;
use crate::stop::Stop;

/// A failure that crosses threads.
type Failure = Box<dyn Error + Send + Sync>;

/// The name of the figures in the documentation.
const FIGURES: &str = "node";

#[derive(clap::Args)]
pub struct Args {
    /// Play only this. Repeatable; `--list` prints the names.
    #[arg(long, value_name = "NAME")]
    play: Vec<String>,
    /// Print the names of the plays instead of playing them.
    #[arg(long)]
    list: bool,
    /// Leave the node up until Ctrl-C, and print how to use it.
    #[arg(long)]
    keep: bool,
    /// Pack the operator as it is released. Otherwise it is built for development, which takes less time.
    #[arg(long)]
    release: bool,
    /// Pack this program instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["release", "write_docs"])]
    operator: Option<PathBuf>,
    /// The operator of the commit `--previous-commit`, for the plays of an upgrade, which are not played without it.
    #[arg(long, value_name = "FILE", requires = "previous_commit")]
    previous: Option<PathBuf>,
    /// The commit whose chart is upgraded from.
    #[arg(long, value_name = "COMMIT", requires = "previous")]
    previous_commit: Option<String>,
    /// Write the table into docs/node.md, too.
    #[arg(long, conflicts_with = "play")]
    write_docs: bool,
    /// The folder of the node, for this program inside it.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let plays = plays::named(&args.play, args.list || args.previous.is_some())?;
    if args.list {
        plays.iter().for_each(|play| println!("{}", play.name));
        return Ok(());
    }
    match &args.inside {
        None => outside(args, &plays),
        Some(folder) if namespaces::is_first_process() => namespaces::be_first_process(folder),
        Some(folder) => inside(args, &plays, folder),
    }
}

/// Prepares everything that takes long, or comes from elsewhere. Then the node begins, with this program in it.
fn outside(args: &Args, plays: &[Play]) -> Result<(), Box<dyn Error>> {
    namespaces::check()?;
    // Programs in namespaces have the same process ids, by which folders are named.
    let home = programs::home("node");
    fs::create_dir_all(&home)?;
    let only = File::create(home.join("in-use.lock"))?;
    only.try_lock().map_err(|_| "another `cargo xtask node` runs in this checkout")?;
    let stop = Stop::on_signals()?;
    let packed = match (&args.operator, args.release) {
        (Some(program), _) => Packed::Program(program.clone()),
        (None, true) => Packed::Release,
        (None, false) => Packed::Development,
    };
    let prepared = prepare(&packed, plays);
    // Whatever failed then failed because of that.
    stop.check()?;
    prepared?;
    if let (Some(program), Some(commit)) = (&args.previous, &args.previous_commit) {
        Previous::prepare(program, commit)?;
    }
    let folder = RunDir::create()?;
    let outcome = namespaces::run(folder.path(), args.keep, &stop);
    // Removes what the program inside has left, if it was killed.
    drop(RunDir::create()?);
    outcome
}

fn inside(args: &Args, plays: &[Play], folder: &Path) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let began = Instant::now();
    let stage = Stage::open(folder, &stop).map_err(|error| error.to_string())?;
    println!("the node is ready after {:.0} s", began.elapsed().as_secs_f64());
    let built = if args.release { "as released" } else { "built for development" };
    let header = markdown_table::header(built, args.operator.as_deref());
    let (table, broken) = play::play_all(plays, &stage);
    println!("{header}\n{table}\n{} plays in {:.0} s", plays.len(), began.elapsed().as_secs_f64());
    if args.write_docs && broken.is_empty() {
        documented_figures::write(FIGURES, &format!("{header}\n{table}"))?;
    }
    if args.keep {
        for broken in &broken {
            println!("broken: {broken}");
        }
        println!("the node is up until Ctrl-C");
        while stop.sleep(std::time::Duration::from_secs(1)).is_ok() {}
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// The figures that the documentation has, and lines that they have as long as the table is as it is now.
#[cfg(test)]
pub fn documented_heads() -> (&'static str, Vec<String>) {
    (FIGURES, play::table(Vec::new()).lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect())
}
