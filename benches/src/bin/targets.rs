//! Recall that was asked for against recall that was given, and what an explanation costs.
//!
//! `cargo run --release -p vectordb-benches --bin targets -- --data DIR --dir DATABASE` with a database that `recall --dir` made.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;
use vectordb_benches::process::thread_cpu_seconds;
use vectordb_benches::sets::{ATTRS, SELECTIVITIES, Set};
use vectordb_core::{Background, Collection, Database, Filter, Options, PayloadSelector, Query, QueryRequest, Range, field};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
/// Queries for the engine to learn from, none of them measured; a small set repeats its own.
const ENOUGH: usize = 500;
/// Most queries with a filter.
const FILTERED: usize = 200;

#[derive(Parser)]
struct Args {
    /// Directory with base.npy, queries.npy, gt_ids.npy, attrs.npy and meta.json.
    #[arg(long)]
    data: PathBuf,
    /// The database to ask.
    #[arg(long)]
    dir: PathBuf,
    /// Recalls to ask for.
    #[arg(long, value_delimiter = ',', default_value = "0.9,0.95,0.99")]
    recall: Vec<f64>,
    /// Most queries that are measured, at most half of the set's; the engine learns from the others.
    #[arg(long, default_value_t = 500)]
    queries: usize,
    /// The first query that is measured.
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// Measures what was learned from the set's points alone.
    #[arg(long)]
    points_alone: bool,
    /// Rounds, of which the fastest counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// One line of JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// What came of a recall that was asked for.
#[derive(Serialize)]
struct Cell {
    filter: String,
    selectivity: f64,
    wanted: f64,
    given: f64,
    qps: f64,
    /// Mean length of the candidate lists.
    ef: f64,
    /// The way most queries went.
    way: String,
}

#[derive(Serialize)]
struct Report {
    learning_cpu_s: f64,
    cells: Vec<Cell>,
    /// Time of a query that is explained, in that of one that is not.
    explained: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data)?;
    // It learns when it is told to, not while it is measured.
    let database = Database::open_with(&args.dir, Options::default().background(Background::Manual))?;
    let collection = database.get("set")?;
    let all = set.queries.len;
    let queries = args.queries.min(all / 2);
    // By number among those measured.
    let nth = |query: usize| (args.from + query) % all;
    let cpu = vectordb_benches::process::cpu_seconds();
    collection.query_points(&request(&set, nth(queries), 0.9, None))?;
    // What it asks for is learned in the background.
    collection.optimize()?;
    let learning_cpu_s = vectordb_benches::process::cpu_seconds() - cpu;
    if !args.points_alone {
        for query in (queries..all).cycle().take(ENOUGH) {
            collection.query_points(&request(&set, nth(query), 0.9, None))?;
        }
        collection.optimize()?;
    }
    let truth: Vec<Vec<i32>> = (0..queries).map(|query| set.truth.row(nth(query))[..LIMIT].to_vec()).collect();
    let mut cells = Vec::new();
    for &recall in &args.recall {
        cells.push(cell((&collection, args.rounds), ("none", 1.0, recall), &truth, |query| request(&set, nth(query), recall, None))?);
    }
    for (column, kind) in ATTRS.iter().enumerate() {
        for selectivity in SELECTIVITIES {
            let measured: Vec<usize> = (0..queries.min(FILTERED)).map(nth).collect();
            let truth = set.exact(&measured, LIMIT, |query, row| Set::window(query, selectivity).contains(&set.attrs.row(row)[column]));
            for &recall in &args.recall {
                let make = |query: usize| {
                    let query = nth(query);
                    let window = Set::window(query, selectivity);
                    let range = Range { gte: Some(f64::from(window.start)), lt: Some(f64::from(window.end)), ..Range::default() };
                    request(&set, query, recall, Some(field(kind).range(range)))
                };
                cells.push(cell((&collection, args.rounds), (kind, selectivity, recall), &truth, make)?);
            }
        }
    }
    let report = Report { learning_cpu_s, cells, explained: overhead((&collection, args.rounds), &set, queries)? };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("learning took {learning_cpu_s:.2} CPU s; an explained query takes {:.3} of one that is not", report.explained);
    println!("{:>10} {:>7} {:>7} {:>7} {:>10} {:>7}  way", "filter", "share", "wanted", "given", "queries/s", "ef");
    for cell in &report.cells {
        println!(
            "{:>10} {:>7} {:>7.3} {:>7.4} {:>10.0} {:>7.1}  {}",
            cell.filter, cell.selectivity, cell.wanted, cell.given, cell.qps, cell.ef, cell.way
        );
    }
    Ok(())
}

fn request(set: &Set, query: usize, recall: f64, filter: Option<Filter>) -> QueryRequest {
    let mut request = QueryRequest::new(Query::from(set.queries.row(query).to_vec()));
    request.limit = LIMIT;
    request.filter = filter;
    request.params.recall = Some(recall);
    request.with_payload = PayloadSelector::None;
    request
}

fn cell(
    (collection, rounds): (&Collection, usize),
    (filter, selectivity, wanted): (&str, f64, f64),
    truth: &[Vec<i32>],
    make: impl Fn(usize) -> QueryRequest,
) -> Result<Cell> {
    let requests: Vec<QueryRequest> = (0..truth.len()).map(make).collect();
    let (mut found, mut all, mut ef, mut ways) = (0, 0, 0, Vec::new());
    for (request, truth) in requests.iter().zip(truth) {
        let explanation = collection.explain(request, false)?;
        let ids: Vec<i32> = explanation.hits.iter().filter_map(|hit| hit.id.to_string().parse().ok()).collect();
        found += truth.iter().filter(|row| ids.contains(row)).count();
        all += truth.len();
        let plans = explanation.searches.iter().flat_map(|search| &search.segments);
        let largest = plans.max_by_key(|plan| plan.rows).ok_or("no segment")?;
        ef += largest.ef;
        ways.push(format!("{:?}", largest.way));
    }
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let cpu = thread_cpu_seconds();
        for request in &requests {
            collection.query_points(request)?;
        }
        best = best.min(thread_cpu_seconds() - cpu);
    }
    ways.sort();
    let most = ways.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).map(|same| same[0].clone());
    let count = requests.len() as f64;
    Ok(Cell {
        filter: filter.to_owned(),
        selectivity,
        wanted,
        given: found as f64 / all.max(1) as f64,
        qps: count / best,
        ef: ef as f64 / count,
        way: most.unwrap_or_default(),
    })
}

/// The same queries with and without an explanation, round by round; the medians' ratio.
fn overhead((collection, rounds): (&Collection, usize), set: &Set, queries: usize) -> Result<f64> {
    let requests: Vec<QueryRequest> = (0..queries)
        .map(|query| {
            let mut request = request(set, query, 0.95, None);
            request.params.recall = None;
            request
        })
        .collect();
    let (mut plain, mut explained) = (Vec::new(), Vec::new());
    for _ in 0..10 * rounds {
        let cpu = thread_cpu_seconds();
        for request in &requests {
            collection.query_points(request)?;
        }
        plain.push(thread_cpu_seconds() - cpu);
        let cpu = thread_cpu_seconds();
        for request in &requests {
            collection.explain(request, false)?;
        }
        explained.push(thread_cpu_seconds() - cpu);
    }
    let median = |times: &mut Vec<f64>| vectordb_benches::exact::quantile(times, 0.5);
    Ok(median(&mut explained) / median(&mut plain))
}
