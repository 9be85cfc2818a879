//! Tests of the whole engine through its public API.

mod basics;
mod disk;
mod memory;
mod model;
mod planner;
mod quantization;
mod queries;
mod support;
