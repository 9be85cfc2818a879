//! A whole server, driven through its doors.

mod door;
mod fetch;
mod grpc;
mod process;
mod tls;
