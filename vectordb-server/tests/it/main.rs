//! A whole server, driven through its doors.

mod grpc;
