//! Fuzzing without a fuzzer: the corpus, then mutations of it, in an order that depends on the seed alone.
//!
//! `FUZZ_RUNS` says how many mutations, `FUZZ_SEED` which ones. `FUZZ_INPUT` names a file to play instead; the one that failed is kept,
//! and its name printed.

use std::{fs, path::PathBuf, str::FromStr, time::Instant};

const LONGEST: usize = 4_096;

/// `usual` is how many mutations take a few seconds in the dev profile.
pub fn play(name: &'static str, usual: u64, check: fn(&[u8])) {
    if let Ok(path) = std::env::var("FUZZ_INPUT") {
        check(&fs::read(path).expect("FUZZ_INPUT is a file"));
        return;
    }
    let (runs, seed) = (setting("FUZZ_RUNS", usual), setting("FUZZ_SEED", 1_u64));
    let corpus = corpus(name);
    let began = Instant::now();
    for input in &corpus {
        play_one(name, check, input);
    }
    for run in 0..runs {
        // Each input has a seed of its own, so that none depends on how many came before.
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(run));
        play_one(name, check, &mutation(&corpus, &mut chance));
    }
    let took = began.elapsed().as_secs_f64();
    println!("{name}: {} inputs of the corpus and {runs} mutations (FUZZ_SEED={seed}) in {took:.1} s", corpus.len());
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&dir).expect("the corpus is there").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn play_one(name: &'static str, check: fn(&[u8]), input: &[u8]) {
    let keep = KeepOnPanic { name, input };
    check(input);
    drop(keep);
}

struct KeepOnPanic<'a> {
    name: &'static str,
    input: &'a [u8],
}

impl Drop for KeepOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.name));
            let kept = fs::write(&path, self.input);
            eprintln!("play it again: FUZZ_INPUT={} cargo test --test fuzz {} ({kept:?})", path.display(), self.name);
        }
    }
}

fn mutation(corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let any = |chance: &mut Chance| if corpus.is_empty() { Vec::new() } else { corpus[chance.below(corpus.len())].clone() };
    let mut input = if chance.below(8) == 0 { chance.bytes(64) } else { any(chance) };
    for _ in 0..=chance.below(6) {
        let at = chance.below(input.len() + 1);
        let to = (at + 1 + chance.below(16)).min(input.len());
        match chance.below(8) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = chance.byte(),
            2 => {
                let new = chance.bytes(8);
                input.splice(at..at, new);
            }
            3 => drop(input.drain(at..to)),
            4 => {
                let twice = input[at..to].to_vec();
                input.splice(at..at, twice);
            }
            5 => input.truncate(at),
            6 => {
                let other = any(chance);
                let from = chance.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.extend(chance.bytes(24)),
        }
    }
    input.truncate(LONGEST);
    input
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..=self.below(most)).map(|_| self.byte()).collect()
    }
}
