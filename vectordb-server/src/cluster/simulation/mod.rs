//! A whole cluster in one thread, in which a seed decides what happens next.
//!
//! Replicas with their logs and files, senders, what is agreed on, who lives and where replicas are to lie are the code of the server.
//! What is around them is made here: disks that lose what was not synced ([`vectordb_benches::faults::sim_fs`]), clocks that go wrong by
//! up to a tenth, a network that delays, reorders, loses and parts, and an agreement that brings the same commands in the same order to
//! every node, later to some (the store below the real one passes the tests of openraft). Nodes crash at any moment, lose their
//! disks, and stand still. Reshardings and the door of the API are not in it.
//!
//! What must hold: a primary that the agreement knows shows everything acknowledged; in the end, when all is mended, nothing
//! acknowledged is lost, nothing is there that nobody wrote, and the replicas of a shard are equal. The same seed makes the same trace.
//!
//! `VECTORDB_SEEDS=10000 cargo test -p vectordb-server --lib simulation` runs more of them, from `VECTORDB_FIRST_SEED`; with one seed
//! and `VECTORDB_TRACE=1` what happened is told.

mod clients;
mod node;
mod trouble;
mod world;

#[path = "../../../tests/cluster/history.rs"]
mod history;

use std::sync::atomic::{AtomicU64, Ordering};

use world::{Outcome, World};

const SEEDS: u64 = 200;
/// Of them run twice.
const TWICE: u64 = 10;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(seed: u64) -> Outcome {
    World::new(seed).run().unwrap_or_else(|reason| panic!("seed {seed}: {reason}"))
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens() {
    let first = number("VECTORDB_FIRST_SEED").unwrap_or(1);
    let end = first + number("VECTORDB_SEEDS").unwrap_or(SEEDS);
    let (next, writes, failovers, wiped) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run(seed);
            writes.fetch_add(outcome.acknowledged, Ordering::Relaxed);
            failovers.fetch_add(outcome.primaries, Ordering::Relaxed);
            wiped.fetch_add(outcome.wiped, Ordering::Relaxed);
            if seed < first + TWICE {
                assert_eq!(run(seed), outcome, "seed {seed} does not do the same again");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let [writes, failovers, wiped] = [writes, failovers, wiped].map(AtomicU64::into_inner);
    println!("{} seeds: {writes} acknowledged writes, {failovers} changes of primaries, {wiped} disks lost", end - first);
    assert!(writes > 50 * (end - first) && failovers > end - first, "too little happens");
}
