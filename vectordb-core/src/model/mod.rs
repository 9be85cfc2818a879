//! The words of the engine: plain data and its validation.
//!
//! Every layer above speaks in these types and in no others; wire formats are translated to them once, at the door.
//! No input or output and no algorithm lives here.

pub(crate) mod config;
pub(crate) mod corpus;
pub(crate) mod explain;
pub(crate) mod filter;
pub(crate) mod filter_build;
mod filter_json;
mod filter_text;
pub(crate) mod formula;
pub(crate) mod memory;
pub(crate) mod payload;
pub(crate) mod point;
pub(crate) mod quantization;
pub(crate) mod query;
mod query_json;
pub(crate) mod ranking;
pub(crate) mod text;
pub(crate) mod update;
pub(crate) mod vector;

pub(crate) use point::PointId;
