//! Conditions, and the points of the corpus that they hold for.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use vectordb_core::{
    Collection, CollectionConfig, Database, Distance, FieldSchema, Filter, FsRef, Payload, Point, PointId, ScrollRequest, Strategy,
    VectorParams,
};

use super::state::{copied, empty, open};
use super::{Id, Outcome, Result, read_cases};

/// Indexes for cases that do not ask for their own.
const INDEXES: [(&str, &str); 22] = [
    ("city", "keyword"),
    ("n", "integer"),
    ("price", "float"),
    ("ok", "bool"),
    ("tags", "keyword"),
    ("loc", "geo"),
    ("places[]", "geo"),
    ("at", "datetime"),
    ("uid", "keyword"),
    ("mixed", "integer"),
    ("gap", "keyword"),
    ("k", "integer"),
    ("nested.a.b", "integer"),
    ("nested.list[]", "integer"),
    ("items[].kind", "keyword"),
    ("items[].size", "integer"),
    ("matrix[]", "integer"),
    ("places", "geo"),
    ("nested.list", "float"),
    ("\"with space\".\"dot.key\"", "integer"),
    ("missing", "keyword"),
    ("items[0].size", "integer"),
];

/// A point of the corpus.
#[derive(Debug, Clone, Deserialize)]
struct CorpusPoint {
    id: Id,
    payload: String,
    main: Option<Vec<f32>>,
    extra: Option<Vec<f32>>,
}

/// A filter and the points it holds for.
#[derive(Debug, Clone, Deserialize)]
struct Case {
    name: String,
    filter: String,
    ids: Vec<Id>,
    /// The payload indexes of the case, as JSON; only asked with them.
    indexes: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PointFile {
    point: Vec<CorpusPoint>,
}

/// The points and cases of filters.
#[derive(Debug)]
pub struct Filters {
    points: Vec<CorpusPoint>,
    cases: Vec<Case>,
}

/// Takes the name of a runner, what it found, and what it should have found.
type Compare<'a> = dyn FnMut(String, Vec<PointId>, &[PointId]) + 'a;

/// A ready collection, in a state and with indexes.
struct Place {
    name: &'static str,
    collection: Collection,
}

impl Filters {
    /// Reads `points.toml` and the cases of all other files of a directory.
    ///
    /// # Errors
    /// Files that cannot be read or parsed.
    pub fn read(directory: &Path) -> Result<Self> {
        let points: PointFile = toml::from_str(&std::fs::read_to_string(directory.join("points.toml"))?)?;
        let named = |(file, case): (String, Case)| Case { name: format!("{file}: {}", case.name), ..case };
        let cases = read_cases(directory)?.into_iter().map(named).collect();
        Ok(Self { points: points.point, cases })
    }

    /// Asks every case in every way.
    ///
    /// # Errors
    /// When the engine cannot be set up; wrong answers are part of the outcome.
    pub fn run(&self, progress: &dyn Fn()) -> Result<Outcome> {
        let mut outcome = Outcome { cases: self.cases.len(), ..Outcome::default() };
        let mut places: HashMap<Option<String>, Vec<Place>> = HashMap::new();
        for case in &self.cases {
            if !places.contains_key(&case.indexes) {
                places.insert(case.indexes.clone(), self.places(case.indexes.as_deref())?);
            }
            let filter: serde_json::Value = serde_json::from_str(&case.filter)?;
            let filter = Filter::from_json(&filter).map_err(|error| format!("{}: {error}", case.name))?;
            let expected: Vec<PointId> = case.ids.iter().map(Id::point_id).collect::<Result<_>>()?;
            let rows = self.rows(&filter, case.indexes.as_deref())?;
            let mut compare = |runner: String, found: Vec<PointId>, expected: &[PointId]| {
                let wrong = (found != expected).then(|| format!("{found:?} instead of {expected:?}"));
                outcome.asked(&case.name, runner, wrong);
            };
            compare("row checker".into(), rows, &expected);
            for place in &places[&case.indexes] {
                self.ask(place, &filter, &expected, &mut compare)?;
            }
            progress();
        }
        Ok(outcome)
    }

    fn points(&self) -> Result<Vec<Point>> {
        self.points.iter().map(CorpusPoint::point).collect()
    }

    /// The row checker alone, without any collection.
    fn rows(&self, filter: &Filter, indexes: Option<&str>) -> Result<Vec<PointId>> {
        let schema = indexes.map_or_else(|| Ok(BTreeMap::new()), schema)?;
        let mut found = Vec::new();
        for point in self.points()? {
            let vectors: Vec<&str> = point.vectors.iter().map(|(name, _)| name).collect();
            if filter.matches(&point.id, &point.payload, &vectors, &schema)? {
                found.push(point.id);
            }
        }
        found.sort();
        Ok(found)
    }

    fn ask(&self, place: &Place, filter: &Filter, expected: &[PointId], compare: &mut Compare<'_>) -> Result<()> {
        let (name, collection) = (place.name, &place.collection);
        let counted = collection.count(Some(filter), true)?;
        let by_count = if counted == expected.len() as u64 { expected.to_vec() } else { vec![PointId::from(counted)] };
        compare(format!("count, {name}"), by_count, expected);
        let mut found = Vec::new();
        let mut request = ScrollRequest { filter: Some(filter.clone()), limit: 7, ..ScrollRequest::default() };
        loop {
            let page = collection.scroll(&request)?;
            found.extend(page.records.into_iter().map(|record| record.id));
            request.offset = page.next_offset;
            if request.offset.is_none() {
                break;
            }
        }
        compare(format!("scroll, {name}"), found, expected);
        let mut with_vector = expected.to_vec();
        with_vector.retain(|id| self.points.iter().any(|point| point.main.is_some() && point.id.point_id().is_ok_and(|own| own == *id)));
        let search = || collection.search([0.3, -0.2, 0.5, 0.1]).using("main").filter(filter.clone()).limit(1000);
        let searches = [
            ("exact", search().exact(true)),
            ("planned", search()),
            ("scan", search().strategy(Strategy::Scan)),
            ("filtered graph", search().strategy(Strategy::FilteredGraph)),
            ("graph", search().strategy(Strategy::Graph)),
        ];
        for (way, search) in searches {
            let mut found: Vec<PointId> = search.run()?.into_iter().map(|hit| hit.id).collect();
            found.sort();
            compare(format!("{way} search, {name}"), found, &with_vector);
        }
        Ok(())
    }

    /// Collections in every state, with the indexes of a case, or both with the usual ones and without any.
    fn places(&self, indexes: Option<&str>) -> Result<Vec<Place>> {
        let own = indexes.map(schema).transpose()?;
        let usual =
            INDEXES.iter().map(|(field, kind)| Ok(((*field).to_owned(), serde_json::from_value(serde_json::json!({ "type": kind }))?)));
        let usual: BTreeMap<String, FieldSchema> = usual.collect::<Result<_>>()?;
        let mut places = Vec::new();
        let names = [
            ["growing, indexed", "sealed, indexed", "mixed, indexed", "reopened, indexed", "restored, indexed"],
            ["growing", "sealed", "mixed", "reopened", "restored"],
        ];
        let variants = match own {
            Some(own) => vec![(own, names[0])],
            None => vec![(usual, names[0]), (BTreeMap::new(), names[1])],
        };
        for (schema, [growing, sealed, mixed, reopened, restored]) in variants {
            let all = self.points()?;
            let made = |fs: &FsRef| -> Result<(Database, Collection)> {
                let db = open(fs)?;
                let collection = db.create_collection("c", config())?;
                schema.iter().try_for_each(|(field, schema)| collection.create_index(field, schema.clone()))?;
                Ok((db, collection))
            };
            let (_, first) = made(&empty())?;
            first.upsert(all.clone())?;
            let (_, second) = made(&empty())?;
            second.upsert(all.clone())?;
            second.optimize()?;
            // Half of the points in files, some of them replaced since, the others growing.
            let third_fs = empty();
            let (db, third) = made(&third_fs)?;
            third.upsert(all[..all.len() / 2 + 5].iter().cloned().map(|point| point.with("n", 4711)))?;
            third.optimize()?;
            third.upsert(all.clone())?;
            third.snapshot("snapshot")?;
            let fifth = db.restore("restored", "snapshot")?;
            let fourth = open(&copied(&third_fs)?)?.get("c")?;
            let collections = [(growing, first), (sealed, second), (mixed, third), (reopened, fourth), (restored, fifth)];
            places.extend(collections.map(|(name, collection)| Place { name, collection }));
        }
        Ok(places)
    }
}

impl CorpusPoint {
    fn point(&self) -> Result<Point> {
        let payload: Payload = serde_json::from_str(&self.payload)?;
        let mut point = Point { payload, ..Point::bare(self.id.point_id()?) };
        for (name, vector) in [("main", &self.main), ("extra", &self.extra)] {
            if let Some(vector) = vector {
                point = point.vector(name, vector.clone());
            }
        }
        Ok(point)
    }
}

fn schema(json: &str) -> Result<BTreeMap<String, FieldSchema>> {
    Ok(serde_json::from_str(json)?)
}

/// Settings under which a few points have a graph.
fn config() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    config.vectors.insert("main".into(), VectorParams::new(4, Distance::Dot));
    config.vectors.insert("extra".into(), VectorParams::new(2, Distance::Dot));
    config.optimizers_config.indexing_threshold = Some(1);
    config.hnsw_config.full_scan_threshold = 0;
    config.hnsw_config.m = 4;
    config.hnsw_config.ef_construct = 8;
    config
}
