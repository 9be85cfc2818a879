//! Real text embeddings into a database and out again: how exact the answers are, how long they take, and that they are
//! the same after reopening.
//!
//! `cargo run --release --example quickstart`, or with `-- --docs DIR` on a data set of your own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vectordb_core::{Collection, Database, Distance, FieldSchema, Filter, Point, PointId, Range, ScoredPoint, field};
use vectordb_examples::data::{self, Data, Passage};
use vectordb_examples::exact;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
const BATCH: usize = 500;

#[derive(Parser)]
struct Args {
    /// Directory with vectors.npy, passages.jsonl or passages.jsonl.gz, queries.npy and queries.jsonl.
    #[arg(long)]
    docs: Option<PathBuf>,
    /// One line of JSON instead of the report.
    #[arg(long)]
    json: bool,
    /// Keep the database in this directory, which must not hold one yet.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Default, Serialize)]
struct Figures {
    points: u64,
    ingest_ms: f64,
    optimize_ms: f64,
    recall_at_10: f64,
    filtered_recall_at_10: f64,
    p50_us: f64,
    p99_us: f64,
    filtered_p50_us: f64,
    filtered_p99_us: f64,
    reopen_ms: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let data = Data::load(&args.docs.unwrap_or_else(data::sample))?;
    let temporary = tempfile::tempdir()?;
    let directory = args.keep.unwrap_or_else(|| temporary.path().join("quickstart.vdb"));
    let mut figures = Figures::default();

    let db = Database::open(&directory)?;
    let docs = ingest(&db, &data, &mut figures)?;
    let plain: Vec<Question> = (0..data.queries.len()).map(|query| Question { query, keep: Keep::All }).collect();
    let filtered: Vec<Question> = (0..data.queries.len()).flat_map(|query| narrow(&data, query)).collect();
    [figures.p50_us, figures.p99_us, figures.recall_at_10] = measure(&docs, &data, &plain)?;
    [figures.filtered_p50_us, figures.filtered_p99_us, figures.filtered_recall_at_10] = measure(&docs, &data, &filtered)?;
    let before = plain[0].ask(&docs, &data)?;
    drop(docs);
    db.close()?;

    figures.reopen_ms = reopen(&directory, &data, &before)?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        show(&directory, &data, &plain, &figures)?;
    }
    Ok(())
}

/// Makes the collection, its payload indexes, and stores every passage under its row's number.
fn ingest(db: &Database, data: &Data, figures: &mut Figures) -> Result<Collection> {
    let start = Instant::now();
    let docs = db.collection("docs").dim(data.vectors.dim).distance(Distance::Cosine).create()?;
    docs.create_index("source", FieldSchema::keyword())?;
    docs.create_index("words", FieldSchema::integer())?;
    let bar = ProgressBar::new(data.passages.len() as u64).with_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")?);
    bar.set_message("storing");
    let mut rows = data.vectors.rows().zip(&data.passages).zip(0u64..);
    loop {
        let batch = rows.by_ref().take(BATCH).map(|((vector, passage), id)| Point::new(id, vector).payload(passage));
        let batch = batch.collect::<vectordb_core::Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        bar.inc(batch.len() as u64);
        docs.upsert(batch)?;
    }
    bar.finish_and_clear();
    figures.ingest_ms = ms(start);
    let start = Instant::now();
    docs.optimize()?;
    figures.optimize_ms = ms(start);
    figures.points = docs.count(None, true)?;
    Ok(docs)
}

/// Which passages may answer.
enum Keep {
    All,
    Source(String),
    Words(i64, i64),
}

/// A query, and which passages may answer it.
struct Question {
    query: usize,
    keep: Keep,
}

impl Question {
    fn vector<'a>(&self, data: &'a Data) -> &'a [f32] {
        data.questions.row(self.query)
    }

    /// The same as [`Question::allows`], in the engine's words.
    fn filter(&self) -> Option<Filter> {
        match &self.keep {
            Keep::All => None,
            Keep::Source(source) => Some(field("source").eq(source.as_str())),
            #[expect(clippy::cast_precision_loss, reason = "numbers of words are small")]
            Keep::Words(from, to) => {
                Some(field("words").range(Range { gte: Some(*from as f64), lte: Some(*to as f64), ..Range::default() }))
            }
        }
    }

    fn allows(&self, passage: &Passage) -> bool {
        match &self.keep {
            Keep::All => true,
            Keep::Source(source) => passage.source == *source,
            Keep::Words(from, to) => (*from..=*to).contains(&passage.words),
        }
    }

    fn ask(&self, docs: &Collection, data: &Data) -> vectordb_core::Result<Vec<ScoredPoint>> {
        let search = docs.search(self.vector(data)).limit(LIMIT);
        match self.filter() {
            Some(filter) => search.filter(filter).run(),
            None => search.run(),
        }
    }
}

/// A query with two filters: passages of one package, and passages whose length lies in a window of about a tenth of all.
fn narrow(data: &Data, query: usize) -> [Question; 2] {
    let count = data.passages.len();
    // A large prime strides over the passages without falling into step with them.
    let any = (query + 1) * 7919 % count;
    let mut words: Vec<i64> = data.passages.iter().map(|passage| passage.words).collect();
    words.sort_unstable();
    let from = any * 9 / 10;
    let to = (from + count / 10).min(count - 1);
    let source = data.passages[any].source.clone();
    [Keep::Source(source), Keep::Words(words[from], words[to])].map(|keep| Question { query, keep })
}

/// Asks every question: median and 99th percentile in microseconds, and the recall against exact search.
fn measure(docs: &Collection, data: &Data, questions: &[Question]) -> Result<[f64; 3]> {
    let (mut found, mut wanted) = (0, 0);
    for question in questions {
        let hits = question.ask(docs, data)?;
        let best = exact::nearest(&data.vectors, question.vector(data), LIMIT, |row| question.allows(&data.passages[row]));
        let rows = hits.iter().map(|hit| row(&hit.id)).collect::<Result<Vec<_>>>()?;
        if hits.len() != best.len() || !rows.iter().all(|&row| question.allows(&data.passages[row])) {
            return Err(format!("query {} came back with the wrong points", question.query).into());
        }
        let (good, all) = exact::found(&data.vectors, question.vector(data), &best, &rows);
        (found, wanted) = (found + good, wanted + all);
    }
    // That was the warm-up. A thousand times, so that the 99th percentile is no single one of them.
    let mut times = Vec::new();
    while times.len() < 1000 {
        for question in questions {
            let start = Instant::now();
            question.ask(docs, data)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let recall = found as f64 / wanted as f64;
    Ok([exact::quantile(&mut times, 0.5), exact::quantile(&mut times, 0.99), recall])
}

fn row(id: &PointId) -> Result<usize> {
    match id {
        PointId::Num(num) => Ok(usize::try_from(*num)?),
        other => Err(format!("nobody stored a point {other}").into()),
    }
}

/// Opens the database again and asks the first question; fails when anything is different.
fn reopen(directory: &Path, data: &Data, before: &[ScoredPoint]) -> Result<f64> {
    let start = Instant::now();
    let db = Database::open(directory)?;
    let docs = db.collection("docs").open()?;
    let after = Question { query: 0, keep: Keep::All }.ask(&docs, data)?;
    let time = ms(start);
    if docs.count(None, true)? != data.passages.len() as u64 {
        return Err("points were lost by reopening".into());
    }
    if after != before {
        return Err("the same query has other hits after reopening".into());
    }
    db.close()?;
    Ok(time)
}

/// The report for people.
fn show(directory: &Path, data: &Data, plain: &[Question], figures: &Figures) -> Result<()> {
    let db = Database::open(directory)?;
    let docs = db.collection("docs").open()?;
    for question in plain.iter().step_by(plain.len().div_ceil(3)) {
        println!("? {}", shorten(&data.queries[question.query].text));
        for hit in question.ask(&docs, data)?.iter().take(3) {
            let passage: Passage = hit.payload()?;
            println!("  {:.3}  {}: {}", hit.score, passage.title, passage.section);
            println!("         {}", shorten(&passage.text));
        }
        println!();
    }
    let Figures { points, ingest_ms, optimize_ms, reopen_ms, .. } = figures;
    println!("{points} points of {} dimensions stored in {ingest_ms:.0} ms and indexed in {optimize_ms:.0} ms;", data.vectors.dim);
    println!("reopened, searched and found unchanged in {reopen_ms:.1} ms\n");
    println!("{:<12} {:>10} {:>10} {:>10}", "search", "recall@10", "p50 µs", "p99 µs");
    println!("{:<12} {:>10.4} {:>10.0} {:>10.0}", "all", figures.recall_at_10, figures.p50_us, figures.p99_us);
    let [recall, p50, p99] = [figures.filtered_recall_at_10, figures.filtered_p50_us, figures.filtered_p99_us];
    println!("{:<12} {recall:>10.4} {p50:>10.0} {p99:>10.0}", "filtered");
    db.close()?;
    Ok(())
}

fn shorten(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    if short.len() < text.len() { short + " ..." } else { short }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
