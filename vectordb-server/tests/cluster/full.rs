//! A node whose disk is full, among others that have room.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::nodes::{Node, Nodes};
use crate::{HEALING, check, create, load, under_load};

/// How long it may take until others take all writes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether points of all shards can be written by a node.
fn takes_writes(node: &Node, serial: u64) -> bool {
    let points: Vec<_> = (0..60).map(|key| load::point(key, serial)).collect();
    let answer = node.send("PUT", "/collections/probe/points?wait=true", &json!({"points": points}), Duration::from_secs(10));
    answer.is_some_and(|(status, _)| status == 200)
}

#[test]
fn others_take_the_writes_of_a_node_whose_disk_is_full() {
    let kept = ("VECTORDB__STORAGE__MIN_FREE_DISK_BYTES".to_owned(), (100 << 20).to_string());
    let Some(nodes) = Nodes::start_with_small_disk(3, (1, 320), vec![kept]) else { return };
    let all = nodes.all();
    create(&all[0], "docs", 3, 2);
    create(&all[0], "probe", 3, 2);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2) && nodes.is_whole("probe", 2));
    let seen = under_load(&nodes, || {
        for round in 0..2 {
            assert!(all.iter().all(|node| takes_writes(node, round)));
            // Less than a backup needs, and much less than a primary.
            all[1].fill_disk(20);
            let begun = Instant::now();
            nodes.wait("others take all writes", PATIENCE, |_| all.iter().all(|node| takes_writes(node, round + 10)));
            println!("others take all writes after {:?}", begun.elapsed());
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                assert!(all.iter().all(|node| takes_writes(node, round + 20)), "{}", nodes.logs());
            }
            assert!(!nodes.is_whole("docs", 2), "it has room for nothing");
            all[1].empty_disk();
            let whole = nodes.wait("it has caught up", HEALING, |nodes| nodes.is_whole("docs", 2) && nodes.is_whole("probe", 2));
            println!("it has caught up after {whole:?}");
        }
    });
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
}

#[test]
fn a_node_that_cannot_write_down_what_is_agreed_on_ends_and_says_so() {
    let Some(nodes) = Nodes::start_with_small_disk(3, (1, 320), Vec::new()) else { return };
    let all = nodes.all();
    all[1].fill_disk(0);
    let agree = |number: u64| {
        let path = format!("/collections/other-{number}");
        let body = json!({"vectors": {"size": 4, "distance": "Dot"}});
        // Whoever has no room may be asked to make it.
        for (method, body) in [("PUT", &body), ("DELETE", &json!(null))] {
            drop(all[0].send(method, &path, body, Duration::from_secs(10)));
        }
    };
    let ended = nodes.wait("it ends", HEALING, |_| {
        (0..5).for_each(agree);
        all[1].ended().is_some()
    });
    println!("it ended after {ended:?}");
    assert_eq!(all[1].ended().and_then(|status| status.code()), Some(1));
    assert!(all[1].log().contains("cannot hear any more"), "{}", all[1].log());
    all[1].is_well.store(false, Ordering::Release);
    nodes.wait("the others go on", HEALING, |_| {
        let made = all[2].send("PUT", "/collections/docs", &json!({"vectors": {"size": 4, "distance": "Dot"}}), Duration::from_secs(10));
        made.is_some_and(|(status, _)| status == 200)
    });
}
