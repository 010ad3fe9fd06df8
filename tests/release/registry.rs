//! A release in a registry (`dev/cosign`).

use std::process::Command;

use crate::{repository, succeed};

#[test]
fn release_is_pushed_signed_verified_and_pulled() {
    let mut play = Command::new("go");
    // Go takes an earlier result for that of now, unless it counts, if only files outside of the module have changed.
    play.args(["test", "-count=1", "-v", "./..."]).current_dir(repository().join("dev/cosign"));
    play.env("NUVO_PACKER", programs::release().unwrap().built().unwrap());
    play.env("NUVO_HELM", programs::helm().unwrap().built().unwrap());
    let said = succeed(play.env("NUVO_OPERATOR", env!("CARGO_BIN_EXE_nuvo-operator")));
    assert!(said.contains("pushed, signed and verified"), "{said}");
}
