//! A server that is alone and killed, over and over, while clients write to it.
//!
//! `VECTORDB_KILLS` says how often; not often, unless that is said.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::history::violations_between;
use crate::load::{self, Dice, Seen};
use crate::nodes::Nodes;
use crate::{check, create, under_load_after};

#[test]
fn a_server_that_is_killed_while_it_is_written_keeps_everything_that_was_acknowledged() {
    let kills = std::env::var("VECTORDB_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    let nodes = Nodes::alone();
    let server = &nodes.all()[0];
    create(server, "docs", 2, 1);
    let seen = Seen::default();
    load::fill(server, "docs", 9, 500, &seen);
    let mut dice = Dice(200);
    let seen = under_load_after(&nodes, seen, |seen| {
        for kill in 0..kills {
            std::thread::sleep(Duration::from_millis(20 + dice.below(400)));
            server.is_well.store(false, Ordering::Release);
            server.kill();
            let before = seen.history.lock().clone();
            server.start();
            nodes.wait("it is back", Duration::from_secs(60), |_| server.is_ready());
            server.is_well.store(true, Ordering::Release);
            // Also what the next writes would hide.
            let found = load::serials(&Nodes::dump(server, "docs"));
            let after = seen.history.lock().clone();
            assert_eq!(violations_between(&before, &after, &found), [], "after kill {kill}\n{}", nodes.logs());
        }
    });
    println!("{kills} kills");
    check(&nodes, &seen);
}
