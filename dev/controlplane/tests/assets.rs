//! With `KUBEBUILDER_ASSETS` the programs in that folder are used, and nothing is built.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use controlplane::{ControlPlane, Options, Part, RunDir};

/// What setup-envtest puts into such a folder.
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// Set in the process that starts a control plane from the folder.
const IN_CHILD: &str = "CONTROLPLANE_TEST_CHILD";

#[test]
fn the_programs_in_the_folder_are_used_and_nothing_is_built() {
    if env::var_os(IN_CHILD).is_some() {
        let server = ControlPlane::start(Options::default()).unwrap();
        assert_eq!(server.kubectl(&["get", "--raw", "/readyz"]).unwrap(), "ok");
        let folder = env::var("KUBEBUILDER_ASSETS").unwrap();
        let program = |line: &[u8]| String::from_utf8_lossy(line).split('\0').next().map(str::to_owned);
        for part in [Part::Etcd, Part::ApiServer] {
            let line = fs::read(format!("/proc/{}/cmdline", server.pid(part).unwrap())).unwrap();
            assert_eq!(program(&line), Some(format!("{folder}/{}", part.name())));
        }
        assert_eq!(server.kubectl_command().get_program(), Path::new(&folder).join("kubectl").as_os_str());
        return;
    }
    let folder = RunDir::create().unwrap();
    let binary = controlplane::binary().unwrap();
    for name in PROGRAMS {
        symlink(&binary, folder.path().join(name)).unwrap();
    }
    // In a process of its own, because the variable is that of the process: without Go, and without what was built.
    let start = || {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "the_programs_in_the_folder_are_used_and_nothing_is_built", "--nocapture"]).env(IN_CHILD, "1");
        test.env("KUBEBUILDER_ASSETS", folder.path()).env("CARGO_TARGET_DIR", folder.path().join("target")).env("PATH", "/usr/bin:/bin");
        test.output().unwrap()
    };
    let output = start();
    assert!(output.status.success(), "{output:?}");
    assert!(!folder.path().join("target/controlplane/controlplane").exists());

    fs::remove_file(folder.path().join("kubectl")).unwrap();
    let output = start();
    assert!(String::from_utf8_lossy(&output.stderr).contains("KUBEBUILDER_ASSETS has no kubectl in"), "{output:?}");
}
