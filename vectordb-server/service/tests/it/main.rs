//! The REST dialect, asked as a door asks it.

mod collections;
mod points;
mod shards;
mod support;
