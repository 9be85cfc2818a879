//! What reads see while a replica is cut off from its primary.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::nodes::{Node, Nodes};
use crate::{HEALING, Stop, create, load};

/// The number that a node reads.
fn read(node: &Node, asked: &str) -> Option<(u16, u64)> {
    let body = json!({"filter": {"must": [{"has_id": [1]}]}});
    let path = format!("/collections/docs/points/scroll?timeout=1{asked}");
    let (status, answer) = node.send("POST", &path, &body, Duration::from_secs(10))?;
    Some((status, answer["result"]["points"][0]["payload"]["serial"].as_u64().unwrap_or(0)))
}

/// Writes greater and greater numbers, and says which was acknowledged last.
fn write(node: &Node, done: &AtomicU64, stop: &AtomicBool) {
    let mut serial = 0;
    while !stop.load(Ordering::Acquire) {
        serial += 1;
        let body = json!({"points": [load::point(1, serial)]});
        let answer = node.send("PUT", "/collections/docs/points?wait=true", &body, Duration::from_secs(15));
        if answer.is_some_and(|(status, _)| status == 200) {
            done.store(serial, Ordering::Release);
        }
    }
}

#[test]
fn a_confirmed_read_sees_everything_acknowledged_also_where_a_replica_is_cut_off() {
    let nodes = Nodes::start_apart(3);
    let all = nodes.all();
    create(&all[0], "docs", 1, 3);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut confirmed, mut refused, mut late) = (0, 0, 0);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| write(&all[0], &done, &stop));
        nodes.wait("something is written", HEALING, |_| done.load(Ordering::Acquire) > 10);
        let compare = |node: &Node, asked: &str| {
            let before = done.load(Ordering::Acquire);
            read(node, asked).map(|(status, serial)| (status == 200, serial >= before))
        };
        for asked in ["&consistency=majority", "&consistency=quorum", "&consistency=all", "&consistency=3", "&consistency=1", ""] {
            assert!(all.iter().all(|node| compare(node, asked) == Some((true, true))), "{asked}");
        }
        // More than there are.
        assert_eq!(read(&all[1], "&consistency=4").map(|(status, _)| status), Some(503));
        for victim in [2_usize, 1] {
            let links = nodes.links.as_ref().expect("a network");
            [0, 1, 2].into_iter().filter(|&other| other != victim).for_each(|other| links.cut(victim as u64 + 1, other as u64 + 1));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(6) {
                match compare(&all[victim], "&consistency=all") {
                    Some((true, fresh)) => {
                        assert!(fresh, "a confirmed read came too late");
                        confirmed += 1;
                    }
                    _ => refused += 1,
                }
                // That is what the word is for.
                late += u64::from(compare(&all[victim], "") == Some((true, false)));
            }
            for (path, body) in [("", json!({"ids": [1]})), ("/count", json!({"exact": true}))] {
                // Long before it would be given up by itself.
                let path = format!("/collections/docs/points{path}?timeout=1&consistency=all");
                let answer = all[victim].send("POST", &path, &body, Duration::from_secs(5));
                assert_eq!(answer.as_ref().map(|(status, _)| *status), Some(503), "{path}: {answer:?}");
            }
            assert_eq!(compare(&all[0], "&consistency=majority"), Some((true, true)), "the others go on");
            links.heal();
            nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
            assert_eq!(compare(&all[victim], "&consistency=all"), Some((true, true)));
        }
    });
    println!("cut off: {confirmed} confirmed, {refused} refused, {late} other reads that came too late");
    assert!(refused > 0 && done.load(Ordering::Acquire) > 100);
}
