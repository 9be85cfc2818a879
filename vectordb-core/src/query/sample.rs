//! Points chosen by chance.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use rustc_hash::{FxHashSet, FxHasher};

use super::{Found, Reading};
use crate::error::Result;
use crate::model::filter::Filter;
use crate::model::query::Budget;
use crate::segment::{Matcher, Segment};

/// Rows between two looks at the clock.
const BUDGET_EVERY: u32 = 4096;
/// Rows are drawn where there are so many times more than are wanted, and no more often than once for as many of them.
const WORTH_DRAWING: usize = 4;

/// Points of a filter chosen by chance, each with the same probability: those whose ids, hashed with the seed, are smallest
/// when a seed is given, so that it always gives the same points; else rows drawn at random, where many match.
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
    let matcher = |segment: &&'a dyn Segment| Matcher::new(*segment, filter.as_ref(), reading.at);
    let matchers: Vec<Matcher<'_>> = reading.segments.iter().map(matcher).collect();
    if seed.is_none()
        && let Some(drawn) = draw(&matchers, most, budget)?
    {
        return Ok(drawn.into_iter().map(|(number, row)| Found::new(reading.segments[number], row, 1.0)).collect());
    }
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut smallest = BinaryHeap::new();
    for (number, matcher) in matchers.iter().enumerate() {
        budget.check()?;
        let mut seen = 0u32;
        matcher.each(&mut |row| {
            seen += 1;
            if seen.is_multiple_of(BUDGET_EVERY) {
                budget.check()?;
            }
            let mut hasher = FxHasher::default();
            (seed, reading.segments[number].id(row)).hash(&mut hasher);
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

/// Draws rows of all segments until enough of them are accepted (rejection sampling, von Neumann 1951): each accepted row is
/// as likely to be next as any other. Nothing when rows are too few or too seldom accepted for that to be faster than looking
/// at all.
fn draw(matchers: &[Matcher<'_>], most: usize, budget: &Budget) -> Result<Option<Vec<(usize, u32)>>> {
    let bounds: Vec<usize> = matchers.iter().map(Matcher::drawable).collect();
    let all: usize = bounds.iter().sum();
    if most.saturating_mul(WORTH_DRAWING) > all {
        return Ok(None);
    }
    let (random, mut tries) = (RandomState::new(), 0u64);
    let mut drawn: Vec<(usize, u32)> = Vec::with_capacity(most);
    let mut seen: FxHashSet<usize> = FxHashSet::default();
    while drawn.len() < most {
        if tries >= (all / WORTH_DRAWING) as u64 {
            return Ok(None);
        }
        if tries.is_multiple_of(u64::from(BUDGET_EVERY)) {
            budget.check()?;
        }
        // The high half of a product is a number below `all`, even but for one in 2^64 / all (Lemire 2019).
        #[expect(clippy::cast_possible_truncation, reason = "below `all`")]
        let mut at = ((u128::from(random.hash_one(tries)) * all as u128) >> 64) as usize;
        tries += 1;
        if !seen.insert(at) {
            continue;
        }
        for (number, (matcher, &bound)) in matchers.iter().zip(&bounds).enumerate() {
            if at < bound {
                drawn.extend(matcher.drawn(at)?.map(|row| (number, row)));
                break;
            }
            at -= bound;
        }
    }
    Ok(Some(drawn))
}

/// Spreads a hash over all 64 bits (the finalizer of SplitMix64, Steele, Lea & Flood 2014).
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
