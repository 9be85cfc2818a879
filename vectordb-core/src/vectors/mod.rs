//! Rows of vectors: how they are encoded, where they lie, and how they are scored.
//!
//! A representation is data, not a type: bytes, a stride and a kernel chosen when a query begins.
//!
//! Files: `space` (dimensions, metric and element type of a field), `rows` (where rows lie), `scorer` (a query over rows),
//! `blend` (a query of several vectors).

mod blend;
mod rows;
mod scorer;
mod space;

pub(crate) use blend::{Asked, Combine, Probe};
pub(crate) use rows::{Groups, Rows, RowsBuf};
#[cfg(test)]
pub(crate) use scorer::counted;
pub(crate) use scorer::{CodeScorer, CodeSet, Originals, RowScorer, RowSet, Scorer};
pub(crate) use space::Space;
