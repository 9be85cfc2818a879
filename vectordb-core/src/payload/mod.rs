//! STUB
pub(crate) mod index;
pub(crate) mod path;
pub(crate) mod tokenizer;
