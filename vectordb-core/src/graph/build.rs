//! Parallel construction: rows are inserted by many threads at once into lists of atomics.
//!
//! A reader may see a list while it is being rewritten, and so a mix of its old and new links. Every link in it leads to a
//! row of the graph, so that is only a slightly different graph; no lock is taken for reading. Writers of one list take
//! turns by a striped lock.
//!
//! Lists may grow to half more than their final length before they are pruned. Pruning costs some hundred distances, and
//! the slack lets sixteen back-links share one pruning; the surplus is pruned away when the graph is finished.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::vectors::{RowSet, Scorer};

use super::GraphParams;
use super::links::{self, Entries, NONE};
use super::pool::Pool;
use super::reuse::Reused;
use super::search::{Adjacency, Scored, beam, climb};
use super::select::select;
use super::visited::VisitedPool;

const STRIPES: usize = 1024;
/// Rows a thread takes at once.
const TAKEN_AT_ONCE: usize = 16;
/// No row rises higher; with 2^31 rows and m = 2 a level of 31 would be expected.
const HIGHEST_LEVEL: usize = 31;
/// One row in so many is inserted before the others.
const FIRST_SHARE: u64 = 8;

/// Lets others watch a long build and stop it.
#[derive(Debug, Default)]
pub(crate) struct BuildControl {
    /// Rows inserted so far.
    pub(crate) done: AtomicU64,
    /// Set to give up.
    pub(crate) cancel: AtomicBool,
}

/// Which rows lead to which.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent<'a> {
    /// One graph over so many rows; those that are not to be linked stay alone.
    Whole(u32),
    /// A graph over each of some ranges, ascending, none of them empty.
    Parts(&'a [Range<u32>]),
}

impl Extent<'_> {
    /// Rows with lists.
    fn rows(self) -> u32 {
        match self {
            Self::Whole(rows) => rows,
            Self::Parts(parts) => parts.last().map_or(0, |last| last.end),
        }
    }

    /// Whether one row may lead to another.
    pub(super) fn joins(self, row: u32, other: u32) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Parts(parts) => {
                let part = parts.get(parts.partition_point(|part| part.end <= row));
                part.is_some_and(|part| part.contains(&row) && part.contains(&other))
            }
        }
    }
}

/// What a graph is built of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuildPlan<'a, R> {
    pub(crate) params: GraphParams,
    pub(crate) set: &'a R,
    /// The rows to be linked, ascending; those outside of the extent are passed over.
    pub(crate) present: &'a [u32],
    pub(crate) extent: Extent<'a>,
    /// Decides the rows' levels.
    pub(crate) seed: u64,
    /// A graph over some of the rows, whose links are taken over.
    pub(crate) reused: Option<Reused<'a>>,
}

/// Builds a graph and writes it to `sink` in the layout of `links`.
///
/// Levels depend on the seed alone; links also depend on the order in which threads meet.
/// Costs about `ef_construct * m` distances a row.
///
/// # Errors
/// [`Error::Cancelled`], and whatever the sink returns.
pub(crate) fn build(
    plan: BuildPlan<'_, impl RowSet>,
    control: &BuildControl,
    pool: &rayon::ThreadPool,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let BuildPlan { present, extent, reused, seed, .. } = plan;
    let mut builder = Builder::new(plan);
    let mut taken = RoaringBitmap::new();
    if let Some(reused) = reused {
        taken = builder.take_over(reused, pool);
        control.done.fetch_add(taken.len(), Ordering::Relaxed);
    }
    let whole = 0..extent.rows();
    let parts = if let Extent::Parts(parts) = extent { parts } else { std::slice::from_ref(&whole) };
    let mut entries = Vec::with_capacity(parts.len());
    for part in parts {
        let inside = present.partition_point(|&row| row < part.start)..present.partition_point(|&row| row < part.end);
        let inside = &present[inside];
        let mut rest: Vec<u32> = inside.iter().copied().filter(|&row| !taken.contains(row)).collect();
        let old = reused.and_then(|reused| builder.highest(&reused, part, &taken));
        builder.begin_at(old, &mut rest, control);
        spread(&mut rest, seed);
        builder.insert_all(&rest, control, pool)?;
        builder.finish_all(inside, control, pool)?;
        entries.extend(builder.entry.read().map(|(entry, _)| links::Part { rows: part.clone(), entry }));
    }
    let entries = match extent {
        Extent::Whole(_) => Entries::Whole(entries.first().map(|part| part.entry)),
        Extent::Parts(_) => Entries::Parts(&entries),
    };
    builder.write(entries, extent.rows(), sink)
}

pub(super) struct Builder<'a, R> {
    pub(super) params: GraphParams,
    pub(super) set: &'a R,
    pub(super) extent: Extent<'a>,
    seed: u64,
    /// Width of a list of the lowest level, slack included.
    width: usize,
    lowest: Box<[AtomicU32]>,
    /// Lists of the rows that have upper levels; made before the first insertion.
    pub(super) upper: BTreeMap<u32, Vec<RwLock<Vec<u32>>>>,
    stripes: Box<[Mutex<()>]>,
    /// Where insertions begin, and its highest level.
    entry: RwLock<Option<(u32, usize)>>,
    visited: VisitedPool,
}

impl<'a, R: RowSet> Builder<'a, R> {
    fn new(plan: BuildPlan<'a, R>) -> Self {
        let BuildPlan { params, set, present, extent, seed, .. } = plan;
        let total = extent.rows();
        let width = params.links_at(0) + params.links_at(0) / 2;
        let mut builder = Self {
            params,
            set,
            extent,
            seed,
            width,
            lowest: (0..total as usize * width).map(|_| AtomicU32::new(NONE)).collect(),
            upper: BTreeMap::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            entry: RwLock::new(None),
            visited: VisitedPool::new(total as usize),
        };
        builder.upper = present
            .iter()
            .filter(|&&row| extent.joins(row, row))
            .map(|&row| (row, builder.level(row)))
            .filter(|&(_, level)| level > 0)
            .map(|(row, level)| (row, (0..level).map(|_| RwLock::new(Vec::new())).collect()))
            .collect();
        builder
    }

    /// The highest level of a row: exponentially distributed, and the same for the same seed.
    fn level(&self, row: u32) -> usize {
        let uniform = ((mixed(self.seed, row) >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        let scale = 1.0 / f64::from(self.params.m.max(2)).ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let level = (-uniform.ln() * scale) as usize;
        level.min(HIGHEST_LEVEL)
    }

    /// Lets a graph begin at a row that has its links already, or at the first of the rows to be inserted.
    fn begin_at(&self, old: Option<(u32, usize)>, rest: &mut Vec<u32>, control: &BuildControl) {
        let first = || {
            let first = (!rest.is_empty()).then(|| rest.remove(0))?;
            control.done.fetch_add(1, Ordering::Relaxed);
            Some((first, self.level(first)))
        };
        *self.entry.write() = old.or_else(first);
    }

    /// Inserts rows on all threads of the pool.
    fn insert_all(&self, rows: &[u32], control: &BuildControl, pool: &rayon::ThreadPool) -> Result<()> {
        each_row(rows, control, pool, &|row| {
            self.insert(row);
            control.done.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Takes the slack out of all lists.
    fn finish_all(&self, rows: &[u32], control: &BuildControl, pool: &rayon::ThreadPool) -> Result<()> {
        each_row(rows, control, pool, &|row| self.finish(row))
    }

    fn insert(&self, row: u32) {
        let level = self.level(row);
        let scorer = self.set.scorer_of(row);
        let Some((entry, top)) = *self.entry.read() else { return };
        let mut best = Scored { score: scorer.score(entry), row: entry };
        for above in (level + 1..=top).rev() {
            best = climb(self, above, &scorer, best, &mut 0);
        }
        let mut entries = vec![best];
        for at in (0..=level.min(top)).rev() {
            let found = self.visited.with(|visited| {
                visited.insert(row);
                let mut pool = Pool::new(self.params.ef_construct as usize);
                beam(self, at, &scorer, &mut pool, visited, &entries);
                pool.into_sorted().filter(|&(_, found)| found != row).collect::<Vec<_>>()
            });
            let neighbours = select(self.set, &found, self.params.m as usize);
            self.set(row, at, &neighbours);
            for &neighbour in &neighbours {
                self.link_back(neighbour, at, row);
            }
            entries = found.into_iter().map(|(score, row)| Scored { score, row }).collect();
        }
        if level > top {
            let mut entry = self.entry.write();
            if entry.is_none_or(|(_, top)| level > top) {
                *entry = Some((row, level));
            }
        }
    }

    fn stripe(&self, row: u32) -> &Mutex<()> {
        &self.stripes[row as usize % STRIPES]
    }

    fn list(&self, row: u32) -> &[AtomicU32] {
        let from = row as usize * self.width;
        &self.lowest[from..from + self.width]
    }

    fn set(&self, row: u32, level: usize, links: &[u32]) {
        if level > 0 {
            if let Some(list) = self.upper.get(&row).and_then(|lists| lists.get(level - 1)) {
                // Links made by others meanwhile are kept.
                let mut list = list.write();
                let mut merged = links.to_vec();
                merged.extend(list.iter().filter(|link| !links.contains(link)));
                merged.truncate(self.params.links_at(level));
                *list = merged;
            }
            return;
        }
        let _alone = self.stripe(row).lock();
        let mut merged = links.to_vec();
        self.gather(row, 0, &mut merged);
        let mut place = 0;
        merged.retain(|link| {
            place += 1;
            place <= links.len() || !links.contains(link)
        });
        self.store(row, &merged);
    }

    /// Replaces a list of the lowest level; the caller holds the row's stripe.
    pub(super) fn store(&self, row: u32, links: &[u32]) {
        let slots = self.list(row);
        for (slot, link) in slots.iter().zip(links.iter().copied().chain(std::iter::repeat(NONE))) {
            // Relaxed: a link needs nothing published before it, the rows' bytes were complete before the build began.
            slot.store(link, Ordering::Relaxed);
        }
    }

    fn link_back(&self, row: u32, level: usize, to: u32) {
        if level > 0 {
            let Some(list) = self.upper.get(&row).and_then(|lists| lists.get(level - 1)) else { return };
            let mut list = list.write();
            if !list.contains(&to) {
                list.push(to);
                if list.len() > self.params.links_at(level) {
                    *list = self.pruned(row, &list, self.params.links_at(level));
                }
            }
            return;
        }
        let _alone = self.stripe(row).lock();
        let mut links = Vec::with_capacity(self.width + 1);
        self.gather(row, 0, &mut links);
        if links.contains(&to) {
            return;
        }
        if let Some(free) = self.list(row).get(links.len()) {
            free.store(to, Ordering::Relaxed);
            return;
        }
        links.push(to);
        self.store(row, &self.pruned(row, &links, self.params.links_at(0)));
    }

    pub(super) fn pruned(&self, row: u32, links: &[u32], keep: usize) -> Vec<u32> {
        let scorer = self.set.scorer_of(row);
        let mut scores = vec![0.0; links.len()];
        scorer.score_many(links, &mut scores);
        let mut candidates: Vec<(f32, u32)> = scores.into_iter().zip(links.iter().copied()).collect();
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        select(self.set, &candidates, keep)
    }

    /// Takes the slack out of a finished list.
    fn finish(&self, row: u32) {
        let _alone = self.stripe(row).lock();
        let mut links = Vec::with_capacity(self.width);
        self.gather(row, 0, &mut links);
        if links.len() > self.params.links_at(0) {
            self.store(row, &self.pruned(row, &links, self.params.links_at(0)));
        }
    }

    fn write(&self, entries: Entries<'_>, rows: u32, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let upper: Vec<(u32, Vec<Vec<u32>>)> =
            self.upper.iter().map(|(&row, lists)| (row, lists.iter().map(|list| list.read().clone()).collect())).collect();
        let lowest = |row| {
            let mut links = Vec::with_capacity(self.width);
            self.gather(row, 0, &mut links);
            links
        };
        links::encode(self.params, entries, rows, lowest, &upper, sink)
    }
}

/// A number that depends on seed and row alone and looks random (SplitMix64, Steele, Lea & Flood 2014).
fn mixed(seed: u64, row: u32) -> u64 {
    let mut bits = seed ^ (u64::from(row) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Brings a share of the rows to the front, from everywhere, and leaves the others in the order they lie in.
///
/// Rows of a cluster lie together. Inserted one after another they find their neighbours in cache, but the first clusters
/// would be linked among themselves alone, so a sparse graph over all of them is made first.
fn spread(rows: &mut [u32], seed: u64) {
    rows.sort_by_cached_key(|&row| {
        let mixed = mixed(seed, row);
        if mixed.is_multiple_of(FIRST_SHARE) { (0, mixed) } else { (1, u64::from(row)) }
    });
}

/// Does something with rows on all threads of the pool, each taking the next few, so that they go through the rows together.
fn each_row(rows: &[u32], control: &BuildControl, pool: &rayon::ThreadPool, work: &(dyn Fn(u32) + Sync)) -> Result<()> {
    let next = AtomicUsize::new(0);
    pool.broadcast(|_| {
        while let Some(some) = rows.chunks(TAKEN_AT_ONCE).nth(next.fetch_add(1, Ordering::Relaxed)) {
            if control.cancel.load(Ordering::Relaxed) {
                return;
            }
            some.iter().for_each(|&row| work(row));
        }
    });
    if control.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

impl<R: RowSet> Adjacency for Builder<'_, R> {
    fn gather(&self, row: u32, level: usize, into: &mut Vec<u32>) {
        if level > 0 {
            if let Some(list) = self.upper.get(&row).and_then(|lists| lists.get(level - 1)) {
                into.extend_from_slice(&list.read());
            }
            return;
        }
        let list = self.list(row);
        let start = into.len();
        into.resize(start + list.len(), NONE);
        let mut count = 0;
        for (slot, place) in list.iter().zip(&mut into[start..]) {
            *place = slot.load(Ordering::Relaxed);
            if *place == NONE {
                break;
            }
            count += 1;
        }
        into.truncate(start + count);
    }
}
