//! The namespaces of the node, and the process 1 in them.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{WaitOptions, geteuid, wait};

use super::configuration::{self, ADDRESS, HOME, NODE, SERVICES};
use crate::stop::Stop;

/// The control groups of all nodes begin like this.
const GROUPS: &str = "nuvo-node-";
const MOUNTED_GROUPS: &str = "/sys/fs/cgroup";
/// Which namespaces the node has of its own.
const NAMESPACES: [&str; 4] = ["--mount", "--net", "--pid", "--uts"];
/// How long the program inside may take to end what it has started, and the kernel to let go of a control group.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// Set in the process that is not process 1.
const SECOND: &str = "NUVO_NODE_INSIDE";

/// A node cannot run here, and why.
#[derive(Debug)]
pub struct CannotRunHere(String);

impl CannotRunHere {
    /// The exit code, by which a script knows that nothing was tested: that of a skipped test in many tools.
    pub const EXIT_CODE: u8 = 77;
}

impl fmt::Display for CannotRunHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a node cannot run here: {}", self.0)
    }
}

impl Error for CannotRunHere {}

/// Fails where no node can run.
pub fn check() -> Result<(), CannotRunHere> {
    if !cfg!(target_os = "linux") {
        return Err(CannotRunHere("this is not Linux".to_owned()));
    }
    if !geteuid().is_root() {
        return Err(CannotRunHere("it needs root, for namespaces, mounts and control groups".to_owned()));
    }
    for (program, package) in [("setpriv", "util-linux"), ("unshare", "util-linux"), ("mount", "mount"), ("ip", "iproute2")] {
        if Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(CannotRunHere(format!("there is no `{program}` (package {package})")));
        }
    }
    // That one mounts something is the test: some sandboxes give namespaces in which that is refused.
    let tried = unshare().args(["mount", "-t", "tmpfs", "tmpfs", "/run"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(CannotRunHere(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(CannotRunHere(format!("unshare: {error}"))),
    }
}

/// The beginning of a command that runs as process 1 of new namespaces, and ends with this process.
fn unshare() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare"]).args(NAMESPACES);
    command.args(["--propagation", "private", "--fork", "--kill-child", "--"]).stdin(Stdio::null());
    command
}

/// Runs this program inside, and cleans up, however that ends.
pub fn run(folder: &Path, keep: bool, stop: &Stop) -> Result<(), Box<dyn Error>> {
    remove_left_groups();
    let mut command = unshare();
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).arg("--inside").arg(folder);
    let mut child = command.spawn()?;
    if keep {
        println!("to use the node from another terminal:\n  {}", how_to_enter(child.id(), folder));
    }
    let outcome = wait_or_end(&mut child, stop);
    remove_group(&group(folder));
    let status = outcome?;
    stop.check()?;
    if status.success() { Ok(()) } else { Err("not all plays went as they must: see above".into()) }
}

fn wait_or_end(child: &mut Child, stop: &Stop) -> io::Result<ExitStatus> {
    let mut asked = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match asked {
            // Ctrl-C reaches the program inside by itself: it has the same terminal. Other signals do not.
            None if stop.check().is_err() => asked = Some(Instant::now()),
            Some(since) if Instant::now().duration_since(since) > ENDS_WITHIN => {
                child.kill()?;
                return child.wait();
            }
            Some(_) => std::thread::sleep(LOOK),
            None => _ = stop.sleep(LOOK),
        }
    }
}

/// The command that a person runs.
fn how_to_enter(unshare: u32, folder: &Path) -> String {
    // It may take some milliseconds until there is a child.
    let children = PathBuf::from(format!("/proc/{unshare}/task/{unshare}/children"));
    let mut first = String::new();
    for _ in 0..50 {
        first = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        if !first.is_empty() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let kubeconfig = folder.join(configuration::ADMIN_KUBECONFIG);
    let kubectl = programs::home("controlplane").join("controlplane");
    format!(
        "nsenter --target {first} {} -- {} kubectl --kubeconfig {} get pods --all-namespaces",
        NAMESPACES.join(" "),
        kubectl.display(),
        kubeconfig.display()
    )
}

/// The control group of the node with this folder.
pub fn group(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{GROUPS}{name}")
}

/// The folders in which control groups can be made: one for each hierarchy of version 1, or the one of version 2.
pub fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(MOUNTED_GROUPS);
    if root.join("cgroup.controllers").is_file() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").is_file()).collect()
}

/// Removes the group of a node that has ended, in all hierarchies.
fn remove_group(name: &str) {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        // The last process leaves it a moment after its end.
        let began = Instant::now();
        while group.is_dir() && began.elapsed() < ENDS_WITHIN {
            remove_empty(&group);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Removes the groups of nodes whose command was killed, and could not do it.
fn remove_left_groups() {
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove_empty(&entry.path());
            }
        }
    }
}

/// The id of the process that has made the folder of the node with this group.
fn owner(group: &str) -> Option<&str> {
    group.strip_prefix(GROUPS)?.strip_prefix("run-")?.split('-').next()
}

/// Removes a group with those in it, as far as they have no processes.
fn remove_empty(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// Whether this is process 1 of the namespaces.
pub fn is_first_process() -> bool {
    process::id() == 1 && std::env::var_os(SECOND).is_none()
}

/// Makes the namespaces a machine, runs this program in it, and takes in the processes that have lost their parents. The end of this is the end
/// of everything inside.
pub fn be_first_process(folder: &Path) -> Result<(), Box<dyn Error>> {
    prepare(folder)?;
    let second = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(SECOND, "1").spawn()?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(second.id()) => {
                process::exit(status.exit_status().unwrap_or(1));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn prepare(folder: &Path) -> Result<(), Box<dyn Error>> {
    mount(&["-t", "proc", "proc", "/proc"])?;
    mount(&["-t", "tmpfs", "tmpfs", "/run"])?;
    fs::create_dir_all("/run/lock")?;
    // Short, because addresses of sockets are, and the same on every machine.
    bind(folder, Path::new(HOME))?;
    let logs = folder.join("var-log");
    bind(&logs, Path::new("/var/log"))?;
    // The kubelet writes there, wherever its folder is: into a layer that is not the machine's.
    let [above, work] = ["var-lib", "var-lib-work"].map(|name| folder.join(name));
    fs::create_dir_all(&above)?;
    fs::create_dir_all(&work)?;
    let layers = format!("lowerdir=/var/lib,upperdir={},workdir={}", above.display(), work.display());
    mount(&["-t", "overlay", "overlay", "-o", &layers, "/var/lib"])?;
    // What the kubelet sets is set for the whole machine. So it finds it as it wants it, in files of its own.
    for (name, value) in configuration::KERNEL {
        let file = folder.join(format!("kernel/{}", name.replace('/', ".")));
        write(&file, value)?;
        bind(&file, &Path::new("/proc/sys").join(name))?;
    }
    mount(&["--make-rshared", "/"])?;
    fs::write("/proc/sys/kernel/hostname", NODE)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let address = format!("{ADDRESS}/24");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "node0", "type", "bridge"],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        // There is no default route, by which the node would reach Services.
        &["route", "add", SERVICES, "dev", "node0"],
    ] {
        succeed(Command::new("ip").args(arguments))?;
    }
    make_groups(&group(folder))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

/// The kubelet makes no root of its groups.
fn make_groups(name: &str) -> Result<(), Box<dyn Error>> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group)?;
        // In version 1, an empty one admits no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(hierarchy.join(file)) {
                fs::write(group.join(file), all)?;
            }
        }
    }
    Ok(())
}

fn mount(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    succeed(Command::new("mount").args(arguments))
}

/// Shows one file or folder at the place of another.
fn bind(what: &Path, at: &Path) -> Result<(), Box<dyn Error>> {
    if !what.is_file() {
        fs::create_dir_all(what)?;
        fs::create_dir_all(at)?;
    }
    succeed(Command::new("mount").arg("--bind").args([what, at]))
}

fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_of_a_group_is_the_process_in_the_name_of_its_folder() {
        let name = group(Path::new("/target/controlplane/run-4711-0"));
        assert_eq!((name.as_str(), owner(&name)), ("nuvo-node-run-4711-0", Some("4711")));
        assert_eq!(owner("kubepods"), None);
    }
}
