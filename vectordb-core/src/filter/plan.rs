//! Which way a filtered search takes through a segment. A pure function of what is known before it begins.
//!
//! No way is best for every selectivity: a walk that only keeps matching rows wanders when few match around the query, one
//! that only visits matching rows falls apart, and a scan costs what the matches cost. A scan of the clusters near the query
//! is the best of them for most shares, but a walk where nearly everything matches (ACORN, Patel et al. 2024, and its
//! critics; measured with `recall --strategy`). Costs are nanoseconds of a current CPU; only their ratios matter.

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
    /// Whether the field is so small that scanning it is always cheapest.
    pub(crate) small: bool,
    /// Candidate list of the walk, at least the number of results.
    pub(crate) ef: usize,
    /// Bytes of what is scored of a row.
    pub(crate) row_bytes: usize,
    /// Clusters the rows lie in; 0 when they lie in none.
    pub(crate) clusters: usize,
    /// Share of matches among the rows around the query, if it was looked for.
    pub(crate) near_share: Option<f64>,
}

/// Reading and checking one payload.
const CHECK_NS: f64 = 2000.0;
/// Scoring a row in the order of memory: by its bytes, and for the calls around it.
const SCAN_NS_PER_BYTE: f64 = 0.08;
const SCAN_NS: f64 = 2.0;
/// What a row costs more when it lies anywhere.
const JUMP_NS: f64 = 10.0;
/// Distances a walk computes for each place of its candidate list.
const WALK_ROWS: f64 = 14.0;
/// Ranking one cluster, and beginning with one.
const RANK_NS: f64 = 20.0;
const CLUSTER_NS: f64 = 60.0;
/// Below this share of matches around the query a walk over all rows is led away before it finds enough.
const LEAST_WALK_SHARE: f64 = 0.02;
/// Shares for which a walk over matching rows alone is worth its longer way, where there are no clusters.
const TWO_HOP_SHARE: std::ops::Range<f64> = 0.05..0.4;
/// A walk may cost so many times more than the scan it replaces before it is given up.
const PATIENCE: f64 = 1.5;

/// Clusters with matches that may bring nothing better before a scan of clusters ends.
pub(crate) fn cluster_patience(ef: usize) -> usize {
    (ef / 4).max(3)
}

impl Situation {
    fn share(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.matches as f64 / self.rows as f64 }
    }

    /// Share of matches around the query, as far as is known.
    pub(crate) fn near_share(&self) -> f64 {
        self.near_share.unwrap_or(self.share())
    }

    fn scan_row_ns(&self) -> f64 {
        self.row_bytes as f64 * SCAN_NS_PER_BYTE + SCAN_NS
    }

    fn walk_row_ns(&self) -> f64 {
        self.scan_row_ns() + JUMP_NS
    }

    /// Scoring every match.
    fn scan_ns(&self) -> f64 {
        self.matches as f64 * self.scan_row_ns() + self.unsure as f64 * CHECK_NS
    }

    /// Scoring the matches of as many clusters as a scan of them looks at, about.
    fn clusters_ns(&self) -> f64 {
        let clusters = self.clusters as f64;
        let visited = (2.0 * cluster_patience(self.ef) as f64 + 4.0).min(clusters);
        // Matches crowd in few clusters when the filter has to do with the vectors; then those around the query tell more.
        let matches =
            self.matches as f64 * (visited / clusters.max(1.0)).max(self.near_share.map_or(0.0, |near| near.min(0.5) * visited / clusters));
        let checks = self.unsure as f64 / self.matches.max(1) as f64 * CHECK_NS;
        clusters * RANK_NS + visited * CLUSTER_NS + matches.min(self.matches as f64) * (self.scan_row_ns() + checks)
    }

    /// Walking over all rows until enough of them match.
    fn walk_ns(&self, share: f64) -> f64 {
        let rows = self.ef as f64 * WALK_ROWS / share.max(f64::MIN_POSITIVE);
        rows * (self.walk_row_ns() + if self.unsure == 0 { 0.0 } else { CHECK_NS })
    }

    /// Walking over matching rows alone.
    fn two_hops_ns(&self) -> f64 {
        let rows = self.ef as f64 * WALK_ROWS;
        rows * 3.0 * self.walk_row_ns() + if self.unsure == 0 { 0.0 } else { rows / self.share() * CHECK_NS }
    }

    /// Distances after which a walk should have been a scan.
    pub(crate) fn most_scored(&self) -> usize {
        let (scan, least) = (self.scan_ns() * PATIENCE / self.walk_row_ns(), self.ef * 4);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of rows")]
        least.max(scan as usize)
    }

    /// Whether the strategy depends on what matches around the query, and looking there costs little against the search.
    pub(crate) fn near_share_matters(&self) -> bool {
        self.clusters > 0 && !self.small && self.scan_ns() > 2.0 * self.clusters as f64 * RANK_NS
    }

    /// The cheapest strategy that keeps recall.
    pub(crate) fn strategy(&self) -> Strategy {
        if self.small {
            return Strategy::Scan;
        }
        let share = self.near_share();
        let mut ways = vec![(Strategy::Scan, self.scan_ns())];
        if self.near_share.is_some() {
            ways.push((Strategy::Clusters, self.clusters_ns()));
        } else if TWO_HOP_SHARE.contains(&share) {
            ways.push((Strategy::FilteredGraph, self.two_hops_ns()));
        }
        if share >= if self.near_share.is_some() { LEAST_WALK_SHARE } else { TWO_HOP_SHARE.end } {
            ways.push((Strategy::Graph, self.walk_ns(share)));
        }
        ways.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(Strategy::Scan, |(strategy, _)| strategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Situation =
        Situation { rows: 1_000_000, matches: 0, unsure: 0, small: false, ef: 100, row_bytes: 400, clusters: 0, near_share: None };

    #[test]
    fn the_strategy_follows_the_share_of_matches() {
        let at = |matches| Situation { matches, ..MILLION }.strategy();
        assert_eq!(at(0), Strategy::Scan);
        assert_eq!(at(1_000), Strategy::Scan);
        assert_eq!(at(10_000), Strategy::Scan);
        assert_eq!(at(200_000), Strategy::FilteredGraph);
        assert_eq!(at(900_000), Strategy::Graph);
    }

    #[test]
    fn near_the_query_clusters_are_scanned_unless_nearly_everything_matches() {
        let at = |matches, near_share| Situation { matches, near_share: Some(near_share), clusters: 1000, ..MILLION };
        assert_eq!(at(300, 0.0003).strategy(), Strategy::Scan);
        assert_eq!(at(100_000, 0.1).strategy(), Strategy::Clusters);
        assert_eq!(at(900_000, 0.9).strategy(), Strategy::Graph);
        // Half of all rows match, but none of them lies near the query: the walk would never find them.
        assert_eq!(at(500_000, 0.0).strategy(), Strategy::Clusters);
        assert!(at(100_000, 0.1).near_share_matters() && !at(100, 0.1).near_share_matters());
    }

    #[test]
    fn in_a_small_field_everything_is_scanned() {
        assert_eq!(Situation { matches: 900_000, small: true, ..MILLION }.strategy(), Strategy::Scan);
    }

    #[test]
    fn reading_payloads_makes_scans_dear() {
        let matches = 20_000;
        let cheap = Situation { rows: 60_000, matches, ..MILLION };
        assert!(Situation { unsure: 60_000, ..cheap }.scan_ns() > 100.0 * cheap.scan_ns());
    }
}
