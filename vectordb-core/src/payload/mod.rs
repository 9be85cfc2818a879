//! Payloads: finding values by path, and indexes over them.
//!
//! Files: `path` (values of a path, and changes at one), `tokenizer` (texts into words), `geo` (places and shapes),
//! `index` (which rows satisfy a test of a field), `bm25` (texts into sparse vectors), `document` (vectors that models make).

pub(crate) mod bm25;
mod document;
pub(crate) mod geo;
pub(crate) mod index;
pub(crate) mod path;
mod stopwords;
pub(crate) mod tokenizer;
