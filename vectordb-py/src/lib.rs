//! The Python module of vectordb.
//!
//! There is no Python module yet. This crate holds its place in the workspace and passes the embedded engine on; the
//! bindings and the wheel are built on it.

#![forbid(unsafe_code)]

pub use vectordb_core as engine;

/// The version of this crate and of the engine below it.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
