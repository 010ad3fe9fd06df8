//! What `cargo xtask chart` makes of the chart.

use std::process::Command;

use serde_json::Value;

use crate::{VERSION, repository, scratch, succeed};

const IMAGE: &str = "ghcr.io/example/nuvo-operator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const REPOSITORY: &str = "https://github.com/example/nuvo-operator";

fn pack(image: &str, to: &std::path::Path) -> Command {
    let mut command = Command::new(programs::release().unwrap().built().unwrap());
    command.current_dir(repository()).args(["chart", "--image", image, "--repository", REPOSITORY, "--to"]).arg(to);
    command.arg("--helm").arg(programs::helm().unwrap().built().unwrap());
    command
}

#[test]
fn packed_chart_installs_the_pushed_image_by_its_digest() {
    let folder = scratch("packed-chart");
    succeed(&mut pack(IMAGE, &folder));
    let package = folder.join(format!("nuvo-operator-{VERSION}.tgz"));
    let helm = |command: &str| succeed(controlplane::helm().unwrap().args(command.split(' ')).arg(&package));
    let rendered = helm("template nuvo --namespace nuvo-system");
    assert!(rendered.contains(&format!("image: \"{IMAGE}\"")), "{rendered}");
    let chart: Value = serde_yaml::from_str(&helm("show chart")).unwrap();
    assert_eq!((&chart["version"], &chart["appVersion"]), (&VERSION.into(), &VERSION.into()));
    assert_eq!((&chart["home"], &chart["sources"][0]), (&REPOSITORY.into(), &REPOSITORY.into()));
    let images: Value = serde_yaml::from_str(chart["annotations"]["artifacthub.io/images"].as_str().unwrap()).unwrap();
    assert_eq!(images[0]["image"], IMAGE);
    assert!(!helm("show values").contains("no public image"), "that is no longer true");
}

#[test]
fn image_without_digest_is_refused() {
    let folder = scratch("packed-chart-of-a-tag");
    let output = pack("ghcr.io/example/nuvo-operator:0.1.0", &folder).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("has no digest"), "{output:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
