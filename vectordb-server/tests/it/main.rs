//! A whole server, driven through its doors.

mod cli;
mod door;
mod grpc;
mod s3;
