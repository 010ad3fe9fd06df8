#!/usr/bin/env bash
# Lets libFuzzer look for inputs that reach new code: tests/fuzz/cover.sh <target> <seconds>. Needs nightly; what it finds goes to
# target/fuzz/<target>, what fails to target/fuzz/<target>.failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=$1 seconds=$2 found=target/fuzz/$1
mkdir -p "$found" "$found.failed"

# What `cargo bolero` sets. That builds every test of the package, and only this one is linked with libFuzzer; cargo builds the programs
# in any case, which lack it, too, and are not run.
export RUSTFLAGS='--cfg fuzzing --cfg fuzzing_libfuzzer -Cpasses=sancov-module -Clink-arg=-Wl,--unresolved-symbols=ignore-all'
for option in inline-8bit-counters level=4 pc-table trace-compares; do
    RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-$option"
done
export BOLERO_LIBFUZZER_ARGS="$found tests/fuzz/corpus/$target -artifact_prefix=$found.failed/ -max_len=2048 -max_total_time=$seconds"
export BOLERO_TEST_NAME=$target BOLERO_LIBTEST_HARNESS=1 BOLERO_FUZZER=libfuzzer
cargo +nightly test --package nuvo-operator --test fuzz --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir target/fuzz/build \
    -- "$target" --exact --nocapture --test-threads 1
