//! Sparse fields of segments: where they lie, and a search over one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::files::{SparseMeta, kind};
use super::sealed::read_bitmap;
use super::search::{Hit, Leaf, Trace};
use super::{Matcher, Segment};
use crate::error::{Error, Result};
use crate::model::config::{Memory, SparseVectorParams};
use crate::model::explain::{Way, Work};
use crate::model::memory::{ComponentMemory, MemoryReport};
use crate::model::vector::SparseVector;
use crate::sparse::{self, Eligible, GrowingLists, Lists, Postings, SparseRow, SparseRows};
use crate::storage::allowance::Allowance;
use crate::storage::fs::FsRef;
use crate::storage::heap;
use crate::storage::placed::Placed;
use crate::storage::sealed_file::{Check, SealedFile};
use crate::storage::smaps::Smaps;

/// Rows scored between two looks at the clock.
const BUDGET_EVERY: usize = 1024;
/// Matches below which their vectors are read instead of lists, at least.
const LEAST_FEW: usize = 64;
/// Numbers of lists that cost as much as reading one row's vector.
const ENTRIES_OF_A_ROW: usize = 300;

/// A sparse field as readers see it.
#[derive(Debug)]
pub(crate) struct SparseField<'a> {
    /// None when the index's file was damaged: then vectors are read one by one.
    pub(crate) lists: Option<Lists<'a>>,
    /// Whether every row has a vector in this field.
    pub(crate) complete: bool,
}

/// A sparse field of a growing segment. The vectors themselves lie in its rows.
#[derive(Debug)]
pub(super) struct GrowingSparse {
    /// Among the bits that tell which vectors a row has.
    pub(super) position: usize,
    /// Among the sparse vectors of a row.
    pub(super) slot: usize,
    lists: RwLock<GrowingLists>,
    missing: AtomicU32,
    pub(super) dropped: AtomicBool,
}

impl GrowingSparse {
    pub(super) fn new(position: usize, slot: usize) -> Self {
        let (missing, dropped) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { position, slot, lists: RwLock::default(), missing, dropped }
    }

    /// Takes a row in, before readers see it.
    pub(super) fn add(&self, row: u32, vector: Option<&SparseVector>) {
        match vector {
            Some(vector) => self.lists.write().add(row, SparseRow::of(vector)),
            None => drop(self.missing.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub(super) fn field(&self) -> SparseField<'_> {
        SparseField { lists: Some(Lists::Growing(self.lists.read())), complete: self.missing.load(Ordering::Relaxed) == 0 }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lists.read().memory_bytes()
    }
}

/// A sparse field of a sealed segment.
#[derive(Debug, Clone)]
pub(super) struct SealedSparse {
    pub(super) rows: Arc<SparseRows>,
    pub(super) present: Option<Arc<RoaringBitmap>>,
    postings: Option<Arc<Postings>>,
    /// Where the lists are to live.
    placement: Memory,
}

impl SealedSparse {
    pub(super) fn open(fs: &FsRef, path: &Path, meta: &SparseMeta, params: &SparseVectorParams, rows: u32) -> Result<Self> {
        let file = path.join(&meta.vectors);
        let vectors = Placed::Mapped(SealedFile::open(fs, &file, kind::SPARSE, Check::Structure)?);
        let vectors = SparseRows::open(vectors, rows).ok_or_else(|| Error::corrupt(file, 0, "not the vectors of this segment's rows"))?;
        let present = match &meta.present {
            Some(name) => Some(Arc::new(read_bitmap(fs, &path.join(name), kind::PRESENT)?)),
            None => None,
        };
        // Lists are derived data.
        let postings = meta.postings.as_ref().and_then(|name| {
            let file = SealedFile::open(fs, &path.join(name), kind::POSTINGS, Check::Everything).ok()?;
            Postings::open(Placed::Mapped(file), rows).map(Arc::new)
        });
        Ok(Self { rows: Arc::new(vectors), present, postings, placement: params.placement() })
    }

    pub(super) fn field(&self) -> SparseField<'_> {
        SparseField { lists: self.postings.as_deref().map(Lists::Sealed), complete: self.present.is_none() }
    }

    pub(super) fn has(&self, row: u32) -> bool {
        self.present.as_ref().is_none_or(|present| present.contains(row))
    }

    /// Copies the lists into memory of our own; true when they were to be pinned and there was room.
    pub(super) fn pin(&mut self, rows: u32, allowance: &Arc<Allowance>) -> bool {
        let wanted = self.postings.as_ref().filter(|_| self.placement == Memory::Pinned);
        let hot = wanted.and_then(|postings| Postings::open(postings.placed().hot(allowance)?, rows));
        hot.map(|hot| self.postings = Some(Arc::new(hot))).is_some()
    }

    pub(super) fn settle(&self) {
        if let Some(postings) = &self.postings {
            postings.placed().settle(self.placement);
        }
    }

    pub(super) fn count_memory(&self, smaps: &Smaps, report: &mut MemoryReport) {
        report.vectors += self.rows.placed().memory(smaps);
        report.vectors += ComponentMemory::anonymous(self.present.as_ref().map_or(0, |present| heap::bitmap(present)));
        if let Some(postings) = &self.postings {
            report.sparse_indexes += postings.placed().memory(smaps);
        }
    }
}

/// The best rows of a segment for a query over a sparse field, best first.
///
/// # Errors
/// As [`search`](super::search()).
pub(super) fn search(segment: &dyn Segment, field: &SparseField<'_>, leaf: &Leaf<'_>) -> Result<(Vec<Hit>, Trace)> {
    let excluded: Vec<u32> = leaf.exclude.iter().filter_map(|id| segment.find(id, leaf.at)).collect();
    let matcher = Matcher::new(segment, leaf.filter, leaf.at);
    let rows = segment.rows(leaf.at);
    let query: Option<Vec<SparseRow<'_>>> = leaf.query.vectors.iter().map(|vector| vector.as_sparse().map(SparseRow::of)).collect();
    let Some(query) = query else { return Ok(Default::default()) };
    let few = leaf.full_scan_rows.unwrap_or_else(|| match (&*query, &field.lists) {
        ([one], Some(lists)) => {
            let entries: usize = one.indices.iter().map(|&index| lists.list(index).rows().len()).sum();
            LEAST_FEW.max(entries / ENTRIES_OF_A_ROW)
        }
        _ => 0,
    });
    let search = Search { segment, leaf, field, matcher, excluded };
    match (&*query, &leaf.query.combine, &field.lists) {
        ([one], None, Some(lists)) if leaf.exact || search.matcher.upper_bound() >= few => {
            let words = search.matcher.dense();
            let eligible = Rows { search: &search, words: words.as_deref() };
            let floor = leaf.threshold.unwrap_or(f32::NEG_INFINITY);
            let found = sparse::search(lists, *one, rows, leaf.k, floor, &eligible)?;
            let work = Work { entries: found.added as u64, ..Work::default() };
            Ok((found.hits, search.trace(Way::Lists, work)))
        }
        ([one], None, _) => search.scan(|row| one.dot(&row)),
        // Sharing nothing with an example is being as far from it as a product of zero says.
        (examples, Some(combine), _) => search.scan(|row| {
            let scores: Vec<f32> = examples.iter().map(|example| example.dot(&row).unwrap_or(0.0)).collect();
            Some(combine.of(&scores))
        }),
        (_, None, _) => Ok(Default::default()),
    }
}

struct Search<'a> {
    segment: &'a dyn Segment,
    leaf: &'a Leaf<'a>,
    field: &'a SparseField<'a>,
    matcher: Matcher<'a>,
    excluded: Vec<u32>,
}

impl Search<'_> {
    fn trace(&self, way: Way, work: Work) -> Trace {
        Trace { way, ef: 0, estimated: self.matcher.upper_bound(), indexed: self.matcher.is_exact(), work }
    }

    /// Scores every accepted row by its vector.
    fn scan(&self, score: impl Fn(SparseRow<'_>) -> Option<f32>) -> Result<(Vec<Hit>, Trace)> {
        let mut best: BinaryHeap<Reverse<Hit>> = BinaryHeap::new();
        let (mut seen, mut work) = (0, Work::default());
        self.matcher.each_in(0..u32::MAX, |row| {
            seen += 1;
            if seen % BUDGET_EVERY == 0 {
                self.leaf.budget.check()?;
            }
            if self.excluded.contains(&row) || !(self.field.complete || self.segment.has_vector(self.leaf.field, row)) {
                return Ok(());
            }
            work.vectors += 1;
            if let Some(score) = score(self.segment.sparse_row(self.leaf.field, row)) {
                best.push(Reverse(Hit { score, row }));
                if best.len() > self.leaf.k {
                    best.pop();
                }
            }
            Ok::<(), Error>(())
        })?;
        let mut hits: Vec<Hit> = best.into_iter().map(|Reverse(hit)| hit).collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        Ok((hits, self.trace(Way::Scan, work)))
    }
}

/// The rows that a search over lists may find.
struct Rows<'a> {
    search: &'a Search<'a>,
    /// A bit for each, when the payload indexes know them.
    words: Option<&'a [u64]>,
}

impl Eligible for Rows<'_> {
    fn any(&self, block: u32) -> bool {
        self.words.is_none_or(|words| words.get(block as usize).is_some_and(|&word| word != 0))
    }

    fn accepts(&self, row: u32) -> Result<bool> {
        if self.search.excluded.contains(&row) {
            return Ok(false);
        }
        match self.words {
            Some(words) => Ok(super::selection::is_set(words, row)),
            None => self.search.matcher.accepts(row),
        }
    }
}
