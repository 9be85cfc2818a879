//! What clients did and were told, and whether what is there afterwards agrees with it.
//!
//! Each key has one writer, which never touches it again after a write whose outcome it does not know. So a key's value is that of
//! its last acknowledged write, or that of the one write behind it whose outcome is unknown. Anything else is a lost write, or one
//! that nobody made.

use std::collections::BTreeMap;

/// What a write did: a serial number that was given out once, or a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Serial(u64),
    Deleted,
}

#[derive(Debug, Clone, Default)]
struct Key {
    acknowledged: Option<Written>,
    unknown: Option<Written>,
    /// Everything that was ever tried, in order.
    tried: Vec<Written>,
}

/// The writes of all keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    keys: BTreeMap<u64, Key>,
}

/// What is wrong with what is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The key should have had the value, or the other one if that was written after all.
    Lost { key: u64, expected: Written, found: Option<u64> },
    /// Nobody wrote that.
    Phantom { key: u64, found: u64 },
}

impl History {
    /// Before a write is sent.
    pub(crate) fn tries(&mut self, key: u64, written: Written) {
        let key = self.keys.entry(key).or_default();
        key.unknown = Some(written);
        key.tried.push(written);
    }

    /// When it was acknowledged.
    pub(crate) fn acknowledged(&mut self, key: u64) {
        let key = self.keys.entry(key).or_default();
        key.acknowledged = key.unknown.take();
    }

    /// When it was said that it was not done, and never will be.
    pub(crate) fn refused(&mut self, key: u64) {
        let key = self.keys.entry(key).or_default();
        if key.unknown.take().is_some() {
            key.tried.pop();
        }
    }

    /// Whether a write's outcome is not known, so that the key is to be left alone.
    pub(crate) fn is_in_doubt(&self, key: u64) -> bool {
        self.keys.get(&key).is_some_and(|key| key.unknown.is_some())
    }

    /// The serial number that a key certainly has.
    pub(crate) fn serial(&self, key: u64) -> Option<u64> {
        let key = self.keys.get(&key).filter(|key| key.unknown.is_none())?;
        if let Some(Written::Serial(serial)) = key.acknowledged { Some(serial) } else { None }
    }

    pub(crate) fn acknowledged_keys(&self) -> usize {
        self.keys.values().filter(|key| key.acknowledged.is_some()).count()
    }

    /// Compares the serial numbers that are there with what must be.
    pub(crate) fn violations(&self, found: &BTreeMap<u64, u64>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (&key, history) in &self.keys {
            let value = found.get(&key).copied();
            let seen = value.map_or(Written::Deleted, Written::Serial);
            let may_be = |written: Option<Written>| written.is_some_and(|written| written == seen);
            let never = history.acknowledged.is_none() && seen == Written::Deleted;
            if may_be(history.acknowledged) || may_be(history.unknown) || never {
                continue;
            }
            match (value, history.acknowledged) {
                (Some(found), _) if !history.tried.contains(&Written::Serial(found)) => violations.push(Violation::Phantom { key, found }),
                (found, Some(expected)) => violations.push(Violation::Lost { key, expected, found }),
                (Some(found), None) => violations.push(Violation::Phantom { key, found }),
                (None, None) => {}
            }
        }
        violations
            .extend(found.iter().filter(|(key, _)| !self.keys.contains_key(key)).map(|(&key, &found)| Violation::Phantom { key, found }));
        violations
    }
}

/// What is wrong with what is there, if it is as it was some time between two looks at the history, each key at its own moment.
pub(crate) fn violations_between(before: &History, after: &History, found: &BTreeMap<u64, u64>) -> Vec<Violation> {
    let nothing = Key::default();
    let mut violations = Vec::new();
    for (&key, then) in &after.keys {
        let first = before.keys.get(&key).unwrap_or(&nothing);
        let value = found.get(&key).copied();
        let seen = value.map_or(Written::Deleted, Written::Serial);
        let expected = first.acknowledged.unwrap_or(Written::Deleted);
        // What was tried before and is not known to be done may be done at any time.
        if seen != expected && first.unknown != Some(seen) && !then.tried[first.tried.len()..].contains(&seen) {
            violations.push(match value {
                Some(found) if !then.tried.contains(&seen) => Violation::Phantom { key, found },
                found => Violation::Lost { key, expected, found },
            });
        }
    }
    let unknown = found.iter().filter(|(key, _)| !after.keys.contains_key(key));
    violations.extend(unknown.map(|(&key, &found)| Violation::Phantom { key, found }));
    violations
}

#[test]
fn what_was_there_some_time_between_two_looks_is_no_violation() {
    let mut before = History::default();
    for key in 1..=3 {
        before.tries(key, Written::Serial(key * 10));
        before.acknowledged(key);
    }
    before.tries(2, Written::Serial(21));
    before.acknowledged(2);
    before.tries(3, Written::Deleted);
    let mut after = before.clone();
    after.tries(1, Written::Serial(11));
    after.acknowledged(1);
    after.tries(1, Written::Deleted);
    after.acknowledged(1);
    after.tries(4, Written::Serial(40));
    let violations = |found: &[(u64, u64)]| violations_between(&before, &after, &found.iter().copied().collect());
    for good in [&[(1, 10), (2, 21), (3, 30)][..], &[(1, 11), (2, 21), (3, 30)], &[(2, 21)], &[(2, 21), (4, 40)]] {
        assert_eq!(violations(good), [], "{good:?}");
    }
    assert_eq!(violations(&[(2, 20)]), [Violation::Lost { key: 2, expected: Written::Serial(21), found: Some(20) }]);
    assert_eq!(violations(&[]), [Violation::Lost { key: 2, expected: Written::Serial(21), found: None }]);
    assert_eq!(violations(&[(1, 12), (2, 21)]), [Violation::Phantom { key: 1, found: 12 }]);
    assert_eq!(violations(&[(2, 21), (5, 50)]), [Violation::Phantom { key: 5, found: 50 }]);
}

#[test]
fn violations_are_noticed_and_doubts_are_not_violations() {
    let mut history = History::default();
    for key in 1..=4 {
        history.tries(key, Written::Serial(key * 10));
        history.acknowledged(key);
    }
    history.tries(2, Written::Serial(21));
    history.tries(3, Written::Deleted);
    history.acknowledged(3);
    history.tries(5, Written::Serial(50));
    history.tries(4, Written::Serial(41));
    history.refused(4);
    let good = BTreeMap::from([(1, 10), (2, 20), (4, 40)]);
    assert_eq!(history.violations(&good), []);
    assert!(history.is_in_doubt(2) && history.is_in_doubt(5) && !history.is_in_doubt(1));
    let with = |change: &dyn Fn(&mut BTreeMap<u64, u64>)| {
        let mut found = good.clone();
        change(&mut found);
        history.violations(&found)
    };
    assert_eq!(
        with(&|found| {
            found.insert(2, 21);
        }),
        [],
        "the write in doubt was done"
    );
    assert_eq!(
        with(&|found| {
            found.insert(5, 50);
        }),
        [],
        "so was this"
    );
    assert_eq!(
        with(&|found| {
            found.remove(&1);
        }),
        [Violation::Lost { key: 1, expected: Written::Serial(10), found: None }]
    );
    assert_eq!(
        with(&|found| {
            found.insert(3, 30);
        }),
        [Violation::Lost { key: 3, expected: Written::Deleted, found: Some(30) }]
    );
    assert_eq!(
        with(&|found| {
            found.insert(4, 41);
        }),
        [Violation::Phantom { key: 4, found: 41 }],
        "it was refused"
    );
    assert_eq!(
        with(&|found| {
            found.insert(4, 42);
        }),
        [Violation::Phantom { key: 4, found: 42 }]
    );
    assert_eq!(
        with(&|found| {
            found.insert(9, 90);
        }),
        [Violation::Phantom { key: 9, found: 90 }]
    );
}
