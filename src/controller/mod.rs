//! The shell: carries out what the core decides.

pub mod lock;
