//! The server of vectordb: it speaks the REST and gRPC API of Qdrant, so that its clients, integrations and dashboards work
//! unchanged.
//!
//! Thin over [`vectordb_service`], which knows collections, shards and the REST dialect and needs no runtime: what is here are
//! doors (`http`; `grpc`, whose messages are in `wire`), their encryption (`tls`), callers ([`Auth`]), what is seen of
//! requests (`trace`), the threads they are done on (`pace`) and how many of them (`lane`), settings (`config`), the pages of the `dashboard`, the life of the
//! process ([`Server`]), buckets of S3 (`buckets`), being one of a `cluster`, the `kubernetes` around it, and the command line
//! (`cli`).

#![forbid(unsafe_code)]

mod auth;
mod buckets;
pub mod cli;
mod cluster;
pub mod config;
mod dashboard;
mod fetch;
mod grpc;
mod http;
mod kubernetes;
mod lane;
mod pace;
mod server;
mod tls;
mod trace;
mod wire;

pub use auth::{Auth, Identity};
pub use cluster::ClusterError;
pub use server::{Server, StartError, start};
pub use tls::TlsError;
pub use trace::{LogError, Logs};
pub use vectordb_service as service;

/// The version of this crate and of the engine below it.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
