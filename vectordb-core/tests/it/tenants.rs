//! Graphs of tenants: every tenant finds its own points as if it were alone, whatever happens to the segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use vectordb_core::*;

use crate::support::{Random, manual, small_segments};

const DIM: usize = 12;
const K: usize = 10;

struct Tenants {
    fs: Arc<MemFs>,
    db: Option<Database>,
    /// Tenant and vector of every point, and a number that another filter asks for.
    points: BTreeMap<u64, (u64, Vec<f32>, u64)>,
    random: Random,
}

fn name(tenant: u64) -> String {
    format!("tenant {tenant}")
}

fn config() -> CollectionConfig {
    let mut config = small_segments(DIM, Distance::Euclid);
    config.hnsw_config.m = 0;
    config.hnsw_config.payload_m = Some(12);
    // Of tenants with 500 points and more.
    config.hnsw_config.full_scan_threshold = 500 * DIM * 4 / 1024;
    let tenant = KeywordIndexParams { is_tenant: Some(true), ..KeywordIndexParams::default() };
    config.payload_schema.insert("tenant".into(), FieldSchema::Keyword(tenant));
    config.payload_schema.insert("g".into(), FieldSchema::integer());
    config
}

impl Tenants {
    fn new() -> Self {
        let fs = Arc::new(MemFs::default());
        let db = manual(fs.clone());
        db.create_collection("c", config()).expect("it is made");
        Self { fs, db: Some(db), points: BTreeMap::new(), random: Random::new(23) }
    }

    fn collection(&self) -> Collection {
        self.db.as_ref().expect("open").collection("c").open().expect("it exists")
    }

    fn add(&mut self, ids: std::ops::Range<u64>, tenant: impl Fn(u64) -> u64) {
        for id in ids.clone() {
            self.points.insert(id, (tenant(id), self.random.vector(DIM), id / 7 % 4));
        }
        let point = |id: u64| {
            let (tenant, vector, number) = &self.points[&id];
            Point::new(id, vector.clone()).with("tenant", name(*tenant)).with("g", *number)
        };
        self.collection().upsert(ids.map(point)).expect("good points");
    }

    fn exact(&self, query: &[f32], wanted: impl Fn(u64, u64) -> bool) -> Vec<u64> {
        let distance = |vector: &[f32]| -> f32 { vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum() };
        let matching = self.points.iter().filter(|(_, (tenant, _, number))| wanted(*tenant, *number));
        let mut all: Vec<(f32, u64)> = matching.map(|(id, (_, vector, _))| (distance(vector), *id)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.into_iter().take(K).map(|(_, id)| id).collect()
    }

    /// The recall of searches of a tenant, and how they went.
    fn recall(&mut self, tenant: u64, number: Option<u64>) -> (f64, Vec<Way>) {
        let collection = self.collection();
        let (mut found, mut wanted, mut ways) = (0, 0, Vec::new());
        for _ in 0..20 {
            let query = self.random.vector(DIM);
            let exact = self.exact(&query, |of, has| of == tenant && number.is_none_or(|number| number == has));
            let mut filter = field("tenant").eq(name(tenant));
            if let Some(number) = number {
                filter = filter & field("g").eq(number as i64);
            }
            let mut request = QueryRequest::new(Query::from(query));
            request.filter = Some(filter);
            request.limit = K;
            let hits = collection.query_points(&request).expect("searching works");
            assert_eq!(hits.len(), exact.len(), "{tenant}");
            found += hits.iter().filter(|hit| exact.iter().any(|id| PointId::Num(*id) == hit.id)).count();
            wanted += exact.len();
            let explanation = collection.explain(&request, false).expect("explaining works");
            let gone = explanation.searches.iter().flat_map(|search| &search.segments).map(|segment| segment.way);
            // An empty segment in memory takes what is written next.
            ways.extend(gone.filter(|way| *way != Way::Nothing));
        }
        assert!(wanted > 0, "a test of nothing");
        (found as f64 / wanted as f64, ways)
    }

    fn check(&mut self) {
        for tenant in 0..6 {
            for number in [None, Some(1)] {
                let (recall, _) = self.recall(tenant, number);
                assert!(recall >= 0.97, "tenant {tenant}, {number:?}: {recall}");
            }
        }
        // Several tenants, and none.
        let query = self.random.vector(DIM);
        let both = self.collection().search(&query).filter(field("tenant").any([name(0), name(3)])).limit(K).run().expect("works");
        let ids = |hits: Vec<ScoredPoint>| hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>();
        let exact =
            |wanted: &dyn Fn(u64) -> bool| self.exact(&query, |tenant, _| wanted(tenant)).into_iter().map(PointId::Num).collect::<Vec<_>>();
        assert_eq!(ids(both), exact(&|tenant| tenant == 0 || tenant == 3));
        let all = self.collection().search(&query).limit(K).run().expect("works");
        assert_eq!(ids(all), exact(&|_| true));
        self.collection().verify().expect("whole");
    }
}

/// Tenants 0, 1 and 2 are large, 3 to 5 and many more are small.
fn tenant(id: u64) -> u64 {
    match id % 10 {
        0..=3 => 0,
        4..=6 => 1,
        7..=8 => 2,
        _ => 3 + id / 10 % 40,
    }
}

#[test]
fn large_tenants_have_graphs_and_small_ones_are_scanned() {
    let mut tenants = Tenants::new();
    tenants.add(0..4000, tenant);
    tenants.collection().optimize().expect("works");
    tenants.check();
    for (of, way) in [(0, Way::Graph), (1, Way::Graph), (2, Way::Graph), (3, Way::Scan)] {
        let (_, ways) = tenants.recall(of, None);
        assert!(ways.iter().all(|gone| *gone == way), "{of}: {ways:?}");
    }
    // Half of a tenant's points: still by its graph, unless scanning them is cheaper.
    let half = field("tenant").eq(name(0)) & field("g").lt(2.0);
    let query = tenants.random.vector(DIM);
    let hits = tenants.collection().search(&query).filter(half).strategy(Strategy::FilteredGraph).limit(K).run().expect("works");
    let exact = tenants.exact(&query, |of, number| of == 0 && number < 2);
    assert!(hits.iter().filter(|hit| exact.iter().any(|id| PointId::Num(*id) == hit.id)).count() >= K - 1);
}

#[test]
fn graphs_of_tenants_live_through_merges_deletions_and_reopening() {
    let mut tenants = Tenants::new();
    tenants.add(0..3000, tenant);
    tenants.collection().optimize().expect("works");
    // More of the same, others in their place, and some gone; a small tenant grows large.
    tenants.add(3000..3600, tenant);
    tenants.add(3600..4400, |_| 3);
    tenants.add(100..300, |id| tenant(id + 4));
    for id in (0..3000).step_by(9) {
        tenants.points.remove(&id);
    }
    tenants.collection().delete((0..3000).step_by(9).map(PointId::Num).collect::<Vec<_>>()).expect("works");
    tenants.check();
    tenants.collection().optimize().expect("works");
    tenants.check();
    let (_, ways) = tenants.recall(3, None);
    assert!(ways.iter().all(|way| *way == Way::Graph), "{ways:?}");
    tenants.db = None;
    tenants.db = Some(manual(tenants.fs.clone()));
    tenants.check();
    let (_, ways) = tenants.recall(1, None);
    assert!(ways.iter().all(|way| *way == Way::Graph), "{ways:?}");
}

#[test]
fn other_settings_and_other_tenants_make_other_graphs() {
    let mut tenants = Tenants::new();
    tenants.add(0..3000, tenant);
    tenants.collection().optimize().expect("works");
    let mut diff = ConfigDiff::default();
    diff.hnsw_config.get_or_insert_default().m = Some(12);
    tenants.collection().update_config(&diff).expect("works");
    tenants.collection().optimize().expect("works");
    // One graph over all, which a tenant's filter may go through or not.
    tenants.check();
    let all = tenants.collection().search([0.1; DIM]).limit(K).run().expect("works");
    assert_eq!(all.len(), K);
    diff.hnsw_config.get_or_insert_default().m = Some(0);
    tenants.collection().update_config(&diff).expect("works");
    tenants.collection().optimize().expect("works");
    tenants.check();
    let (_, ways) = tenants.recall(0, None);
    assert!(ways.iter().all(|way| *way == Way::Graph), "{ways:?}");
    // Another field tells tenants apart from now on: links of the old graphs must not lead from one to another.
    tenants.collection().drop_index("tenant").expect("works");
    let plain = FieldSchema::Keyword(KeywordIndexParams::default());
    tenants.collection().create_index("tenant", plain).expect("works");
    for id in 0..3000 {
        let region = if id % 2 == 0 { "even" } else { "odd" };
        let mut payload = Payload::new();
        payload.insert("a".into(), region.into());
        tenants.collection().set_payload([id], payload).expect("works");
    }
    let tenant = KeywordIndexParams { is_tenant: Some(true), ..KeywordIndexParams::default() };
    tenants.collection().create_index("a", FieldSchema::Keyword(tenant)).expect("works");
    tenants.collection().optimize().expect("works");
    tenants.check();
    for (region, rest) in [("even", 0), ("odd", 1)] {
        let query = tenants.random.vector(DIM);
        let hits = tenants.collection().search(&query).filter(field("a").eq(region)).limit(100).run().expect("works");
        assert_eq!(hits.len(), 100);
        assert!(hits.iter().all(|hit| matches!(hit.id, PointId::Num(id) if id % 2 == rest)));
    }
}

#[test]
fn graphs_of_tenants_learn_the_recall_asked_for() {
    let mut tenants = Tenants::new();
    tenants.add(0..6000, tenant);
    tenants.collection().optimize().expect("works");
    let filter = field("tenant").eq(name(0));
    let ask = |tenants: &Tenants, query: &[f32]| {
        tenants.collection().search(query).filter(filter.clone()).recall(0.9).limit(K).run().expect("works")
    };
    ask(&tenants, &[0.2; DIM]);
    tenants.collection().optimize().expect("works");
    let mut found = 0;
    for _ in 0..50 {
        let query = tenants.random.vector(DIM);
        let exact = tenants.exact(&query, |of, _| of == 0);
        found += ask(&tenants, &query).iter().filter(|hit| exact.iter().any(|id| PointId::Num(*id) == hit.id)).count();
    }
    assert!(found >= 440, "{found} of 500");
    let mut request = QueryRequest::new(Query::from(vec![0.3; DIM]));
    request.filter = Some(filter);
    request.params.recall = Some(0.9);
    let explanation = tenants.collection().explain(&request, false).expect("works");
    let lengths: Vec<usize> = explanation.searches.iter().flat_map(|search| &search.segments).map(|segment| segment.ef).collect();
    assert!(lengths.iter().all(|ef| *ef < 100), "{lengths:?}");
}
