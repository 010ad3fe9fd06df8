//! `cargo xtask replay`: feeds a saved run and its lock to the core, and prints act by act what the operator would do, and why.
//!
//! Nothing is sent anywhere: reads are answered from the file, and writes change copies in memory.

mod driver;
mod file;
mod memory;
mod trace;
mod words;
mod world;

use std::{error::Error, fs, path::PathBuf};

use self::file::Case;

/// Shows what the operator does with a saved run, act by act, and why.
///
/// Nothing is sent to a cluster or to nuvo. Times of the protocol are the operator's defaults.
#[derive(clap::Args)]
#[command(after_long_help = FORMAT)]
pub struct Args {
    /// YAML documents or JSON: PipelineRuns, a Lease, a NuvoAccount, a Replay.
    file: PathBuf,
}

/// The format of the file.
const FORMAT: &str = "\
FILE
  Objects as `kubectl get ... -o yaml` prints them: several documents, or a List.
    PipelineRun   The first one is replayed. Others are runs of the same pipeline, such as the one that holds the lock.
                  A holder that is not in the file counts as deleted.
    Lease         The pipeline's lock, at most one. Without it no lock exists.
    NuvoAccount   The account of the run. Without it the account is ready.
    Replay        What no object says. Every field is optional:

  apiVersion: nuvo.dev/replay
  kind: Replay
  now: 2026-01-01T00:00:00Z      # default: the newest time in the file
  run: nightly-1                 # the PipelineRun to replay; default: the first
  passes: 3                      # default: 1; the clock moves on to the time at which the run is looked at again
  deleted: true                  # the run was deleted, and the file has its last state
  uptimeSeconds: 3600            # how long the operator has been running; default: a day
  memory:                        # what the operator remembers; default: nothing, as after a restart
    doubtSeconds: 400            # it has known for so long that the trigger is in doubt
    lastLook: {seconds: 20, ids: [e1]}  # what its last look at nuvo's list could attribute to the run, so long ago
    quarantineSeconds: 900       # it has waited so long for the lock holder's trigger to take effect
    waitingSeconds: 10           # the run has waited so long for another run
    overdueSeconds: 60           # the deadline passed so long ago
    heldOffSeconds: 30           # no trigger for so long
    failures: 2                  # passes in a row that failed
    awaited: true                # another run waits for the lock
    lockPendingRelease: true     # the run ends, and may have the lock to give back
  list:                          # nuvo's list of executions, each from when it was created; default: empty
    - {id: e1, created: 2026-01-01T00:00:00Z}  # also: manual, byUs (both true by default); hash (as a lock's baseline has it)
  listUnavailable: true          # nuvo gives no list
  executions: [{id: e1, status: SUCCESSFUL}]   # what nuvo reports, in the form of status.executions
  postOutcome: unknown           # or refused, or {accepted: [e1]}, or {tryAgainAfterSeconds: 30}
                                 # default: the replay stops before the POST";

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(&args.file).map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let case = Case::parse(&text).map_err(|error| format!("{}: {error}", args.file.display()))?;
    print!("{}", driver::replay(case));
    Ok(())
}
