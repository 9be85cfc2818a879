//! Tests of the whole engine through its public API.

mod basics;
mod bm25;
mod disk;
mod expiry;
mod explain;
mod memory;
mod model;
mod multi;
mod planner;
mod quantization;
mod queries;
mod sparse;
mod support;
mod tenants;
mod text;
