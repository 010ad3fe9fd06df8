//! What a node is made of: programs that are built here, packages of Debian, and images.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use programs::{home, repository};

/// The container runtime, the plugins for the network of pods, and what kube-proxy and kube-router run, with the libraries that they are
/// linked with.
const PACKAGES: [&str; 22] = [
    "containerd",
    "containernetworking-plugins",
    "ipset",
    "iptables",
    "libbsd0",
    "libedit2",
    "libgmp10",
    "libip4tc2",
    "libip6tc2",
    "libipset13",
    "libjansson4",
    "libmd0",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftables1",
    "libnftnl11",
    "libseccomp2",
    "libtinfo6",
    "libxtables12",
    "nftables",
    "runc",
];

/// The folder of the chart in the repository.
pub const CHART: &str = "charts/nuvo-operator";

/// Where everything is.
pub struct Ingredients {
    /// kubelet, kube-proxy and kube-scheduler.
    pub node: PathBuf,
    pub coredns: PathBuf,
    /// The folder with the files of [`PACKAGES`].
    pub packages: PathBuf,
    /// Archives, which are imported instead of pulled.
    pub images: [PathBuf; 2],
}

impl Ingredients {
    /// Where it is, after [`super::prepare::prepare`].
    pub fn found() -> Result<Self, Box<dyn Error>> {
        let (node, coredns) = (programs::node()?.built()?, programs::coredns()?.built()?);
        let home = home("node");
        Ok(Self { node, coredns, packages: home.join("packages"), images: [home.join("pause.tar"), home.join("image/image.tar")] })
    }

    /// A program of a package, which finds the others and its libraries.
    pub fn packaged(&self, name: &str) -> Command {
        let mut command = Command::new(self.packages.join(name));
        self.environment(&mut command);
        command
    }

    /// Lets a command find what the packages have.
    pub fn environment(&self, command: &mut Command) {
        let [programs, administration] = ["usr/bin", "usr/sbin"].map(|folder| self.packages.join(folder));
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [programs, administration].into_iter().chain(env::split_paths(&path));
        // Not those of the C library, which is that of this machine.
        let libraries = ["usr/lib", "lib"].map(|folder| self.packages.join(folder).join(format!("{}-linux-gnu", env::consts::ARCH)));
        let joined = |paths: Vec<PathBuf>| env::join_paths(paths).unwrap_or_else(|_| OsString::new());
        command.env("PATH", joined(path.collect())).env("LD_LIBRARY_PATH", joined(libraries.to_vec()));
    }

    /// Downloads the packages, unless they are there.
    pub fn unpack(&self, packer: &Path) -> Result<(), Box<dyn Error>> {
        let stamp = self.packages.with_extension("stamp");
        let names = PACKAGES.join(",");
        if self.packages.is_dir() && fs::read_to_string(&stamp).is_ok_and(|found| found == names) {
            return Ok(());
        }
        programs::say("downloading the packages of Debian: once");
        let new = self.packages.with_extension("new");
        for left in [&new, &self.packages] {
            if left.is_dir() {
                fs::remove_dir_all(left)?;
            }
        }
        let arch = format!("--arch={}", debian_architecture());
        succeed(Command::new(packer).args(["packages", "--names", &names, &arch, "--to"]).arg(&new).current_dir(repository()))?;
        fs::rename(&new, &self.packages)?;
        fs::write(&stamp, names)?;
        Ok(())
    }
}

/// The release that is upgraded from.
pub struct Previous {
    pub chart: PathBuf,
    pub image: PathBuf,
}

impl Previous {
    /// Packs its operator, and takes its chart from the history.
    pub fn prepare(program: &Path, commit: &str) -> Result<(), Box<dyn Error>> {
        let previous = Self::found();
        let folder = home("node").join("previous");
        fs::create_dir_all(&folder)?;
        if previous.chart.is_dir() {
            fs::remove_dir_all(&previous.chart)?;
        }
        let archive = folder.join("chart.tar");
        let output = format!("--output={}", archive.display());
        succeed(Command::new("git").args(["archive", &output, commit, CHART]).current_dir(repository()))?;
        succeed(Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(&folder))?;
        pack(&programs::release()?.built()?, program, &folder)
    }

    /// Where it is, after [`Previous::prepare`].
    pub fn found() -> Self {
        let folder = home("node").join("previous");
        Self { chart: folder.join(CHART), image: folder.join("image.tar") }
    }
}

/// An image with this program at this path, with this name.
pub fn pack_program(packer: &Path, program: &Path, at: &str, name: &str, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut pack = Command::new(packer);
    pack.args(["program", "--at", at, "--name", name, "--program"]).arg(program).arg("--to").arg(to);
    succeed(pack.current_dir(repository()))
}

/// The image of this operator, and what is told of it.
pub fn pack(packer: &Path, program: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let operator = format!("--operator={}={}", debian_architecture(), program.display());
    succeed(Command::new(packer).args(["image", &operator, "--to"]).arg(to).current_dir(repository()))
}

/// The architecture of this machine, as Debian, Go and registries call it.
pub fn debian_architecture() -> &'static str {
    if env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

/// Runs it to its end.
pub fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim()).into())
}
