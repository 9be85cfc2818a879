//! Points chosen by chance.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use rustc_hash::FxHasher;

use super::{Found, Reading};
use crate::error::Result;
use crate::model::filter::Filter;
use crate::model::query::Budget;
use crate::segment::Matcher;

/// Rows between two looks at the clock.
const BUDGET_EVERY: u32 = 4096;

/// Points of a filter chosen by chance, each with the same probability: those whose ids, hashed with the seed, are smallest.
///
/// # Errors
/// Those of the filter, and the budget's.
pub(super) fn sample<'a>(
    reading: &Reading<'a>,
    filter: Option<&Filter>,
    most: usize,
    seed: Option<u64>,
    budget: &Budget,
) -> Result<Vec<Found<'a>>> {
    let filter = reading.compile(filter)?;
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut smallest = BinaryHeap::new();
    for (number, &segment) in reading.segments.iter().enumerate() {
        budget.check()?;
        let mut seen = 0u32;
        Matcher::new(segment, filter.as_ref(), reading.at).each(&mut |row| {
            seen += 1;
            if seen.is_multiple_of(BUDGET_EVERY) {
                budget.check()?;
            }
            let mut hasher = FxHasher::default();
            (seed, segment.id(row)).hash(&mut hasher);
            smallest.push((mixed(hasher.finish()), number, row));
            if smallest.len() > most {
                smallest.pop();
            }
            Ok(true)
        })?;
    }
    let chosen = smallest.into_sorted_vec().into_iter();
    Ok(chosen.map(|(_, number, row)| Found::new(reading.segments[number], row, 1.0)).collect())
}

/// Spreads a hash over all 64 bits (the finalizer of SplitMix64, Steele, Lea & Flood 2014).
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
