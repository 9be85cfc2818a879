//! How long a candidate list must be for a recall: what a field of a segment has learned of it.
//!
//! Searches that ask for a recall leave word, and the background learns (see `lesson`); until then they go by the list that
//! searches without a wish have. What was learned lies in a file of the segment, so it is learned once.
//!
//! How long the list must be depends on how many rows match, and on whether they lie near the query or far from it. Both are
//! known before a search begins, so there are curves of recall by length for several shares of matches and several
//! [affinities](affinity) of filters and queries, and what lies between them is put between them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::lesson::Lesson;
use super::{Leaf, Segment};
use crate::error::Result;
use crate::model::vector::Vector;
use crate::storage::codec;

/// Shares of the rows that satisfy a filter; the first is no filter.
pub(super) const SHARES: [f64; 4] = [1.0, 0.5, 0.1, 0.01];
/// Numbers of points asked for.
pub(super) const LIMITS: [usize; 2] = [10, 100];
/// Different queries that are enough to learn from, and to learn from once more.
const QUERIES: [usize; 2] = [96, 480];

/// What a field has learned, from its own rows first, and from queries once there were enough of them: these may be unlike the
/// rows.
#[derive(Debug, Default)]
pub(crate) struct Calibrations {
    learned: RwLock<Option<Arc<Calibration>>>,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Whether anyone has asked for a recall.
    wanted: bool,
    queries: Vec<Vector>,
}

impl Calibrations {
    /// What a file says; nothing is known when it says nothing sensible.
    pub(super) fn open(bytes: Option<&[u8]>) -> Self {
        let learned: Option<Calibration> = bytes.and_then(|bytes| codec::decode(bytes, "lengths".as_ref(), 0).ok());
        Self { learned: RwLock::new(learned.filter(Calibration::is_sound).map(Arc::new)), asked: Mutex::default() }
    }

    /// The length for a search; nothing while nothing is known. `near_share` is the share of matches around the query.
    pub(super) fn ef(&self, recall: f64, leaf: &Leaf<'_>, share: f64, near_share: Option<f64>) -> Option<usize> {
        let learned = self.learned.read().clone();
        if learned.as_ref().is_none_or(|learned| next(learned.queries).is_some()) {
            self.note(leaf);
        }
        learned?.ef(recall, share, near_share, leaf.k)
    }

    /// Remembers a query, until there are enough.
    fn note(&self, leaf: &Leaf<'_>) {
        let mut asked = self.asked.lock();
        asked.wanted = true;
        if let ([vector], None) = (&*leaf.query.vectors, &leaf.query.combine)
            && asked.queries.len() < QUERIES[1]
            && !asked.queries.contains(vector)
        {
            asked.queries.push(vector.clone().into_owned());
        }
    }

    /// Whether there is something to learn: searches came and nothing is known, or there are enough of them to learn from.
    pub(crate) fn is_due(&self) -> bool {
        let asked = self.asked.lock();
        let learned = self.learned.read();
        match &*learned {
            None => asked.wanted,
            Some(learned) => next(learned.queries).is_some_and(|enough| asked.queries.len() >= enough),
        }
    }

    /// Learns on the threads of the current pool; what a file is to keep. Searches go by it from now on.
    ///
    /// # Errors
    /// Unreadable files, and [`Error::Cancelled`](crate::Error::Cancelled).
    pub(crate) fn learn(&self, segment: &dyn Segment, field: &str, full_scan_bytes: usize, cancel: &AtomicBool) -> Result<Vec<u8>> {
        let before = self.learned.read().clone().unwrap_or_default();
        let queries = {
            let mut asked = self.asked.lock();
            match asked.queries.len() {
                few if next(before.queries).is_none_or(|enough| few < enough) => Vec::new(),
                some if next(some).is_some() => asked.queries.clone(),
                // No more will be learned, so none are gathered any more.
                _ => std::mem::take(&mut asked.queries),
            }
        };
        let curves = match Lesson::new(segment, field, full_scan_bytes, cancel) {
            Some(lesson) => lesson.curves(&queries)?,
            None => Vec::new(),
        };
        let learned = Calibration { queries: queries.len(), curves }.or(&before);
        let bytes = codec::encode(&learned)?;
        *self.learned.write() = Some(Arc::new(learned));
        Ok(bytes)
    }
}

/// How many queries there must be to learn again, after so many.
fn next(learned: usize) -> Option<usize> {
    QUERIES.into_iter().find(|&enough| learned < enough)
}

/// Recall by length of the candidate list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Calibration {
    /// How many queries it was learned from; none if from rows.
    queries: usize,
    curves: Vec<Curve>,
}

/// Recall by length, for searches of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Curve {
    /// Share of the rows that match.
    pub(super) share: f64,
    /// Which of the affinities of filters that match regions; none of a filter that has nothing to do with the vectors.
    pub(super) bin: Option<u8>,
    /// Mean [`affinity`].
    pub(super) affinity: f64,
    pub(super) limit: usize,
    /// Lengths, ascending, with recalls that do not fall and are likely to be given.
    pub(super) points: Vec<(f64, f64)>,
}

/// What a filter has to do with a query: -1 when nothing around the query matches, 0 when as much does as elsewhere, 1 when
/// everything does.
pub(super) fn affinity(share: f64, near_share: f64) -> f64 {
    let above = near_share - share;
    let most = if above < 0.0 { share } else { 1.0 - share };
    if most > 0.0 { (above / most).clamp(-1.0, 1.0) } else { 0.0 }
}

impl Calibration {
    /// With the curves of an older one where this one has none.
    fn or(mut self, older: &Self) -> Self {
        let is_missing = |old: &&Curve| {
            let same = |curve: &Curve| (curve.share, curve.bin, curve.limit) == (old.share, old.bin, old.limit);
            !self.curves.iter().any(same)
        };
        let missing: Vec<Curve> = older.curves.iter().filter(is_missing).cloned().collect();
        self.curves.extend(missing);
        self
    }

    fn is_sound(&self) -> bool {
        self.curves.iter().all(|curve| {
            let numbers = curve.points.iter().flat_map(|&(length, recall)| [length, recall]);
            curve.affinity.is_finite() && numbers.into_iter().all(f64::is_finite) && curve.points.iter().all(|&(length, _)| length >= 1.0)
        })
    }

    /// The length for a recall of `limit` points of a share of all; nothing when nothing was learned.
    fn ef(&self, recall: f64, share: f64, near_share: Option<f64>, limit: usize) -> Option<usize> {
        let affinity = near_share.map_or(0.0, |near| affinity(share, near));
        let of = |share: f64| {
            let [few, many] = LIMITS;
            let length = |limit: usize| Some(self.length(recall, share, affinity, limit)? / limit as f64);
            let at = (limit.clamp(few, many) as f64 / few as f64).ln() / (many as f64 / few as f64).ln();
            Some(between(length(few)?, length(many)?, at) * limit as f64)
        };
        let after = SHARES.iter().position(|&known| known <= share).unwrap_or(SHARES.len() - 1);
        let length = match after.checked_sub(1) {
            None => of(SHARES[0])?,
            Some(before) => {
                let (above, below) = (SHARES[before], SHARES[after]);
                let at = ((above / share).ln() / (above / below).ln()).clamp(0.0, 1.0);
                between(of(above)?, of(below)?, at)
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive length")]
        Some((length.round() as usize).max(limit))
    }

    /// The length for a share and a limit there are curves of: the longer one of those for filters that have nothing to do with
    /// the vectors and for those that have, since what filter it is shows only roughly around the query.
    fn length(&self, recall: f64, share: f64, affinity: f64, limit: usize) -> Option<f64> {
        let curves = || self.curves.iter().filter(|curve| curve.share == share && curve.limit == limit);
        let scattered = curves().find(|curve| curve.bin.is_none()).map(|curve| curve.length(recall));
        let regional = || curves().filter(|curve| curve.bin.is_some());
        let below = regional().filter(|curve| curve.affinity <= affinity).max_by(|a, b| a.affinity.total_cmp(&b.affinity));
        let above = regional().filter(|curve| curve.affinity > affinity).min_by(|a, b| a.affinity.total_cmp(&b.affinity));
        let regional = match (below, above) {
            (Some(below), Some(above)) => {
                let at = (affinity - below.affinity) / (above.affinity - below.affinity);
                Some(between(below.length(recall), above.length(recall), at))
            }
            (one, other) => one.or(other).map(|curve| curve.length(recall)),
        };
        match (scattered, regional) {
            (Some(scattered), Some(regional)) => Some(scattered.max(regional)),
            (one, other) => one.or(other),
        }
    }
}

/// Between two lengths, by their logarithms.
fn between(from: f64, to: f64, at: f64) -> f64 {
    (from.ln() * (1.0 - at) + to.ln() * at).exp()
}

impl Curve {
    fn length(&self, recall: f64) -> f64 {
        let after = self.points.partition_point(|&(_, reached)| reached < recall);
        match (after.checked_sub(1).map(|before| self.points[before]), self.points.get(after)) {
            (Some((from, low)), Some(&(to, high))) if high > low => from + (to - from) * (recall - low) / (high - low),
            (_, Some(&(length, _))) | (Some((length, _)), None) => length,
            (None, None) => self.limit as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(share: f64, bin: Option<u8>, affinity: f64, limit: usize, longest: f64) -> Curve {
        Curve { share, bin, affinity, limit, points: vec![(limit as f64, 0.5), (longest * limit as f64, 1.0)] }
    }

    fn known() -> Calibration {
        let of = |share: f64, length: f64| {
            LIMITS.into_iter().flat_map(move |limit| {
                [
                    curve(share, None, 0.0, limit, length),
                    curve(share, Some(0), -1.0, limit, 4.0 * length),
                    curve(share, Some(3), 1.0, limit, 2.0 * length),
                ]
            })
        };
        Calibration { queries: 0, curves: SHARES.into_iter().flat_map(|share| of(share, 2.0 / share)).collect() }
    }

    #[test]
    fn affinity_goes_from_nothing_to_everything() {
        assert_eq!([0.0, 0.125, 0.25, 0.625, 1.0].map(|near| affinity(0.25, near)), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!((affinity(1.0, 1.0), affinity(0.0, 0.0)), (0.0, 0.0));
    }

    #[test]
    fn lengths_follow_share_and_affinity() {
        let known = known();
        let ef = |share, near| known.ef(1.0, share, near, 10).expect("was learned");
        // What is known of no region lies between what helps and what hinders: the root of 4 times 2 as long.
        assert_eq!([ef(1.0, None), ef(0.5, None), ef(0.1, None), ef(0.01, None), ef(0.001, None)], [57, 113, 566, 5657, 5657]);
        assert_eq!([ef(0.1, Some(0.1)), ef(0.1, Some(0.0)), ef(0.1, Some(1.0))], [566, 800, 400]);
        // Never shorter than for a filter that has nothing to do with the vectors.
        let mut known_short = known.clone();
        known_short.curves.iter_mut().filter(|curve| curve.bin.is_some()).for_each(|curve| curve.points.truncate(1));
        assert_eq!(known_short.ef(1.0, 0.1, Some(0.0), 10), Some(200));
        // Between curves, by logarithms.
        assert_eq!(ef(0.1, Some(0.05)), 673);
        assert!((113..566).contains(&ef(0.3, Some(0.3))));
        assert_eq!(Calibration::default().ef(0.9, 1.0, None, 10), None);
    }

    #[test]
    fn what_was_learned_comes_back_and_damage_is_no_knowledge() {
        let bytes = codec::encode(&known()).expect("can be written");
        let opened = |bytes: &[u8]| Calibrations::open(Some(bytes)).learned.into_inner();
        assert_eq!(opened(&bytes).map(|known| known.curves.len()), Some(known().curves.len()));
        assert!(opened(&bytes[1..]).is_none() && opened(&[]).is_none());
        let mut senseless = known();
        senseless.curves[3].points[0].0 = f64::NAN;
        assert!(opened(&codec::encode(&senseless).expect("can be written")).is_none());
    }

    #[test]
    fn older_curves_stand_in_where_new_ones_are_missing() {
        let new = Calibration { queries: 480, curves: vec![curve(0.5, None, 0.0, 10, 64.0)] }.or(&known());
        assert_eq!(new.curves.len(), known().curves.len());
        assert_eq!(new.ef(1.0, 0.5, None, 10), Some(640));
        // The older curve of a region is shorter, and the longer one counts.
        assert_eq!(new.ef(1.0, 0.5, Some(0.0), 10), Some(640));
        assert_eq!(known().ef(1.0, 0.5, Some(0.0), 10), Some(160));
    }
}
