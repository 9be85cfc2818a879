//! The REST dialect, asked as a door asks it.

mod access;
mod backups;
mod collections;
mod metrics;
mod peers;
mod points;
mod poison;
mod quotas;
mod resharding;
mod shards;
mod snapshots;
mod strange;
mod strict;
mod support;
mod wishes;
