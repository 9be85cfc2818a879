//! What a search costs as a call in Rust, to set beside the same call from Python.
//!
//! `cargo run --release -p vectordb-benches --bin calls -- DIR` on a directory that `benches/python/measure.py --keep DIR` left.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use vectordb_core::{Database, PayloadSelector, SearchRequest};
use vectordb_examples::npy;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
struct Args {
    /// The database, with the queries beside its files.
    dir: PathBuf,
}

fn main() -> Result<()> {
    let dir = Args::parse().dir;
    let queries = npy::read(&dir.join("queries.npy"))?;
    let db = Database::open(&dir)?;
    let docs = db.get("docs")?;
    let mut requests: Vec<SearchRequest> = queries.rows().map(|row| SearchRequest::new(row.to_vec())).collect();
    requests.iter_mut().for_each(|request| request.with_payload = PayloadSelector::None);
    docs.query_batch(&requests)?;
    let mut spent = Vec::with_capacity(requests.len());
    for request in &requests {
        let start = Instant::now();
        docs.query(request)?;
        spent.push(start.elapsed().as_secs_f64() * 1e6);
    }
    spent.sort_by(f64::total_cmp);
    println!("{{\"search_us\": {:.2}}}", spent[spent.len() / 2]);
    Ok(())
}
