//! A node of a cluster: agreement on what there is, replicas of shards that are copied, and the ways between nodes.
//!
//! Files: `state` (what is agreed on, pure), `survey` (who lives and has what, pure), `placement` (where replicas are to lie, pure),
//! `balance` (which of those that are well are to lie elsewhere, pure), `sizes` (how much shards hold), `raft` (agreement), `replica` (one
//! replica, primary or backup), `sender` (copies a primary's log), `resharding` (another number of shards, pure), `feed` (brings
//! points into new shards), `route` (this node's way to a shard), `fan` (the ways to several), `cut` (shards at one moment), `verify`
//! (whether replicas hold the same), `node` (all of it together, and the reconciliation of what is here with what is agreed), `leader`
//! (what the leader does beside), `entry` (how a node comes into a cluster), `door` (what other nodes call), `client` (calling them),
//! `files` (a shard as an archive), `parcel` (a shard on its way to a replica), `identity` (who this node is), `answers` (what callers of
//! the API are told), `figures` (how many replicas are how, pure), `overseer` (tells the Kubernetes around what happens, and keeps its
//! guard up); `simulation` tries it all out in one thread.

mod answers;
mod balance;
mod client;
mod cut;
mod door;
mod entry;
mod fan;
mod feed;
mod figures;
mod files;
mod identity;
mod leader;
mod node;
mod overseer;
mod parcel;
mod placement;
mod raft;
mod replica;
mod resharding;
mod route;
mod sender;
#[cfg(test)]
mod simulation;
mod sizes;
mod state;
mod survey;
mod verify;

pub use node::ClusterError;
pub(crate) use node::Node;
