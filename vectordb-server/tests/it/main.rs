//! A whole server, driven through its doors.

mod door;
mod grpc;
mod rust_client;
