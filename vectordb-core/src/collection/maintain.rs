//! What to do next: a pure function of sizes.
//!
//! Full growing segments are sealed first when several wait, since they hold memory and log; but graphs and cleaning have
//! their turn also under steady writing. Small sealed segments have no graph and are
//! scanned; once they are worth a graph together they are merged into one, with all graph segments that are no larger than
//! what has been gathered (so segment sizes at least double, and a row is indexed a logarithmic number of times). Once nobody
//! writes, also graphs are merged that are not that much smaller than all others together: a search asks every segment.

use crate::model::config::CollectionConfig;
use crate::segment::{Growing, SegmentId};

use super::JobKind;
use super::view::View;

/// Something to do in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// Turn the oldest frozen segment into files.
    Seal,
    /// Write the payload indexes of a segment that has them only in memory.
    SaveIndexes(SegmentId),
    /// Make one segment of these, with a graph if it is large enough.
    Merge(Vec<SegmentId>),
    /// Rewrite a segment without its dead rows.
    Vacuum(SegmentId),
    /// Learn how long candidate lists must be for the recalls that searches ask for.
    Learn(SegmentId),
}

/// A sealed segment as the planner sees it.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) id: SegmentId,
    pub(super) rows: u64,
    pub(super) dead: u64,
    /// Bytes of vectors.
    pub(super) bytes: u64,
    /// Whether every field that is large enough for a graph has one of the configured shape.
    pub(super) indexed: bool,
    /// Whether it has any graph at all.
    pub(super) has_graph: bool,
    pub(super) indexes_saved: bool,
    /// Whether searches wait for it to learn.
    pub(super) lessons_due: bool,
    /// Bytes of memory that making a new segment of its live rows takes at least.
    pub(super) build_bytes: u64,
}

/// What to do next, and what cannot be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) job: Option<Job>,
    /// A job that is due but takes more memory than there is: its kind and the bytes it takes.
    pub(super) deferred: Option<(JobKind, u64)>,
}

/// Growing segments are full at this many bytes of vectors, of payload, or rows.
const FULL_VECTOR_BYTES: usize = 4 << 20;
const FULL_PAYLOAD_BYTES: usize = 64 << 20;
const FULL_ROWS: u32 = 1 << 17;
/// Bytes of vectors without a graph from which writers wait: what a search can scan in some milliseconds.
const BACKLOG_BYTES: u64 = 64 << 20;
const BACKLOG_FROZEN: usize = 3;
/// Frozen segments up to which making graphs comes before sealing.
const MOST_FROZEN_BEFORE_GRAPHS: usize = 2;
/// Small segments from which they are merged although they are not worth a graph.
const MOST_SMALL: usize = 8;
/// Segments count as of one size when the largest is at most so many times the smallest.
const ALIKE: u64 = 4;
/// When nobody writes, segments are merged with the next larger one if that is at most so many times as large as all of them:
/// a search then asks about one segment for each power of nine, and a row is rewritten about eight times for each at most.
const SETTLED: u64 = 8;
/// Bytes of vectors of the largest segment a merge makes, if nothing is configured.
const LARGEST_SEGMENT: u64 = 16 << 30;

/// Whether a growing segment should be frozen; it may take `most_bytes` of memory.
pub(super) fn is_full(growing: &Growing, most_bytes: u64) -> bool {
    growing.counted_bytes() as u64 >= most_bytes
        || growing.vector_bytes() >= FULL_VECTOR_BYTES
        || growing.payload_bytes() >= FULL_PAYLOAD_BYTES
        || growing.len() >= FULL_ROWS
}

/// Whether writers should wait for the background; `most_bytes` of vectors may be without a graph.
pub(super) fn backlog_is_full(view: &View, most_bytes: u64) -> bool {
    if view.config.optimizers_config.indexing_threshold == Some(0) || !has_links(&view.config) {
        return view.frozen.len() >= BACKLOG_FROZEN;
    }
    let flat: usize = view.sealed.iter().map(|sealed| sealed.vector_bytes()).map(|(all, linked)| all - linked).sum();
    view.frozen.len() >= BACKLOG_FROZEN || flat as u64 >= BACKLOG_BYTES.min(most_bytes)
}

/// How eager the planner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What pays by itself.
    Background,
    /// Also what pays once nobody writes any more.
    Idle,
    /// Also what the owner asked for: few segments, no dead rows.
    Full,
}

/// The next job, or nothing. Jobs that make graphs may take `room` bytes of memory; what takes more waits, while everything
/// else goes on.
pub(super) fn plan(frozen: usize, segments: &[Sizes], config: &CollectionConfig, effort: Effort, room: u64) -> Plan {
    let due = |segment: &&Sizes| !segment.indexed || is_due(segment, config, effort);
    let large = segments.iter().filter(|segment| segment.build_bytes > room).find(due);
    let deferred = large.map(|large| (if large.indexed { JobKind::Vacuum } else { JobKind::Merge }, large.build_bytes));
    // Sealing and saving indexes take little, and give memory back.
    let small: Vec<Sizes> = segments.iter().filter(|segment| segment.build_bytes <= room || !segment.indexes_saved).cloned().collect();
    // Learning comes last: a merge would make another segment, which must learn anew.
    let lesson = || segments.iter().find(|segment| segment.lessons_due).map(|segment| Job::Learn(segment.id));
    Plan { job: next(frozen, &small, config, effort, room).or_else(lesson), deferred }
}

fn next(frozen: usize, segments: &[Sizes], config: &CollectionConfig, effort: Effort, room: u64) -> Option<Job> {
    // Under steady writing there is always something to seal; graphs must have their turn, or searches scan more and more.
    if frozen > 0
        && frozen <= MOST_FROZEN_BEFORE_GRAPHS
        && effort == Effort::Background
        && segments.iter().all(|segment| segment.indexes_saved)
        && let Some(job) = vacuum(segments, config, effort).or_else(|| merge(segments, config, effort, room))
    {
        return Some(job);
    }
    if frozen > 0 {
        return Some(Job::Seal);
    }
    if let Some(segment) = segments.iter().find(|segment| !segment.indexes_saved) {
        return Some(Job::SaveIndexes(segment.id));
    }
    let job = vacuum(segments, config, effort).or_else(|| merge(segments, config, effort, room));
    if effort == Effort::Idle { job.or_else(|| settle(segments, config, room)) } else { job }
}

/// Whether graphs are wanted: one over all rows of a segment, or one for each tenant.
fn has_links(config: &CollectionConfig) -> bool {
    config.hnsw_config.m > 0 || config.hnsw_config.payload_m.is_some_and(|m| m > 0)
}

fn vacuum(segments: &[Sizes], config: &CollectionConfig, effort: Effort) -> Option<Job> {
    segments.iter().find(|segment| is_due(segment, config, effort)).map(|segment| Job::Vacuum(segment.id))
}

/// Whether a segment is to be rewritten for its dead rows.
fn is_due(segment: &Sizes, config: &CollectionConfig, effort: Effort) -> bool {
    let optimizers = &config.optimizers_config;
    match effort {
        Effort::Full => segment.dead > 0,
        Effort::Background | Effort::Idle => {
            segment.dead as f64 > segment.rows as f64 * optimizers.deleted_threshold
                && (segment.rows >= optimizers.vacuum_min_vector_number as u64 || segment.dead == segment.rows)
        }
    }
}

fn merge(segments: &[Sizes], config: &CollectionConfig, effort: Effort, room: u64) -> Option<Job> {
    let optimizers = &config.optimizers_config;
    let largest = largest_bytes(config);
    let threshold = optimizers.indexing_threshold.map_or(4_000, |kb| kb as u64).saturating_mul(1024);
    let mut by_size: Vec<&Sizes> = segments.iter().collect();
    by_size.sort_by_key(|segment| (segment.bytes, segment.id));
    if effort == Effort::Full {
        let (mut bytes, mut memory) = (0, 0u64);
        let fits = |segment: &&&Sizes| {
            bytes += segment.bytes;
            memory = memory.saturating_add(segment.build_bytes);
            bytes <= largest && memory <= room
        };
        let together: Vec<SegmentId> = by_size.iter().take_while(fits).map(|segment| segment.id).collect();
        if together.len() > 1 {
            return Some(Job::Merge(together));
        }
    }
    let mut gathered: Vec<SegmentId> = Vec::new();
    let (mut bytes, mut memory) = (0, 0u64);
    for segment in by_size.iter().filter(|segment| !segment.indexed || !segment.has_graph) {
        let fits = bytes + segment.bytes <= largest && memory.saturating_add(segment.build_bytes) <= room;
        if fits || gathered.is_empty() {
            bytes += segment.bytes;
            memory = memory.saturating_add(segment.build_bytes);
            gathered.push(segment.id);
        }
    }
    let misses_graph = by_size.iter().any(|segment| !segment.indexed);
    let worth_a_graph = threshold > 0 && has_links(config) && bytes >= threshold && gathered.len() > 1;
    if !misses_graph && !worth_a_graph {
        return few_of_many_small(&by_size);
    }
    for segment in by_size.iter().filter(|segment| segment.indexed && segment.has_graph) {
        let fits = bytes + segment.bytes <= largest && memory.saturating_add(segment.build_bytes) <= room;
        if segment.bytes <= bytes && fits {
            bytes += segment.bytes;
            memory = memory.saturating_add(segment.build_bytes);
            gathered.push(segment.id);
        }
    }
    Some(Job::Merge(gathered))
}

/// Bytes of vectors of the largest segment a merge may make.
fn largest_bytes(config: &CollectionConfig) -> u64 {
    config.optimizers_config.max_segment_size.map_or(LARGEST_SEGMENT, |kb| (kb as u64).saturating_mul(1024))
}

/// Merges the smallest segments with those that are not much larger than all of them together, down to the number that is
/// wished for.
fn settle(segments: &[Sizes], config: &CollectionConfig, room: u64) -> Option<Job> {
    let mut by_size: Vec<&Sizes> = segments.iter().collect();
    by_size.sort_by_key(|segment| (segment.bytes, segment.id));
    let wished = config.optimizers_config.default_segment_number.max(1);
    let most = (by_size.len() + 1).saturating_sub(wished);
    let (mut bytes, mut memory) = (0, 0u64);
    let goes_along = |segment: &&&Sizes| {
        let alike = bytes == 0 || segment.bytes <= SETTLED.saturating_mul(bytes);
        bytes += segment.bytes;
        memory = memory.saturating_add(segment.build_bytes);
        alike && bytes <= largest_bytes(config) && memory <= room
    };
    let together: Vec<SegmentId> = by_size.iter().take(most).take_while(goes_along).map(|segment| segment.id).collect();
    (together.len() > 1).then_some(Job::Merge(together))
}

/// Merges the smallest segments when there are many of about one size, so that a row is rewritten a logarithmic number of times.
fn few_of_many_small(by_size: &[&Sizes]) -> Option<Job> {
    let small: Vec<&&Sizes> = by_size.iter().filter(|segment| !segment.has_graph).collect();
    let like = small.first()?.bytes.max(1 << 20) * ALIKE;
    let alike: Vec<SegmentId> = small.iter().take_while(|segment| segment.bytes <= like).map(|segment| segment.id).collect();
    (alike.len() >= MOST_SMALL).then_some(Job::Merge(alike))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn flat(id: u64, mb: u64) -> Sizes {
        Sizes {
            id: SegmentId(id),
            rows: mb * 1000,
            dead: 0,
            bytes: mb * MB,
            indexed: true,
            has_graph: false,
            indexes_saved: true,
            lessons_due: false,
            build_bytes: mb * MB,
        }
    }

    fn linked(id: u64, mb: u64) -> Sizes {
        Sizes { has_graph: true, ..flat(id, mb) }
    }

    fn next(segments: &[Sizes]) -> Option<Job> {
        plan(0, segments, &CollectionConfig::default(), Effort::Background, u64::MAX).job
    }

    fn ids(ids: &[u64]) -> Vec<SegmentId> {
        ids.iter().map(|&id| SegmentId(id)).collect()
    }

    #[test]
    fn nothing_to_do_with_nothing() {
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[flat(1, 1)]), None);
        assert_eq!(next(&[linked(1, 100)]), None);
    }

    #[test]
    fn frozen_segments_are_sealed_first() {
        assert_eq!(plan(1, &[flat(1, 100)], &CollectionConfig::default(), Effort::Background, 0).job, Some(Job::Seal));
    }

    #[test]
    fn a_large_segment_without_its_graph_gets_one() {
        assert_eq!(next(&[Sizes { indexed: false, ..flat(1, 16) }]), Some(Job::Merge(ids(&[1]))));
    }

    #[test]
    fn merges_take_graphs_along_that_are_no_larger() {
        let fresh = Sizes { indexed: false, ..flat(3, 16) };
        assert_eq!(next(&[linked(1, 100), linked(2, 16), fresh.clone()]), Some(Job::Merge(ids(&[3, 2]))));
        assert_eq!(next(&[linked(1, 100), linked(2, 50), fresh]), Some(Job::Merge(ids(&[3]))));
    }

    #[test]
    fn many_small_segments_become_one() {
        let small: Vec<Sizes> = (0..8).map(|id| flat(id, 0)).collect();
        assert!(matches!(next(&small), Some(Job::Merge(merged)) if merged.len() == 8));
        assert_eq!(next(&small[..7]), None);
    }

    #[test]
    fn without_graphs_large_segments_are_not_rewritten_for_a_few_small_ones() {
        let mut config = CollectionConfig::default();
        config.optimizers_config.indexing_threshold = Some(0);
        let next = |segments: &[Sizes]| plan(0, segments, &config, Effort::Background, u64::MAX).job;
        let mut segments: Vec<Sizes> = (0..8).map(|id| flat(id, 4)).collect();
        segments.extend([flat(20, 32), flat(21, 32)]);
        assert_eq!(next(&segments), Some(Job::Merge(ids(&[0, 1, 2, 3, 4, 5, 6, 7]))));
        assert_eq!(next(&segments[1..]), None);
    }

    #[test]
    fn whoever_asks_gets_as_few_segments_as_their_limit_allows() {
        let full = |segments: &[Sizes]| plan(0, segments, &CollectionConfig::default(), Effort::Full, u64::MAX).job;
        assert_eq!(full(&[linked(1, 500), linked(2, 900), flat(3, 1)]), Some(Job::Merge(ids(&[3, 1, 2]))));
        assert_eq!(full(&[linked(1, 12_000), linked(2, 12_000), flat(3, 1)]), Some(Job::Merge(ids(&[3, 1]))));
        assert_eq!(full(&[linked(1, 12_000), linked(2, 12_000)]), None);
    }

    #[test]
    fn few_segments_are_left_once_nobody_writes() {
        let idle = |segments: &[Sizes], config: &CollectionConfig| plan(0, segments, config, Effort::Idle, u64::MAX).job;
        let config = CollectionConfig::default();
        let grown = [linked(1, 400), linked(2, 100), linked(3, 50), flat(4, 4), flat(5, 4)];
        assert_eq!(next(&grown), None, "while writes go on they stay");
        assert_eq!(idle(&grown, &config), Some(Job::Merge(ids(&[4, 5, 3, 2, 1]))));
        let large = [linked(1, 4000), linked(2, 100), linked(3, 50)];
        assert_eq!(idle(&large, &config), Some(Job::Merge(ids(&[3, 2]))));
        assert_eq!(idle(&[linked(1, 4000), linked(6, 150)], &config), None);
        let mut wished = CollectionConfig::default();
        wished.optimizers_config.default_segment_number = 3;
        assert_eq!(idle(&grown, &wished), Some(Job::Merge(ids(&[4, 5, 3]))));
        assert_eq!(idle(&grown[..3], &wished), None);
        assert_eq!(plan(0, &large, &config, Effort::Idle, 60 * MB).job, None);
    }

    #[test]
    fn dead_rows_are_cleaned_when_there_are_enough() {
        let mut segment = linked(1, 100);
        segment.dead = segment.rows / 10;
        assert_eq!(next(&[segment.clone()]), None);
        segment.dead = segment.rows / 2;
        assert_eq!(next(&[segment.clone()]), Some(Job::Vacuum(SegmentId(1))));
        segment.dead = 1;
        assert_eq!(plan(0, &[segment], &CollectionConfig::default(), Effort::Full, u64::MAX).job, Some(Job::Vacuum(SegmentId(1))));
    }

    #[test]
    fn what_takes_more_memory_than_there_is_waits_and_the_rest_goes_on() {
        let within = |segments: &[Sizes], room, effort| plan(0, segments, &CollectionConfig::default(), effort, room);
        let bare = |id, mb| Sizes { indexed: false, ..flat(id, mb) };
        let two = [bare(1, 30), bare(2, 40), linked(3, 20)];
        assert_eq!(within(&two, 50 * MB, Effort::Background).job, Some(Job::Merge(ids(&[1, 3]))));
        let large = within(&two, 35 * MB, Effort::Background);
        assert_eq!(large, Plan { job: Some(Job::Merge(ids(&[1]))), deferred: Some((JobKind::Merge, 40 * MB)) });
        assert_eq!(within(&two, 10 * MB, Effort::Full), Plan { job: None, deferred: Some((JobKind::Merge, 30 * MB)) });
        let dead = Sizes { dead: 15_000, ..linked(1, 20) };
        assert_eq!(within(&[dead], MB, Effort::Background), Plan { job: None, deferred: Some((JobKind::Vacuum, 20 * MB)) });
        assert_eq!(within(&[linked(1, 20), linked(2, 20)], 30 * MB, Effort::Full), Plan::default());
    }

    #[test]
    fn segments_learn_when_nothing_else_is_to_be_done() {
        let asked = Sizes { lessons_due: true, ..linked(1, 100) };
        assert_eq!(next(std::slice::from_ref(&asked)), Some(Job::Learn(SegmentId(1))));
        assert_eq!(next(&[asked, Sizes { indexed: false, ..flat(2, 16) }]), Some(Job::Merge(ids(&[2]))));
    }

    #[test]
    fn planning_ends() {
        // Every merge leaves fewer segments or one more graph, so a planner that is followed comes to rest.
        let mut segments: Vec<Sizes> = (0..20).map(|id| Sizes { indexed: false, ..flat(id, 16 + id % 3) }).collect();
        let mut steps = 0;
        while let Some(Job::Merge(merged)) = next(&segments) {
            let bytes = segments.iter().filter(|segment| merged.contains(&segment.id)).map(|segment| segment.bytes).sum::<u64>();
            segments.retain(|segment| !merged.contains(&segment.id));
            segments.push(linked(100 + steps, bytes / MB));
            steps += 1;
            assert!(steps < 50);
        }
    }
}
