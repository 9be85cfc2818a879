//! The order of rows in a segment that will have a graph: clusters one after another.
//!
//! A walk stays in a few clusters, so their rows and links share pages and cache lines.

use rayon::prelude::*;

use super::build::{Input, Source};
use crate::quantization::Clusters;
use crate::quantization::kmeans::Centroids;
use crate::vectors::Space;

/// Rows that the centers are learned from, at most, and rounds of learning. The order need not be perfect to help.
const SAMPLE: usize = 16_384;
const ROUNDS: usize = 4;
/// Fewest and most clusters; between them the square root of the rows.
const CLUSTERS: std::ops::RangeInclusive<usize> = 16..=1024;
const BATCH: usize = 4096;

/// Sorts rows by cluster; rows of one cluster keep their order.
pub(super) fn by_cluster(
    inputs: &[Input],
    sources: Vec<Source>,
    field: &str,
    space: Space,
    pool: &rayon::ThreadPool,
    most_sample: usize,
) -> (Vec<Source>, Clusters) {
    let vector = |&(input, row): &Source| {
        let segment = &inputs[input].segment;
        let field = segment.field(field).filter(|_| segment.has_vector(field, row))?;
        Some(space.decode(field.rows.get(row)))
    };
    let most = SAMPLE.min(most_sample);
    let step = (sources.len() / most).max(1);
    // As many rows at once on each thread as a part of the sample.
    let batch = BATCH.min(most / 4).max(1);
    let mut sample: Vec<f32> = Vec::with_capacity(sources.len().div_ceil(step) * space.dim);
    sources.iter().step_by(step).filter_map(vector).for_each(|vector| sample.extend(vector));
    if sample.is_empty() {
        return (sources, Clusters::default());
    }
    let clusters = (sources.len() as f64).sqrt() as usize;
    pool.install(|| {
        let centroids = Centroids::learn(&sample, space.dim, clusters.clamp(*CLUSTERS.start(), *CLUSTERS.end()), ROUNDS);
        let empty = vec![0.0; space.dim];
        let nearest = |batch: &[Source]| {
            let mut rows: Vec<f32> = Vec::with_capacity(batch.len() * space.dim);
            batch.iter().for_each(|source| rows.extend(vector(source).as_deref().unwrap_or(&empty)));
            centroids.nearest(&rows)
        };
        let clusters: Vec<u32> = sources.par_chunks(batch).flat_map_iter(nearest).collect();
        let mut keyed: Vec<(u32, Source)> = clusters.into_iter().zip(sources).collect();
        keyed.sort_by_key(|(cluster, _)| *cluster);
        let count = centroids.centers().len() / space.dim;
        let first = |cluster: usize| keyed.partition_point(|&(of, _)| (of as usize) < cluster);
        let bounds = (0..=count).map(|cluster| u32::try_from(first(cluster)).unwrap_or(u32::MAX)).collect();
        let clusters = Clusters { centers: centroids.centers().to_vec(), bounds };
        (keyed.into_iter().map(|(_, source)| source).collect(), clusters)
    })
}
