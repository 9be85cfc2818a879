//! What a query should find, and whether it did.

use serde_json::{Value, json};
use vectordb_core::{PointGroup, ScoredPoint};

use super::Result;

/// How far a score may be from the expected one, for scores up to 1; in proportion above.
const TOLERANCE: f64 = 1e-5;

/// Hits, best first.
#[derive(Debug)]
pub(super) struct Ranking {
    hits: Vec<(Value, f64)>,
    /// Points that may stand where a hit of equal score stands.
    or: Vec<Value>,
}

impl Ranking {
    /// Reads `[[id, score], ...]`.
    pub(super) fn read(hits: &Value, or: Vec<Value>) -> Result<Self> {
        Ok(Self { hits: serde_json::from_value(hits.clone())?, or })
    }

    /// What is wrong with an answer. Points of equal score may come in any order.
    pub(super) fn wrong(&self, found: &[ScoredPoint]) -> Option<String> {
        let found: Vec<(Value, f64)> = found.iter().map(|hit| (json!(hit.id), f64::from(hit.score))).collect();
        let fail = |what: &str| Some(format!("{what}: {found:?} instead of {:?} or {:?}", self.hits, self.or));
        if found.len() != self.hits.len() {
            return fail("another number of hits");
        }
        for (at, ((id, score), (_, expected))) in found.iter().zip(&self.hits).enumerate() {
            if !close(*score, *expected) {
                return fail(&format!("score {score} for {expected} at {at}"));
            }
            if found[..at].iter().any(|(other, _)| other == id) {
                return fail(&format!("{id} twice"));
            }
            let own = self.hits.iter().find(|(other, _)| other == id);
            if !own.map_or_else(|| self.or.contains(id), |(_, expected)| close(*score, *expected)) {
                return fail(&format!("{id} at {at}"));
            }
        }
        None
    }
}

/// A group of hits.
#[derive(Debug)]
pub(super) struct ExpectedGroup {
    id: Value,
    ranking: Ranking,
    lookup: Option<Value>,
}

impl ExpectedGroup {
    /// Reads `{"id": value, "hits": [...], "lookup": payload}`.
    pub(super) fn read(json: &Value) -> Result<Self> {
        let lookup = json.get("lookup").cloned();
        Ok(Self { id: json["id"].clone(), ranking: Ranking::read(&json["hits"], Vec::new())?, lookup })
    }
}

/// What is wrong with groups. Those whose best hits are equally good, as the groups of one point are, may come in any order.
pub(super) fn wrong_groups(expected: &[ExpectedGroup], found: &[PointGroup]) -> Option<String> {
    let best = |group: &PointGroup| group.hits.first().map_or(f64::NAN, |hit| f64::from(hit.score));
    if found.len() != expected.len() {
        return Some(format!("{} groups instead of {}", found.len(), expected.len()));
    }
    for (at, (group, in_its_place)) in found.iter().zip(expected).enumerate() {
        let Some(own) = expected.iter().find(|own| own.id == group.id) else { return Some(format!("a group {}", group.id)) };
        if found[..at].iter().any(|other| other.id == group.id) {
            return Some(format!("the group {} twice", group.id));
        }
        if in_its_place.ranking.hits.first().is_none_or(|(_, score)| !close(best(group), *score)) {
            return Some(format!("the group {} at {at}", group.id));
        }
        if let Some(wrong) = own.ranking.wrong(&group.hits) {
            return Some(format!("group {}: {wrong}", group.id));
        }
        let looked_up = group.lookup.as_ref().map_or(Value::Null, |record| json!(record.payload));
        if own.lookup.as_ref().is_some_and(|expected| *expected != looked_up) {
            return Some(format!("group {}: looked up {looked_up}", group.id));
        }
    }
    None
}

/// What is wrong with neighbours, each `[a, b, score]`, in any order of rows.
pub(super) fn wrong_pairs(expected: &[(Value, Value, f64)], found: &[(Value, Value, f64)]) -> Option<String> {
    let missing = expected.iter().find(|(a, b, score)| !found.iter().any(|(c, d, own)| a == c && b == d && close(*own, *score)));
    match missing {
        Some(missing) => Some(format!("no {missing:?} in {found:?}")),
        None => (found.len() != expected.len()).then(|| format!("{} pairs instead of {}", found.len(), expected.len())),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

#[cfg(test)]
mod tests {
    use vectordb_core::Lsn;

    use super::*;

    fn hits(hits: &[(u64, f32)]) -> Vec<ScoredPoint> {
        let hit = |&(id, score): &(u64, f32)| ScoredPoint {
            id: id.into(),
            version: Lsn(1),
            score,
            payload: None,
            vectors: None,
            order_value: None,
        };
        hits.iter().map(hit).collect()
    }

    #[test]
    fn a_ranking_is_wrong_in_ids_scores_and_order_but_not_among_equals() {
        let expected = Ranking::read(&json!([[1, 0.9], [2, 0.5], [3, 0.5]]), vec![json!(4)]).expect("a ranking");
        assert_eq!(expected.wrong(&hits(&[(1, 0.9), (2, 0.5), (3, 0.5)])), None);
        assert_eq!(expected.wrong(&hits(&[(1, 0.900_001), (3, 0.5), (4, 0.5)])), None);
        for wrong in [
            vec![(1, 0.9), (2, 0.5)],
            vec![(2, 0.9), (1, 0.5), (3, 0.5)],
            vec![(1, 0.9), (2, 0.5), (5, 0.5)],
            vec![(1, 0.9), (2, 0.5), (2, 0.5)],
            vec![(1, 0.9), (2, 0.500_1), (3, 0.5)],
        ] {
            assert!(expected.wrong(&hits(&wrong)).is_some(), "{wrong:?}");
        }
    }
}
