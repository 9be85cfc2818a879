//! Which point lives in which shard, and a collection as a set of shards.
//!
//! A shard is a collection of the engine and nothing more. Points are spread by rendezvous hashing (Thaler & Ravishankar 1998)
//! over the shards of a key, or over all shards where there are no keys: with one shard more, only the points that move into
//! it move.
//!
//! Files: `ring` (point → shard), `split` (an update → updates of shards), `collection` (the shards of a collection), `ask` (what a shard is
//! asked, wherever it lies), `reads`
//! (questions to several shards), `tree` (queries of queries over several shards), `catalog` (what is known of collections on
//! disk).

mod ask;
mod catalog;
mod collection;
pub(crate) mod reads;
mod ring;
mod split;
mod tree;

pub use ask::{Answer, Question, ShardRoute};
pub(crate) use catalog::{Catalog, CollectionEntry, ShardEntry};
pub(crate) use collection::{Shard, ShardedCollection};
pub use ring::{ShardId, ShardKey};
