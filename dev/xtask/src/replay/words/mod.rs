//! What the trace says, in words.

pub mod acts;
pub mod facts;
pub mod objects;
