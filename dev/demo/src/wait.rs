//! Waiting for a condition, while a watch shows what happens.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use controlplane::{Interrupt, Process};

use crate::cluster::Cluster;
use crate::operator::Operator;
use crate::{LOOK, NAMESPACE, say, write};

const WITHIN: &str = "--timeout=120s";
/// The last change reaches the watch and the waiting at about the same time.
const WATCH_LAGS: Duration = Duration::from_millis(500);

/// What is needed for waiting.
pub struct Wait<'a> {
    pub cluster: &'a Cluster,
    pub operator: &'a mut Operator,
    pub interrupt: &'a Interrupt,
}

impl Wait<'_> {
    /// Waits until this holds for all of these objects; false when it does not come to that in time. Prints what `watch` prints.
    pub fn until(&mut self, what: &str, objects: &[&str], watch: Option<Process>) -> Result<bool, Box<dyn Error>> {
        let condition = format!("--for={what}");
        let mut args = vec!["wait", &condition, WITHIN, "--namespace", NAMESPACE];
        args.extend(objects);
        let mut waiting = self.cluster.start(&args, "wait.log")?;
        let mut shown = watch.as_ref().map(|watch| File::open(watch.log_path())).transpose()?;
        let status = loop {
            show_more(shown.as_mut())?;
            if let Some(status) = waiting.exited() {
                break status;
            }
            self.interrupt.sleep(LOOK)?;
            self.operator.check()?;
        };
        if watch.is_some() {
            self.interrupt.sleep(WATCH_LAGS)?;
            show_more(shown.as_mut())?;
        }
        if !status.success() {
            say(waiting.log().trim_end());
        }
        Ok(status.success())
    }
}

/// Prints what has been written since the last time.
fn show_more(file: Option<&mut File>) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    if let Some(file) = file {
        file.read_to_end(&mut bytes)?;
    }
    if !bytes.is_empty() {
        write(&String::from_utf8_lossy(&bytes));
    }
    Ok(())
}
