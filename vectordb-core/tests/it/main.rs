//! Tests of the whole engine through its public API.

mod basics;
mod model;
mod planner;
mod support;
