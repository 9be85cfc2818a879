//! What the searches of a query did.

use std::collections::BTreeSet;
use std::time::Instant;

use parking_lot::Mutex;

use super::{Reading, hydrate, stages};
use crate::error::Result;
use crate::model::config::FieldSchema;
use crate::model::explain::{Explanation, SearchPlan, SegmentPlan};
use crate::model::filter::{Condition, FieldTest, Filter, MatchSet, MatchValue};
use crate::model::point::Lsn;
use crate::model::ranking::{Prefetch, QueryRequest};
use crate::segment::{CompiledFilter, Matcher, Segment, Trace};

/// Where the searches of a query are written down.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Count the points that satisfy filters.
    counting: bool,
    searches: Mutex<Vec<SearchPlan>>,
}

/// Answers a query and tells how. Counting the points that satisfy its filters may read every payload, and is not part of the
/// times.
///
/// # Errors
/// As [`query`](super::query).
pub(crate) fn explain(reading: &Reading<'_>, request: &QueryRequest, counting: bool) -> Result<Explanation> {
    let account = Account { counting, ..Account::default() };
    let reading = Reading { account: Some(&account), segments: reading.segments.clone(), expired: reading.expired.clone(), ..*reading };
    let started = Instant::now();
    hydrate::check_selectors(reading.config, &request.with_payload, &request.with_vectors)?;
    let found = stages::Stage::of(request).run(&reading, 0)?;
    let searched = Instant::now();
    let hits = found.into_iter().map(|hit| hydrate::scored(hit, &request.with_payload, &request.with_vectors)).collect::<Result<_>>()?;
    let fetching = searched.elapsed();
    let (advice, elapsed) = (advice(&reading, request), started.elapsed());
    let searches = std::mem::take(&mut *account.searches.lock());
    Ok(Explanation { hits, searches, advice, elapsed, fetching })
}

/// Writes one search down.
pub(super) struct Recorder<'r> {
    account: &'r Account,
    plan: SearchPlan,
    started: Instant,
    /// When the segment at hand was begun.
    last: Instant,
}

impl<'r> Recorder<'r> {
    /// Nothing when nobody wants to know.
    pub(super) fn start(reading: &Reading<'r>, plan: impl FnOnce() -> SearchPlan) -> Option<Self> {
        let account = reading.account?;
        let now = Instant::now();
        Some(Self { account, plan: plan(), started: now, last: now })
    }

    /// Takes down what a segment did.
    pub(super) fn add(&mut self, segment: &dyn Segment, filter: Option<&CompiledFilter>, at: Lsn, trace: &Trace) -> Result<()> {
        let elapsed = self.last.elapsed();
        let mut matching = None;
        if self.account.counting {
            let counted = Instant::now();
            matching = Some(Matcher::new(segment, filter, at).count()?);
            // As if it had taken no time.
            self.started += counted.elapsed();
        }
        self.plan.segments.push(SegmentPlan {
            segment: segment.number(),
            rows: u64::from(segment.rows(at)),
            way: trace.way,
            ef: trace.ef,
            estimated: trace.estimated as u64,
            matching,
            indexed: trace.indexed,
            work: trace.work,
            elapsed,
        });
        self.last = Instant::now();
        Ok(())
    }

    pub(super) fn finish(mut self) {
        self.plan.elapsed = self.started.elapsed();
        self.account.searches.lock().push(self.plan);
    }
}

/// Payload indexes that the filters of a query lack.
fn advice(reading: &Reading<'_>, request: &QueryRequest) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut look = |filter: Option<&Filter>| filter.into_iter().for_each(|filter| missing(reading, filter, &mut found));
    look(request.filter.as_ref());
    let mut rest: Vec<&Prefetch> = request.prefetch.iter().collect();
    while let Some(prefetch) = rest.pop() {
        look(prefetch.filter.as_ref());
        rest.extend(&prefetch.prefetch);
    }
    found.into_iter().collect()
}

fn missing(reading: &Reading<'_>, filter: &Filter, found: &mut BTreeSet<String>) {
    let some = filter.min_should.iter().flat_map(|some| &some.conditions);
    for condition in filter.must.iter().chain(&filter.should).chain(&filter.must_not).chain(some) {
        match condition {
            Condition::Field { key, test } => {
                let wanted = index_for(test);
                let schema = reading.config.payload_schema.get(&key.to_string());
                let serves = |schema: &FieldSchema| wanted.contains(&schema.kind());
                if let (Some(best), false) = (wanted.first(), schema.is_some_and(serves)) {
                    found.insert(format!("an index of kind `{best}` on `{key}` would help"));
                }
            }
            Condition::Filter(inner) => missing(reading, inner, found),
            Condition::IsEmpty(_) | Condition::IsNull(_) | Condition::HasId(_) | Condition::HasVector(_) => {}
            Condition::Nested { .. } | Condition::Slice { .. } => {}
        }
    }
}

/// Kinds of indexes that answer a test, the best first.
fn index_for(test: &FieldTest) -> &'static [&'static str] {
    match test {
        FieldTest::Value(MatchValue::Keyword(_)) | FieldTest::Any(MatchSet::Keywords(_)) => &["keyword", "uuid"],
        FieldTest::Except(MatchSet::Keywords(_)) | FieldTest::Prefix(_) | FieldTest::Substring(_) => &["keyword"],
        FieldTest::Value(MatchValue::Integer(_)) | FieldTest::Any(MatchSet::Integers(_)) | FieldTest::Except(MatchSet::Integers(_)) => {
            &["integer"]
        }
        FieldTest::Value(MatchValue::Bool(_)) => &["bool"],
        FieldTest::Text(_) | FieldTest::TextAny(_) | FieldTest::Phrase(_) => &["text"],
        FieldTest::Range(_) => &["float", "integer"],
        FieldTest::DateTimeRange(_) => &["datetime"],
        FieldTest::GeoBoundingBox { .. } | FieldTest::GeoRadius { .. } | FieldTest::GeoPolygon { .. } => &["geo"],
        FieldTest::ValuesCount(_) => &[],
    }
}
