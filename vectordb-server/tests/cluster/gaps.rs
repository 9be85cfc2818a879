//! For how long nothing can be written after a node was killed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::create;
use crate::load::{Dice, point};
use crate::nodes::{Node, Nodes};

/// A collection that nobody else writes: what is asked of it twice breaks no history.
const PROBE: &str = "probe";
/// Enough for each shard to have some.
const POINTS: u64 = 32;
/// What the slowest of a hundred may be.
const MOST: Duration = Duration::from_secs(10);
/// When nobody waits any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The gaps that were measured.
pub(crate) struct Gaps {
    factor: usize,
    found: Vec<Duration>,
}

impl Gaps {
    pub(crate) fn of(nodes: &Nodes, shards: u32, factor: u32) -> Self {
        create(&nodes.all()[0], PROBE, shards, factor);
        Self { factor: usize::try_from(factor).expect("a small number"), found: Vec::new() }
    }

    /// Kills a node, and waits until every shard takes writes again, if another had all that it had: else its own return is waited for,
    /// and nothing can be done about that.
    pub(crate) fn kill(&mut self, nodes: &Nodes, victim: &Node, dice: &mut Dice) {
        let has_others = nodes.is_whole(PROBE, self.factor);
        victim.kill();
        let killed = Instant::now();
        if !has_others {
            return;
        }
        let serial = self.found.len() as u64;
        let points: Vec<_> = (0..POINTS).map(|key| point(key, serial)).collect();
        let body = json!({"points": points});
        loop {
            let well = nodes.well();
            let asked = &well[usize::try_from(dice.below(well.len() as u64)).expect("a few")];
            let answer = asked.send("PUT", &format!("/collections/{PROBE}/points?wait=true"), &body, Duration::from_secs(5));
            if answer.is_some_and(|(status, answer)| status == 200 && answer["result"]["status"] == "completed") {
                break self.found.push(killed.elapsed());
            }
            assert!(killed.elapsed() < PATIENCE, "nothing is taken any more\n{}", nodes.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Of a hundred all but the slowest have to be as short as was promised.
    pub(crate) fn check(mut self) {
        self.found.sort_unstable();
        let count = self.found.len();
        if count == 0 {
            return;
        }
        let at = |hundredths: usize| self.found[(count * hundredths).div_ceil(100) - 1];
        println!("gaps after {count} kills: half {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
        assert!(at(99) <= MOST, "{:?}", self.found);
    }
}
