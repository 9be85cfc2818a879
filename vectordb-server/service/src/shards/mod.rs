//! Which point lives in which shard, and a collection as a set of shards.
//!
//! A shard is a collection of the engine and nothing more. Points are spread by rendezvous hashing (Thaler & Ravishankar 1998)
//! over the shards of a key, or over all shards where there are no keys: with one shard more, only the points that move into
//! it move.
//!
//! Files: `ring` (point → shard), `split` (an update → updates of shards), `collection` (the shards of a collection), `ask` (what a shard is
//! asked, wherever it lies), `reads`
//! (questions to several shards), `tree` (queries of queries over several shards), `migration` (points on their way to other shards), `catalog` (what is known of collections on
//! disk).

mod ask;
mod catalog;
mod collection;
pub(crate) mod migration;
pub(crate) mod reads;
mod ring;
mod split;
mod tree;

pub use ask::{Answer, Consistency, HeldShard, Question, ShardRoute, Written};
pub(crate) use catalog::{Catalog, CollectionEntry, Resharding, ShardEntry};
pub use collection::on_each;
pub(crate) use collection::{Moved, Shard, ShardedCollection, Writing};
pub use migration::{Touched, filters, is_about_points, matching, named, place, taken_over, whole_points};
pub(crate) use migration::{matching_anywhere, target_mut};
pub use ring::{ShardId, ShardKey};
