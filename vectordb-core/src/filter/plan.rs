//! Which way a filtered search takes through a segment. A pure function of what is known before it begins.
//!
//! No way is best for every selectivity: a walk that only keeps matching rows wanders when few match, one that only visits
//! matching rows falls apart, and a scan costs what the matches cost. Costs are counted in distances; the constants are
//! measured (see `benches/`), their shape follows ACORN (Patel et al. 2024) and its critics.

use crate::model::query::Strategy;

/// What is known of a search over one segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// Rows of the segment.
    pub(crate) rows: usize,
    /// Rows expected to match.
    pub(crate) matches: usize,
    /// Rows whose payload must be read to know whether they match; 0 when the indexes know.
    pub(crate) unsure: usize,
    pub(crate) has_graph: bool,
    /// Whether the field is so small that scanning it is always cheapest.
    pub(crate) small: bool,
    /// Candidate list of the walk, at least the number of results.
    pub(crate) ef: usize,
}

/// Reading and parsing one payload, in distances.
const CHECK_COST: usize = 30;
/// Distances an unfiltered walk computes for each place of its candidate list.
const WALK_COST: usize = 14;
/// Scanning is sequential, walking is not: a scanned distance costs this share of a walked one (4 for 1).
const SCAN_DISCOUNT: usize = 4;
/// Below this share of matches a walk over matching rows alone loses recall, from this share on it gains nothing.
const TWO_HOP_SHARE: std::ops::Range<f64> = 0.05..0.4;

impl Situation {
    fn share(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.matches as f64 / self.rows as f64 }
    }

    /// Distances that scoring every match costs, reading payloads included.
    pub(crate) fn scan_cost(&self) -> usize {
        (self.matches / SCAN_DISCOUNT).saturating_add(self.unsure.saturating_mul(CHECK_COST))
    }

    /// The cheapest strategy that keeps recall.
    pub(crate) fn strategy(&self) -> Strategy {
        if !self.has_graph || self.small || self.share() < TWO_HOP_SHARE.start {
            return Strategy::Scan;
        }
        let walk = self.ef.saturating_mul(WALK_COST);
        let checks = if self.unsure == 0 { 1 } else { CHECK_COST };
        let (strategy, cost) = if TWO_HOP_SHARE.contains(&self.share()) {
            (Strategy::FilteredGraph, walk.saturating_mul(2).saturating_add(walk.saturating_mul(checks)))
        } else {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0.4 and 1")]
            let widened = (walk as f64 / self.share()) as usize;
            (Strategy::Graph, widened.saturating_mul(if self.unsure == 0 { 1 } else { 1 + CHECK_COST / 4 }))
        };
        if self.scan_cost() <= cost { Strategy::Scan } else { strategy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Situation = Situation { rows: 1_000_000, matches: 0, unsure: 0, has_graph: true, small: false, ef: 100 };

    #[test]
    fn the_strategy_follows_the_share_of_matches() {
        let at = |matches| Situation { matches, ..MILLION }.strategy();
        assert_eq!(at(0), Strategy::Scan);
        assert_eq!(at(1_000), Strategy::Scan);
        assert_eq!(at(40_000), Strategy::Scan);
        assert_eq!(at(200_000), Strategy::FilteredGraph);
        assert_eq!(at(900_000), Strategy::Graph);
    }

    #[test]
    fn without_a_graph_or_in_a_small_field_everything_is_scanned() {
        assert_eq!(Situation { matches: 900_000, has_graph: false, ..MILLION }.strategy(), Strategy::Scan);
        assert_eq!(Situation { matches: 900_000, small: true, ..MILLION }.strategy(), Strategy::Scan);
    }

    #[test]
    fn reading_payloads_makes_scans_dear() {
        let matches = 20_000;
        let cheap = Situation { rows: 60_000, matches, ..MILLION };
        assert!(Situation { unsure: 60_000, ..cheap }.scan_cost() > 100 * cheap.scan_cost());
    }
}
