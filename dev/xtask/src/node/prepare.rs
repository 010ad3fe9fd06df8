//! What is built, downloaded and packed before the node begins.

use std::error::Error;
use std::path::{Path, PathBuf};

use programs::cargo::{self, Profile};

use super::configuration::PAUSE;
use super::ingredients::{Ingredients, pack, pack_program};
use super::play::{Needs, Play};
use super::released::Released;

/// Which operator is in the image.
pub enum Packed {
    Program(PathBuf),
    Release,
    Development,
}

/// Builds, downloads and packs what is missing. Says on standard error how far it is.
pub fn prepare(packed: &Packed, plays: &[Play]) -> Result<(), Box<dyn Error>> {
    // The servers, kubectl and Helm, which are built where they are used; inside it is late for that.
    programs::control_plane()?.built()?;
    programs::controller_manager()?.built()?;
    programs::helm()?.built()?;
    let all = Ingredients::found()?;
    let packer = programs::release()?.built()?;
    all.unpack(&packer)?;
    let [pause, operator] = &all.images;
    pack_program(&packer, &programs::pause()?.built()?, "/pause", PAUSE, pause)?;
    let program = match packed {
        Packed::Program(program) => program.clone(),
        Packed::Release => built("nuvo-operator", Profile::Image)?,
        Packed::Development => built("nuvo-operator", Profile::Dev)?,
    };
    let folder = operator.parent().unwrap_or(Path::new("."));
    pack(&packer, &program, folder)?;
    let profile = if matches!(packed, Packed::Release) { Profile::Image } else { Profile::Dev };
    let plugin = || built("kubectl-nuvo", profile);
    for play in plays {
        match play.needs {
            Needs::Nothing | Needs::Previous => {}
            Needs::Release => Released::prepare(&packer, &plugin()?)?,
            Needs::Firewall => programs::kube_router()?.built().map(drop)?,
            Needs::Orchestrator(orchestrator) => orchestrator.prepare(&packer, plugin)?,
        }
    }
    Ok(())
}

fn built(program: &'static str, profile: Profile) -> Result<PathBuf, Box<dyn Error>> {
    let [program] = cargo::built([program], profile)?;
    Ok(program)
}
