//! What is published of a release, and a registry that it is published in.

use std::env;
use std::error::Error;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use controlplane::Process;
use programs::{home, repository};

use super::Failure;
use super::cluster::output;
use super::configuration::{ADDRESS, REGISTRY, REGISTRY_PORT};
use super::ingredients::{debian_architecture, succeed};
use super::stage::Stage;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SOURCE: &str = "https://git.example/nuvo-operator";
/// Their names in the registry.
const IMAGE: &str = "nuvo/nuvo-operator";
const CHARTS: &str = "nuvo/charts";

/// The files, and the programs that publish and install them.
pub struct Released {
    folder: PathBuf,
    image: PathBuf,
    /// Of the image.
    pub digest: String,
    cosign: PathBuf,
    krew: PathBuf,
}

impl Released {
    /// Packs all for the image that is packed already.
    pub fn prepare(packer: &Path, plugin: &Path) -> Result<(), Box<dyn Error>> {
        let released = Self::found()?;
        let folder = &released.folder;
        if folder.is_dir() {
            fs::remove_dir_all(folder)?;
        }
        let platform = folder.join(format!("programs/linux_{}", debian_architecture()));
        fs::create_dir_all(&platform)?;
        fs::copy(plugin, platform.join("kubectl-nuvo"))?;
        let mut chart = Command::new(packer);
        chart.args(["chart", "--repository", SOURCE, "--image", &released.image_name()]).arg("--to").arg(folder);
        succeed(chart.arg("--helm").arg(programs::helm()?.built()?).current_dir(repository()))?;
        let mut archives = Command::new(packer);
        archives.args(["archives", "--partial", "--repository", SOURCE, "--from"]).arg(folder.join("programs"));
        succeed(archives.arg("--to").arg(folder).current_dir(repository()))
    }

    /// Where all is, after [`Released::prepare`].
    pub fn found() -> Result<Self, Box<dyn Error>> {
        let image = home("node").join("image");
        let digest = fs::read_to_string(image.join("digest"))?.trim().to_owned();
        let (cosign, krew) = (programs::cosign()?.built()?, programs::krew()?.built()?);
        Ok(Self { folder: home("node").join("release"), image: image.join("image.tar"), digest, cosign, krew })
    }

    /// The image, as the chart names it.
    pub fn image_name(&self) -> String {
        format!("{REGISTRY}/{IMAGE}@{}", self.digest)
    }

    /// An empty registry, which the node can pull from.
    pub fn registry(&self, stage: &Stage) -> Result<Process, Failure> {
        let mut command = Command::new(&self.cosign);
        command.args(["registry", &format!("0.0.0.0:{REGISTRY_PORT}")]);
        let registry = stage.cluster.spawn("registry", command)?;
        stage.until("the registry listens", || Ok(TcpStream::connect((ADDRESS, REGISTRY_PORT)).is_ok()))?;
        Ok(registry)
    }

    /// Publishes image and chart, each of which is refused as long as it is not signed. The name by which Helm installs the chart.
    pub fn publish(&self, stage: &Stage) -> Result<String, Failure> {
        let folder = stage.cluster.control_plane.folder();
        let [owner, stranger] = ["owner", "stranger"].map(|name| folder.join(name));
        for key in [&owner, &stranger] {
            self.cosign("key", &[&key.display().to_string()])?;
        }
        let image = registry(IMAGE);
        self.cosign("push", &[&self.image.display().to_string(), &format!("{image}:{VERSION}")])?;
        let package = self.folder.join(format!("nuvo-operator-{VERSION}.tgz")).display().to_string();
        let charts = format!("oci://{}", registry(CHARTS));
        let mut helm = controlplane::helm()?;
        let said = both(helm.args(["push", "--plain-http", &package, &charts]))?;
        let digest = said.split_once("Digest: ").and_then(|(_, rest)| rest.split_whitespace().next()).ok_or("Helm has said no digest")?;
        let chart = registry(&format!("{CHARTS}/nuvo-operator"));
        for signed in [format!("{image}@{}", self.digest), format!("{chart}@{digest}")] {
            let verified = |key: &Path| self.cosign("verify", &[&format!("{}.pub", key.display()), &signed]);
            if verified(&owner).is_ok() {
                return Err(format!("{signed} is verified without a signature").into());
            }
            self.cosign("sign", &[&owner.display().to_string(), &signed])?;
            verified(&owner)?;
            if verified(&stranger).is_ok() {
                return Err(format!("{signed} is verified with another key").into());
            }
        }
        Ok(format!("{charts}/nuvo-operator"))
    }

    /// Installs the plugin as `kubectl krew install` does, with its manifest and its archive. What it says.
    pub fn plugin(&self, stage: &Stage, arguments: &[&str]) -> Result<String, Failure> {
        let root = stage.cluster.control_plane.folder().join("krew");
        let archive = format!("kubectl-nuvo_{VERSION}_linux_{}.tar.gz", debian_architecture());
        let mut install = Command::new(&self.krew);
        install.args(["install", "--manifest"]).arg(self.folder.join("nuvo.yaml")).arg("--archive").arg(self.folder.join(archive));
        output(install.env("KREW_ROOT", &root).stdin(Stdio::null()))?;
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([root.join("bin")].into_iter().chain(env::split_paths(&path)))?;
        output(stage.cluster.control_plane.kubectl_command().env("PATH", path).arg("nuvo").args(arguments))
    }

    fn cosign(&self, command: &str, arguments: &[&str]) -> Result<String, Failure> {
        output(Command::new(&self.cosign).arg(command).args(arguments).stdin(Stdio::null()))
    }
}

/// A name in the registry for those who are on the node.
fn registry(name: &str) -> String {
    format!("127.0.0.1:{REGISTRY_PORT}/{name}")
}

/// What a command says on both of its outputs.
fn both(command: &mut Command) -> Result<String, Failure> {
    let said = command.output()?;
    let text = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if said.status.success() { Ok(text) } else { Err(format!("{command:?}: {}", text.trim()).into()) }
}
