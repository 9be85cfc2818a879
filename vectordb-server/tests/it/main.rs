//! A whole server, driven through its doors.

mod cli;
mod door;
mod fetch;
mod grpc;
mod peers;
mod process;
mod rust_client;
mod s3;
mod tls;
