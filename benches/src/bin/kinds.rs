//! Kinds of vectors and of collections against what they would cost without an index: sparse vectors, texts and multivectors
//! against a scan written for them, tenants of one collection against a collection of their own.
//!
//! `cargo run --release -p vectordb-benches --bin kinds -- sparse --data DIR` with a set that `benches/peers/sparse.py` made;
//! `... -- texts`, `... -- maxsim`, `... -- tenants`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use vectordb_benches::process::{cpu_seconds, disk_bytes, memory_mb, thread_cpu_seconds};
use vectordb_benches::sets::Rows;
use vectordb_core::{
    Collection, CollectionConfig, Database, Distance, FieldSchema, Filter, KeywordIndexParams, MultiVector, MultiVectorComparator,
    MultiVectorConfig, PayloadSelector, Point, PointId, Query, QueryRequest, SparseVector, SparseVectorParams, TextQuery, Vector,
    VectorParams, field,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
const BATCH: usize = 1000;
const ROUNDS: usize = 5;
const WORDS: usize = 1 << 16;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    kind: Kind,
    /// One line of JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Kind {
    /// Sparse vectors against a scan over all of them.
    Sparse {
        /// Directory of the set.
        #[arg(long)]
        data: PathBuf,
    },
    /// Texts ranked by their words against a scan over all of them.
    Texts {
        #[arg(long, default_value_t = 100_000)]
        points: usize,
        #[arg(long, default_value_t = 200)]
        queries: usize,
    },
    /// Multivectors against sums of largest products over all of them.
    Maxsim {
        #[arg(long, default_value_t = 10_000)]
        points: usize,
        #[arg(long, default_value_t = 100)]
        queries: usize,
    },
    /// Tenants of one collection against collections of their own.
    Tenants {
        #[arg(long, default_value_t = 10_000)]
        tenants: usize,
        /// Points of each tenant.
        #[arg(long, default_value_t = 20)]
        points: usize,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let report = match args.kind {
        Kind::Sparse { data } => sparse(&data)?,
        Kind::Texts { points, queries } => ranked_texts(points, queries)?,
        Kind::Maxsim { points, queries } => max_sim(points, queries)?,
        Kind::Tenants { tenants, points } => tenants_of(tenants, points)?,
    };
    println!("{}", if args.json { report.to_string() } else { serde_json::to_string_pretty(&report)? });
    Ok(())
}

/// Writes points with a bar, and makes everything ready; CPU seconds of it.
fn fill(collection: &Collection, count: usize, point: impl Fn(usize) -> Result<Point>) -> Result<f64> {
    let cpu = cpu_seconds();
    let bar = ProgressBar::new(count as u64).with_style(ProgressStyle::with_template("writing {bar:40} {pos}/{len} {eta}")?);
    for batch in (0..count).collect::<Vec<_>>().chunks(BATCH) {
        collection.upsert(batch.iter().map(|&at| point(at)).collect::<Result<Vec<_>>>()?)?;
        bar.inc(batch.len() as u64);
    }
    bar.set_message("indexing");
    collection.optimize()?;
    bar.finish_and_clear();
    Ok(cpu_seconds() - cpu)
}

/// Queries per second of CPU in the best of some rounds.
fn speed<T>(count: usize, mut ask: impl FnMut(usize) -> Result<T>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let cpu = thread_cpu_seconds();
        for query in 0..count {
            ask(query)?;
        }
        best = best.min(thread_cpu_seconds() - cpu);
    }
    Ok(count as f64 / best)
}

fn request(vector: impl Into<Vector>, using: &str, filter: Option<Filter>) -> QueryRequest {
    let mut request = QueryRequest::new(Query::from(vector.into()));
    request.using = using.to_owned();
    request.filter = filter;
    request.limit = LIMIT;
    request.with_payload = PayloadSelector::None;
    request
}

/// The best rows by score, best first.
fn best(scores: impl Iterator<Item = (f32, usize)>) -> Vec<(f32, usize)> {
    #[derive(PartialEq)]
    struct Scored(f32, usize);
    impl Eq for Scored {}
    impl Ord for Scored {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.total_cmp(&other.0).then_with(|| other.1.cmp(&self.1))
        }
    }
    impl PartialOrd for Scored {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    let mut heap: BinaryHeap<Reverse<Scored>> = BinaryHeap::new();
    for (score, row) in scores {
        if heap.len() < LIMIT {
            heap.push(Reverse(Scored(score, row)));
        } else if heap.peek().is_some_and(|worst| score > worst.0.0) {
            heap.pop();
            heap.push(Reverse(Scored(score, row)));
        }
    }
    let mut found: Vec<(f32, usize)> = heap.into_iter().map(|Reverse(Scored(score, row))| (score, row)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// A compressed sparse matrix.
struct Matrix {
    starts: Rows<i64>,
    indices: Rows<i32>,
    values: Rows<f32>,
}

impl Matrix {
    fn open(dir: &Path, prefix: &str) -> Result<Self> {
        Ok(Self {
            starts: Rows::open(&dir.join(format!("{prefix}indptr.npy")), "<i8")?,
            indices: Rows::open(&dir.join(format!("{prefix}indices.npy")), "<i4")?,
            values: Rows::open(&dir.join(format!("{prefix}values.npy")), "<f4")?,
        })
    }

    fn len(&self) -> usize {
        self.starts.len - 1
    }

    fn entries(&self, row: usize) -> impl Iterator<Item = (usize, f32)> {
        let at = |row: usize| usize::try_from(self.starts.row(row)[0]).unwrap_or(0);
        (at(row)..at(row + 1)).map(|at| (self.indices.row(at)[0].unsigned_abs() as usize, self.values.row(at)[0]))
    }

    fn vector(&self, row: usize) -> Result<SparseVector> {
        let (indices, values) = self.entries(row).map(|(index, value)| (u32::try_from(index).unwrap_or(0), value)).unzip();
        Ok(SparseVector::new(indices, values)?)
    }
}

fn sparse(data: &Path) -> Result<Value> {
    let (base, asked) = (Matrix::open(data, "")?, Matrix::open(data, "query_")?);
    let room = tempfile::tempdir()?;
    let mut config = CollectionConfig::default();
    config.sparse_vectors.insert("s".to_owned(), SparseVectorParams::default());
    let build_cpu_s = {
        let database = Database::open(room.path())?;
        let collection = database.create_collection("set", config)?;
        collection.create_index("n", FieldSchema::integer())?;
        fill(&collection, base.len(), |row| Ok(Point::bare(row as u64).vector("s", base.vector(row)?).with("n", row % 100)))?
    };
    let database = Database::open(room.path())?;
    let collection = database.get("set")?;
    // In one piece, as the index has it.
    let starts: Vec<usize> = (0..=base.len()).map(|row| usize::try_from(base.starts.row(row)[0]).unwrap_or(0)).collect();
    let narrow = |(index, value)| (u16::try_from(index).unwrap_or(u16::MAX), value);
    let (indices, values): (Vec<u16>, Vec<f32>) = (0..base.len()).flat_map(|row| base.entries(row)).map(narrow).unzip();
    let scan = |query: usize, accepts: &dyn Fn(usize) -> bool| {
        let mut weights = vec![0.0f32; WORDS];
        asked.entries(query).for_each(|(index, value)| weights[index] = value);
        let score = |row: usize| {
            let range = starts[row]..starts[row + 1];
            indices[range.clone()].iter().zip(&values[range]).map(|(&index, value)| weights[usize::from(index)] * value).sum::<f32>()
        };
        best((0..base.len()).filter(|&row| accepts(row)).map(|row| (score(row), row)))
    };
    let mut report = json!({"points": base.len(), "numbers": indices.len(), "build_cpu_s": build_cpu_s,
        "disk_mb": disk_bytes(room.path()) as f64 / f64::from(1 << 20), "segments": collection.info()?.segments.len()});
    for (name, most) in [("all", 100), ("a tenth", 10), ("a hundredth", 1)] {
        let filter = (most < 100).then(|| field("n").lt(f64::from(most)));
        let requests: Vec<QueryRequest> =
            (0..asked.len()).map(|query| Ok(request(asked.vector(query)?, "s", filter.clone()))).collect::<Result<_>>()?;
        let (mut wrong, mut entries) = (0, 0);
        for (query, request) in requests.iter().enumerate().take(200) {
            let explanation = collection.explain(request, false)?;
            let truth = scan(query, &|row| row % 100 < most as usize);
            let same = |(hit, truth): (&vectordb_core::ScoredPoint, &(f32, usize))| (hit.score - truth.0).abs() <= 1e-5 * truth.0.max(1.0);
            wrong += usize::from(explanation.hits.len() != truth.len() || !explanation.hits.iter().zip(&truth).all(same));
            entries += explanation.searches.iter().flat_map(|search| &search.segments).map(|plan| plan.work.entries).sum::<u64>();
        }
        let qps = speed(requests.len(), |query| Ok(collection.query_points(&requests[query])?))?;
        let scanned = 100;
        let scan_qps = speed(scanned, |query| Ok(scan(query, &|row| row % 100 < most as usize)))?;
        report[name] = json!({"qps": qps, "scan_qps": scan_qps, "ratio": qps / scan_qps, "wrong_of_200": wrong, "entries": entries / 200});
    }
    report["rss_mb"] = memory_mb()[0].into();
    Ok(report)
}

/// Numbers between -1 and 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next();
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }

    /// A bell, nearly.
    fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.next() + self.next() + self.next()).collect()
    }
}

/// Numbers of words, low ones more often: the word of rank `r` in proportion to `1 / r`.
fn zipf(random: &mut Random, count: usize) -> Vec<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of words")]
    let word = |at: f32| ((WORDS as f32).powf(at) - 1.0) as u32;
    (0..count).map(|_| word(random.next().abs())).collect()
}

fn ranked_texts(points: usize, queries: usize) -> Result<Value> {
    let mut random = Random(11);
    let mut text = |_| {
        let length = 20 + random.below(100);
        zipf(&mut random, length)
    };
    let texts: Vec<Vec<u32>> = (0..points).map(&mut text).collect();
    let asked: Vec<Vec<u32>> = (0..queries).map(|_| zipf(&mut random, 4)).collect();
    let spelled = |words: &[u32]| words.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ");
    let room = tempfile::tempdir()?;
    let database = Database::open(room.path())?;
    let collection = database.create_collection("set", CollectionConfig::default())?;
    collection.create_index("n", FieldSchema::integer())?;
    collection.create_index("text", FieldSchema::ranked_text())?;
    let point = |row: usize| Ok(Point::bare(row as u64).with("text", spelled(&texts[row])).with("n", row % 100));
    let build_cpu_s = fill(&collection, points, point)?;
    let mean = texts.iter().map(Vec::len).sum::<usize>() as f32 / points as f32;
    let mut holding = vec![0u32; WORDS];
    for text in &texts {
        text.iter().collect::<BTreeSet<_>>().into_iter().for_each(|&word| holding[word as usize] += 1);
    }
    let scan = |query: &[u32], accepts: &dyn Fn(usize) -> bool| {
        let words: BTreeSet<u32> = query.iter().copied().collect();
        let idf = |word: u32| (1.0 + (points as f32 - holding[word as usize] as f32 + 0.5) / (holding[word as usize] as f32 + 0.5)).ln();
        let words: Vec<(u32, f32)> = words.into_iter().map(|word| (word, idf(word))).collect();
        let score = |row: usize| {
            let text = &texts[row];
            let norm = 1.2 * (0.25 + 0.75 * text.len() as f32 / mean);
            let part = |&(word, idf): &(u32, f32)| {
                let count = text.iter().filter(|&&each| each == word).count() as f32;
                idf * count * 2.2 / (count + norm)
            };
            words.iter().map(part).sum::<f32>()
        };
        best((0..points).filter(|&row| accepts(row)).map(|row| (score(row), row)).filter(|(score, _)| *score > 0.0))
    };
    let mut report = json!({"points": points, "words": texts.iter().map(Vec::len).sum::<usize>(), "build_cpu_s": build_cpu_s,
        "disk_mb": disk_bytes(room.path()) as f64 / f64::from(1 << 20), "segments": collection.info()?.segments.len()});
    for (name, most) in [("all", 100), ("a tenth", 10), ("a hundredth", 1)] {
        let filter = (most < 100).then(|| field("n").lt(f64::from(most)));
        let text = |query: &Vec<u32>| QueryRequest {
            query: Some(Query::Text(TextQuery::new(spelled(query)))),
            ..request([0.0], "text", filter.clone())
        };
        let requests: Vec<QueryRequest> = asked.iter().map(text).collect();
        let (mut wrong, mut entries) = (0, 0);
        for (query, request) in asked.iter().zip(&requests) {
            let explanation = collection.explain(request, false)?;
            let truth = scan(query, &|row| row % 100 < most as usize);
            let same = |(hit, truth): (&vectordb_core::ScoredPoint, &(f32, usize))| (hit.score - truth.0).abs() <= 1e-4 * truth.0.max(1.0);
            wrong += usize::from(explanation.hits.len() != truth.len() || !explanation.hits.iter().zip(&truth).all(same));
            entries += explanation.searches.iter().flat_map(|search| &search.segments).map(|plan| plan.work.entries).sum::<u64>();
        }
        let qps = speed(requests.len(), |query| Ok(collection.query_points(&requests[query])?))?;
        let scan_qps = speed(queries.min(20), |query| Ok(scan(&asked[query], &|row| row % 100 < most as usize)))?;
        report[name] = json!({"qps": qps, "scan_qps": scan_qps, "ratio": qps / scan_qps, "wrong": wrong,
            "entries": entries / queries.max(1) as u64});
    }
    report["rss_mb"] = memory_mb()[0].into();
    Ok(report)
}

/// Texts of words near the centers of their topics.
fn texts(random: &mut Random, centers: &[Vec<f32>], count: usize, words: std::ops::Range<usize>) -> Result<Vec<MultiVector>> {
    let dim = centers.first().map_or(0, Vec::len);
    let one = |_| {
        let topics: Vec<usize> = (0..3).map(|_| random.below(centers.len())).collect();
        let rows = words.start + random.below(words.len());
        let rows: Vec<Vec<f32>> = (0..rows)
            .map(|_| {
                let center = &centers[topics[random.below(topics.len())]];
                let noise = random.vector(dim);
                let row: Vec<f32> = center.iter().zip(noise).map(|(center, noise)| center + 0.6 * noise).collect();
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                row.into_iter().map(|value| value / length).collect()
            })
            .collect();
        Ok(MultiVector::new(rows)?)
    };
    (0..count).map(one).collect()
}

fn max_sim(points: usize, queries: usize) -> Result<Value> {
    const DIM: usize = 128;
    let mut random = Random(7);
    let centers: Vec<Vec<f32>> = (0..400).map(|_| random.vector(DIM)).collect();
    let base = texts(&mut random, &centers, points, 32..65)?;
    let asked = texts(&mut random, &centers, queries, 32..33)?;
    let room = tempfile::tempdir()?;
    let mut params = VectorParams::new(DIM, Distance::Dot);
    params.multivector_config = Some(MultiVectorConfig { comparator: MultiVectorComparator::MaxSim });
    let database = Database::open(room.path())?;
    let mut config = CollectionConfig::default();
    config.vectors.insert(String::new(), params);
    let collection = database.create_collection("set", config)?;
    let build_cpu_s = fill(&collection, points, |at| Ok(Point::new(at as u64, base[at].clone())))?;
    let dot = |a: &[f32], b: &[f32]| {
        let mut sums = [0.0f32; 16];
        for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        sums.iter().sum::<f32>()
    };
    let scan = |query: usize| {
        let score = |text: &MultiVector| {
            asked[query].rows().map(|word| text.rows().map(|other| dot(word, other)).fold(f32::NEG_INFINITY, f32::max)).sum::<f32>()
        };
        best(base.iter().enumerate().map(|(row, text)| (score(text), row)))
    };
    let truth: Vec<Vec<PointId>> =
        (0..queries).map(|query| scan(query).into_iter().map(|(_, row)| PointId::from(row as u64)).collect()).collect();
    let scanned = queries.min(10);
    let scan_qps = speed(scanned, |query| Ok(scan(query)))?;
    let mut rows = Vec::new();
    for (name, ef, exact) in [
        ("exact", 0, true),
        ("ef 16", 16, false),
        ("ef 32", 32, false),
        ("ef 64", 64, false),
        ("ef 128", 128, false),
        ("ef 256", 256, false),
    ] {
        let requests: Vec<QueryRequest> = (0..queries)
            .map(|query| {
                let mut request = request(asked[query].clone(), "", None);
                request.params.exact = exact;
                request.params.hnsw_ef = (!exact).then_some(ef);
                request
            })
            .collect();
        let mut found = 0;
        for (request, truth) in requests.iter().zip(&truth) {
            found += collection.query_points(request)?.iter().filter(|hit| truth.contains(&hit.id)).count();
        }
        let asked = if exact { scanned } else { queries };
        let qps = speed(asked, |query| Ok(collection.query_points(&requests[query])?))?;
        rows.push(json!({"way": name, "recall": found as f64 / (queries * LIMIT) as f64, "qps": qps, "ratio": qps / scan_qps}));
    }
    Ok(json!({"points": points, "build_cpu_s": build_cpu_s, "scan_qps": scan_qps, "searches": rows}))
}

/// Collections that stand for those that every tenant would have; as many as a test can wait for.
const ALONE: usize = 500;

fn tenants_of(tenants: usize, points: usize) -> Result<Value> {
    const DIM: usize = 128;
    const QUERIES: usize = 2000;
    let mut random = Random(11);
    let room = tempfile::tempdir()?;
    let database = Database::open(room.path())?;
    let mut config = CollectionConfig::unnamed(DIM, Distance::Cosine);
    // Searches are for one tenant, so a graph over all would be of no use; large tenants get their own.
    config.hnsw_config.m = 0;
    config.hnsw_config.payload_m = Some(16);
    let together = database.create_collection("together", config)?;
    let tenant = KeywordIndexParams { is_tenant: Some(true), ..KeywordIndexParams::default() };
    together.create_index("tenant", FieldSchema::Keyword(tenant))?;
    let vectors: Vec<Vec<f32>> = (0..tenants * points).map(|_| random.vector(DIM)).collect();
    // Points of tenants come in any order.
    let build_cpu_s = fill(&together, tenants * points, |at| {
        Ok(Point::new(at as u64, vectors[at].clone()).with("tenant", format!("tenant {}", at % tenants)))
    })?;
    let mut alone = Vec::new();
    for number in 0..tenants.min(ALONE) {
        let own = database.create_collection(&format!("alone {number}"), CollectionConfig::unnamed(DIM, Distance::Cosine))?;
        fill(&own, points, |at| Ok(Point::new(at as u64, vectors[at * tenants + number].clone())))?;
        alone.push(own);
    }
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| random.vector(DIM)).collect();
    let own: Vec<QueryRequest> = queries.iter().map(|query| request(query.clone(), "", None)).collect();
    let asked: Vec<usize> = (0..QUERIES).map(|_| random.below(tenants)).collect();
    let shared: Vec<QueryRequest> = queries
        .iter()
        .zip(&asked)
        .map(|(query, tenant)| request(query.clone(), "", Some(field("tenant").eq(format!("tenant {tenant}")))))
        .collect();
    let (mut same, mut found) = (0, 0);
    for (query, tenant) in asked.iter().enumerate().filter(|(_, tenant)| **tenant < alone.len()).take(200) {
        let scores =
            |hits: Vec<vectordb_core::ScoredPoint>| hits.into_iter().map(|hit| (hit.score * 1e5).round() as i64).collect::<BTreeSet<_>>();
        let exact = |mut request: QueryRequest| {
            request.params.exact = true;
            request
        };
        let wanted = scores(alone[*tenant].query_points(&exact(own[query].clone()))?);
        found += scores(together.query_points(&shared[query])?).intersection(&wanted).count();
        same += wanted.len();
    }
    let hot_qps = speed(QUERIES, |query| Ok(alone[0].query_points(&own[query])?))?;
    let alone_qps = speed(QUERIES, |query| Ok(alone[asked[query] % alone.len()].query_points(&own[query])?))?;
    let together_qps = speed(QUERIES, |query| Ok(together.query_points(&shared[query])?))?;
    Ok(json!({"tenants": tenants, "points": points, "build_cpu_s": build_cpu_s, "collections": alone.len(), "one_collection_qps": hot_qps,
        "collections_qps": alone_qps, "together_qps": together_qps, "ratio": together_qps / alone_qps,
        "ratio_to_one": together_qps / hot_qps, "recall": found as f64 / same.max(1) as f64}))
}
