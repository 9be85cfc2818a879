//! The server of vectordb.
//!
//! There is no server yet. This crate holds its place in the workspace and passes the embedded engine on, so that what
//! is built on it now keeps compiling when REST, gRPC and replication arrive.

#![forbid(unsafe_code)]

pub use vectordb_core as engine;

/// The version of this crate and of the engine below it.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
