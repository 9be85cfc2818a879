//! How rare the dimensions of a sparse field are: the weight of a word in a search of texts (Spärck Jones 1972).

use rustc_hash::FxHashMap;

use super::Reading;
use crate::error::Result;
use crate::model::corpus::CorpusCounts;
use crate::segment::{CompiledFilter, Matcher};

/// `ln(1 + (n − df + 0.5) / (df + 0.5))` of each dimension, for `df` of the `n` members of a corpus.
pub(super) fn weights(counts: &CorpusCounts) -> FxHashMap<u32, f32> {
    let total = counts.members as f64;
    let weight = |frequency: u64| ((total - frequency as f64 + 0.5) / (frequency as f64 + 0.5)).max(0.0).ln_1p();
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
    counts.dimensions.iter().map(|(&index, &frequency)| (index, weight(frequency) as f32)).collect()
}

/// Live points that have the vector, and those of them that hold each of some dimensions. A corpus filter says which points count.
/// `O(1)` for each dimension and segment without dead rows and filter, otherwise `O(df)`.
///
/// # Errors
/// Unreadable payloads.
pub(super) fn counts(reading: &Reading<'_>, using: &str, indices: &[u32], corpus: Option<&CompiledFilter>) -> Result<CorpusCounts> {
    let mut total = 0;
    let mut frequencies = vec![0u64; indices.len()];
    for &segment in &reading.segments {
        let matcher = Matcher::new(segment, corpus, reading.at);
        let rows = segment.rows(reading.at);
        let Some(complete) = segment.sparse(using).map(|field| field.complete) else { continue };
        if matcher.accepts_all() && complete {
            total += u64::from(rows);
        } else {
            matcher.each(&mut |row| {
                total += u64::from(complete || segment.has_vector(using, row));
                Ok(true)
            })?;
        }
        let lists = segment.sparse(using).and_then(|field| field.lists);
        let Some(lists) = lists else {
            matcher.each(&mut |row| {
                let vector = segment.sparse_row(using, row);
                let counts = indices.iter().zip(&mut frequencies);
                counts.for_each(|(index, count)| *count += u64::from(vector.indices.binary_search(index).is_ok()));
                Ok(true)
            })?;
            continue;
        };
        for (&index, frequency) in indices.iter().zip(&mut frequencies) {
            let list = lists.list(index).rows();
            if matcher.accepts_all() {
                *frequency += list.len() as u64;
            } else {
                for &row in list {
                    *frequency += u64::from(matcher.accepts(row)?);
                }
            }
        }
    }
    Ok(CorpusCounts { members: total, dimensions: indices.iter().copied().zip(frequencies).collect(), ..CorpusCounts::default() })
}
