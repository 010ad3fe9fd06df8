//! Which worlds are the same.
//!
//! The runs are alike, so are the processes, and nonces and versions are compared but mean nothing: of two worlds that differ only in
//! such names, one is enough. So a world is known by its form, in which names are numbers in the order in which they first occur. The form
//! of each part is found once, when it is made.

use std::{
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// The names of the runs. Their nonces are these and a number.
pub const RUN_NAMES: [&str; 2] = ["A", "B"];
/// The versions of the runs are these and a number.
pub const RUN_VERSIONS: [&str; 2] = ["V", "W"];
/// The versions of the locks are these and a number.
pub const LOCK_VERSIONS: [&str; 2] = ["L", "M"];

/// Takes one more word into a fingerprint.
const fn mix(print: u64, word: u64) -> u64 {
    let mixed = (print ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// The names that occur in a text that begins with one, and what follows it; an id is a nonce and more.
fn split_name(text: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = text.split_first()?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at(digits);
    let is_name = b"ABVWLM".contains(first) && rest.first().is_none_or(|byte| *byte == b'-');
    let name = || number.iter().fold(u64::from(*first), |name, digit| name << 8 | u64::from(*digit));
    is_name.then(|| (name(), rest))
}

/// A fingerprint of a form, and the names in it.
#[derive(Debug, Default)]
pub struct Form {
    print: u64,
    names: Vec<u64>,
}

impl Form {
    fn name(&mut self, name: u64) {
        let number = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.print = mix(self.print, number as u64);
    }

    /// Takes in a part.
    pub fn take<T>(&mut self, part: &Shared<T>) {
        self.print = mix(self.print, part.0.1.print);
        for name in &part.0.1.names {
            self.name(*name);
        }
    }
}

impl Hasher for Form {
    fn write(&mut self, text: &[u8]) {
        let is_hash = usize::from(text.starts_with(b"h"));
        let rest = match split_name(text.get(is_hash..).unwrap_or_default()) {
            Some((name, rest)) => {
                self.print = mix(self.print, is_hash as u64 + 1);
                self.name(name);
                rest
            }
            None => text,
        };
        for chunk in rest.chunks(8) {
            self.print = mix(self.print, chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    // A number is no text, so it is no name.
    fn write_u8(&mut self, number: u8) {
        self.print = mix(self.print, number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.print = mix(self.print, number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.print = mix(self.print, number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.print = mix(self.print, number);
    }

    fn write_usize(&mut self, number: usize) {
        self.print = mix(self.print, number as u64);
    }

    fn finish(&self) -> u64 {
        self.print
    }
}

/// A part of the world that many worlds share.
#[derive(Debug)]
pub struct Shared<T>(Arc<(T, Form)>);

impl<T: Hash> Shared<T> {
    /// Finds its form.
    pub fn new(part: T) -> Self {
        let mut form = Form::default();
        part.hash(&mut form);
        Self(Arc::new((part, form)))
    }

    /// Changes it in this world only.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        let mut part = self.0.0.clone();
        let result = change(&mut part);
        *self = Self::new(part);
        result
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}
