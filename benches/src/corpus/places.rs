//! Collections that hold the points of the queries, in every state: growing, sealed, with graphs, in several segments, with dead
//! rows, opened anew, opened a second time, restored, with codes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use vectordb_core::{Collection, CollectionConfig, Database, FieldSchema, FsRef, Payload, Point, PointId, QuantizationConfig, Vector};

use super::Result;
use super::state::{copied, empty, open, open_read_only};

/// The collection that is asked.
const ASKED: &str = "points";
/// Ids that no point of the corpus has.
pub(super) const UNUSED: std::ops::Range<u64> = 9000..9180;

/// A collection in its data file; the members are JSON.
#[derive(Debug, Deserialize)]
pub(super) struct CollectionFile {
    name: String,
    vectors: String,
    sparse_vectors: String,
    /// Indexes without which fields have no order, or texts no rank: kinds, or settings.
    order: String,
    /// Indexes that only make filters faster.
    indexes: String,
    points: Vec<String>,
}

/// A ready collection.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) collection: Collection,
    /// Whether its segments have graphs, and whether all of them.
    pub(super) graphs: bool,
    pub(super) only_graphs: bool,
    /// Whether searches go by codes unless they say otherwise.
    pub(super) codes: bool,
}

impl Place {
    fn of(name: &str, collection: Collection) -> Self {
        Self { name: name.to_owned(), collection, graphs: false, only_graphs: false, codes: false }
    }

    fn with_graphs(name: &str, collection: Collection, only: bool) -> Self {
        Self { graphs: true, only_graphs: only, ..Self::of(name, collection) }
    }
}

/// Collections in every state, with the indexes for filters and without.
pub(super) fn places(files: &[CollectionFile]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for indexed in [true, false] {
        let maker = Maker { files, indexed };
        let mut made = maker.in_memory()?;
        made.append(&mut maker.in_files()?);
        if indexed {
            made.append(&mut maker.with_codes()?);
        }
        let suffix = if indexed { ", indexed" } else { "" };
        places.extend(made.into_iter().map(|place| Place { name: format!("{}{suffix}", place.name), ..place }));
    }
    Ok(places)
}

struct Maker<'a> {
    files: &'a [CollectionFile],
    indexed: bool,
}

impl Maker<'_> {
    /// A database in which the collection that is asked is empty yet and the others are full.
    fn database(&self, fs: &FsRef, change: impl Fn(&mut CollectionConfig)) -> Result<(Database, Collection, Vec<Point>)> {
        let db = open(fs)?;
        let mut asked = None;
        for file in self.files {
            let parts = json!({"vectors": parse(&file.vectors)?, "sparse_vectors": parse(&file.sparse_vectors)?});
            let mut config: CollectionConfig = serde_json::from_value(parts)?;
            change(&mut config);
            let collection = db.create_collection(&file.name, config)?;
            let schemas = [Some(&file.order), self.indexed.then_some(&file.indexes)];
            for schema in schemas.into_iter().flatten() {
                let kinds: BTreeMap<String, Value> = serde_json::from_str(schema)?;
                for (field, kind) in kinds {
                    let schema = if kind.is_object() { kind } else { json!({ "type": kind }) };
                    collection.create_index(&field, serde_json::from_value::<FieldSchema>(schema)?)?;
                }
            }
            let points: Vec<Point> = file.points.iter().map(|json| point(json)).collect::<Result<_>>()?;
            if file.name == ASKED {
                asked = Some((collection, points));
            } else {
                collection.upsert(points)?;
            }
        }
        let (collection, points) = asked.ok_or("no collection to ask")?;
        Ok((db, collection, points))
    }

    fn in_memory(&self) -> Result<Vec<Place>> {
        let (_, growing, points) = self.database(&empty(), |_| {})?;
        growing.upsert(points)?;
        let (_, sealed, points) = self.database(&empty(), |_| {})?;
        sealed.upsert(points)?;
        sealed.optimize()?;
        let (_, graphs, points) = self.database(&empty(), small_graphs)?;
        graphs.upsert(points)?;
        graphs.optimize()?;
        let (_, several, points) = self.database(&empty(), |config| {
            small_graphs(config);
            config.optimizers_config.max_segment_size = Some(1);
        })?;
        // With points that are deleted later every part is large enough for a graph.
        let unused: Vec<Point> = other_ids(&points).collect();
        for (part, more) in points.chunks(points.len().div_ceil(3)).zip(unused.chunks(unused.len().div_ceil(3))) {
            several.upsert(part.iter().chain(more).cloned())?;
            several.optimize()?;
        }
        several.delete(UNUSED.map(PointId::from).collect::<Vec<_>>())?;
        Ok(vec![
            Place::of("growing", growing),
            Place::of("sealed", sealed),
            Place::with_graphs("graph", graphs, true),
            Place::with_graphs("several graphs", several, true),
        ])
    }

    /// A part of the points is in files, some of these were replaced or deleted since; the others are growing.
    fn in_files(&self) -> Result<Vec<Place>> {
        let fs = empty();
        let (db, mixed, points) = self.database(&fs, small_graphs)?;
        let (early, late) = (points.len() * 3 / 4, points.len() / 2);
        let outdated = points[late..early].iter().zip(&points[1..]).map(|(old, other)| Point { id: old.id.clone(), ..other.clone() });
        mixed.upsert(points[..late].iter().cloned().chain(outdated).chain(other_ids(&points).take(20)))?;
        mixed.optimize()?;
        mixed.upsert(points[late..].to_vec())?;
        mixed.delete(UNUSED.map(PointId::from).collect::<Vec<_>>())?;
        mixed.snapshot("snapshot")?;
        let restored = db.restore("restored", "snapshot")?;
        let reopened = open(&copied(&fs)?)?.get(ASKED)?;
        let second = open_read_only(&fs)?.get(ASKED)?;
        let all = [("mixed", mixed), ("restored", restored), ("reopened", reopened), ("read-only", second)];
        Ok(all.map(|(name, collection)| Place::with_graphs(name, collection, false)).into())
    }

    fn with_codes(&self) -> Result<Vec<Place>> {
        let kinds = [
            ("scalar codes", json!({"scalar": {"type": "int8"}})),
            ("binary codes", json!({"binary": {}})),
            ("product codes", json!({"product": {"compression": "x4"}})),
            ("turbo codes", json!({"turbo": {"bits": "bits4"}})),
        ];
        let mut places = Vec::new();
        for (name, kind) in kinds {
            let kind: QuantizationConfig = serde_json::from_value(kind)?;
            let (_, collection, points) = self.database(&empty(), |config| {
                small_graphs(config);
                config.quantization_config = Some(kind.clone());
            })?;
            collection.upsert(points)?;
            collection.optimize()?;
            places.push(Place { codes: true, ..Place::with_graphs(name, collection, true) });
        }
        Ok(places)
    }
}

/// The points once more, under ids that are to be deleted.
fn other_ids(points: &[Point]) -> impl Iterator<Item = Point> {
    UNUSED.zip(points.iter().cycle()).map(|(id, other)| Point { id: id.into(), ..other.clone() })
}

/// Settings under which a few points have a graph.
fn small_graphs(config: &mut CollectionConfig) {
    config.optimizers_config.indexing_threshold = Some(1);
    config.hnsw_config.full_scan_threshold = 0;
}

fn parse(json: &str) -> Result<Value> {
    Ok(serde_json::from_str(json)?)
}

fn point(json: &str) -> Result<Point> {
    #[derive(Deserialize)]
    struct Parts {
        id: PointId,
        vector: Map<String, Value>,
        payload: Payload,
    }
    let parts: Parts = serde_json::from_str(json)?;
    let mut point = Point { payload: parts.payload, ..Point::bare(parts.id) };
    for (name, vector) in parts.vector {
        point = point.vector(name, Vector::from_json(&vector)?);
    }
    Ok(point)
}
