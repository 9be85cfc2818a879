//! How long a candidate list must be for a recall: learned on a segment's own rows.
//!
//! A row is a fair stand-in for a query if the walk does not step on the row itself, so some rows are asked for their
//! neighbours with lists of different lengths, each as if it were missing from the graph. Filters are stood in for by random
//! choices of rows, of several shares, since fewer matches ask for other ways and other lengths.

use std::borrow::Cow;

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::search::Search;
use super::{Leaf, Matcher, Segment};
use crate::error::Result;
use crate::model::point::Lsn;
use crate::model::query::Strategy;
use crate::vectors::Probe;

/// Shares of the rows that satisfy a filter; the first is no filter.
const SHARES: [f64; 4] = [1.0, 0.5, 0.1, 0.01];
/// Numbers of points asked for, and rows that stand in for queries.
const LIMITS: [(usize, usize); 2] = [(10, 320), (100, 48)];
/// Lengths tried, for each point asked for, until nothing is left to be found.
const LENGTHS: [f64; 13] = [1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.2, 16.0, 22.4, 32.0, 44.8, 64.0];
const ENOUGH: f64 = 0.9995;
/// The truth is taken from so many times more candidates than a search looks at.
const TRUTH: f64 = 8.0;

/// Recall by length of the candidate list.
#[derive(Debug, Default)]
pub(crate) struct Calibration {
    curves: Vec<Curve>,
}

#[derive(Debug)]
struct Curve {
    share: f64,
    limit: usize,
    /// Lengths, ascending, with recalls that do not fall.
    points: Vec<(f64, f64)>,
}

impl Calibration {
    /// Learns from a segment; nothing from one without a graph for the field.
    ///
    /// # Errors
    /// Unreadable files.
    pub(crate) fn learn(segment: &dyn Segment, leaf: &Leaf<'_>) -> Result<Self> {
        let mut curves = Vec::new();
        if segment.field(leaf.field).is_none_or(|field| field.graph.is_none()) {
            return Ok(Self::default());
        }
        for share in SHARES {
            for (limit, queries) in LIMITS {
                let points = measure(segment, leaf, share, limit, queries)?;
                curves.push(Curve { share, limit, points });
            }
        }
        Ok(Self { curves })
    }

    /// The length for a recall of `limit` points of a share of all; nothing when nothing was learned.
    pub(crate) fn ef(&self, recall: f64, share: f64, limit: usize) -> Option<usize> {
        let of = |share: f64| {
            let [(few, _), (many, _)] = LIMITS;
            let length = |limit: usize| {
                let curve = self.curves.iter().find(|curve| curve.share == share && curve.limit == limit)?;
                Some(curve.length(recall) / limit as f64)
            };
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

fn measure(segment: &dyn Segment, leaf: &Leaf<'_>, share: f64, limit: usize, queries: usize) -> Result<Vec<(f64, f64)>> {
    let rows = segment.rows(Lsn(u64::MAX));
    let step = (rows as usize / queries).max(1) | 1;
    let stand_ins: Vec<u32> =
        (0..rows).step_by(step).filter(|&row| segment.has_vector(leaf.field, row) && segment.tombstones().is_live(row, leaf.at)).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 32 bits")]
    let bound = (share * f64::from(u32::MAX)) as u32;
    // A multiplicative hash of the row, so that matches lie everywhere.
    let matching: Option<RoaringBitmap> = (share < 1.0).then(|| {
        (0..rows).filter(|row| (row.wrapping_add(1)).wrapping_mul(0x9E37_79B1).rotate_left(13).wrapping_mul(0x85EB_CA6B) <= bound).collect()
    });
    let recalls = |row: u32| -> Result<Vec<f64>> {
        let Some(field) = segment.field(leaf.field) else { return Ok(Vec::new()) };
        let probe = Probe::one(Cow::Owned(field.vector(row)));
        let ask = |ask: Leaf<'_>| {
            let matcher = match &matching {
                Some(matching) => Matcher::of_rows(segment, matching, leaf.at),
                None => Matcher::new(segment, None, leaf.at),
            };
            Search::over(segment, &ask, field, matcher, Some(row)).found().map(|(hits, _)| hits)
        };
        let asked = Leaf { query: &probe, k: limit, threshold: None, exclude: &[], filter: None, recall: None, ..*leaf };
        let mut truth = Leaf { strategy: Some(Strategy::Scan), ..asked };
        truth.quantization.oversampling = Some(leaf.quantization.oversampling.unwrap_or(1.0).max(TRUTH));
        let truth: Vec<u32> = ask(truth)?.into_iter().map(|hit| hit.row).collect();
        let mut recalls = Vec::new();
        for length in LENGTHS {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive length")]
            let ef = (length * limit as f64) as usize;
            let found = ask(Leaf { ef, ..asked })?;
            recalls.push(found.iter().filter(|hit| truth.contains(&hit.row)).count() as f64 / truth.len().max(1) as f64);
        }
        Ok(recalls)
    };
    let all: Vec<Vec<f64>> = stand_ins.into_par_iter().map(recalls).collect::<Result<_>>()?;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, length) in LENGTHS.iter().enumerate() {
        let sum: f64 = all.iter().filter_map(|recalls| recalls.get(at)).sum();
        let recall = (sum / all.len().max(1) as f64).max(points.last().map_or(0.0, |&(_, recall)| recall));
        points.push((length * limit as f64, recall));
        if recall >= ENOUGH {
            break;
        }
    }
    Ok(points)
}
