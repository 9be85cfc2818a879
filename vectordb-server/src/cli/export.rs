//! Points of a server as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, encoded};
use super::failure::Failure;
use super::npy;
use super::output::{count, count_bar};
use super::parquet::{self, Kind};

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The collection.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// FILE.jsonl: one point a line, as the API has it. FILE.npy: vectors alone, with the ids in FILE.ids.jsonl, one a line.
    /// FILE.parquet: one point a row, with the columns id, vector (or vector.NAME for each) and payload.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The vector to write into an .npy file, where vectors have names.
    #[arg(long, value_name = "NAME")]
    vector: Option<String>,
    /// Only points that satisfy this filter, as the API has it.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Points that are asked for at once.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct Page {
    points: Vec<Value>,
    next_page_offset: Option<Value>,
}

pub(super) fn run(arguments: &Export) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    let mut sink = Sink::create(arguments, &client)?;
    let written = points(arguments, &client, &mut sink)?;
    sink.finish(&arguments.output)?;
    println!("{}: {}", arguments.output.display(), count(written, "point"));
    Ok(())
}

fn points(arguments: &Export, client: &Client, sink: &mut Sink) -> Result<u64, Failure> {
    let path = format!("/collections/{}/points", encoded(&arguments.collection));
    let filter: Value = match &arguments.filter {
        Some(filter) => serde_json::from_str(filter).map_err(|error| Failure::new(format!("--filter: {error}")))?,
        None => Value::Null,
    };
    let counted: Value = client.call("POST", &format!("{path}/count"), &json!({"filter": filter, "exact": true}))?;
    let bar = count_bar("exporting", counted["count"].as_u64().unwrap_or(0));
    let with_payload = !matches!(sink, Sink::Table(..));
    let mut body = json!({"filter": filter, "limit": arguments.batch, "with_payload": with_payload, "with_vector": true});
    let mut written = 0;
    loop {
        let page: Page = client.call("POST", &format!("{path}/scroll"), &body)?;
        page.points.iter().try_for_each(|point| sink.push(point, arguments.vector.as_deref()))?;
        written += page.points.len() as u64;
        bar.set_position(written);
        match page.next_page_offset {
            Some(next) => body["offset"] = next,
            None => break,
        }
    }
    bar.finish_and_clear();
    Ok(written)
}

/// What points are written to.
enum Sink {
    Lines(BufWriter<File>),
    Table(npy::Writer, BufWriter<File>),
    Parquet(Box<parquet::Writer>),
}

impl Sink {
    fn create(arguments: &Export, client: &Client) -> Result<Self, Failure> {
        let create = |path: &Path| File::create(path).map(BufWriter::new).map_err(|error| Failure::file(path, &error));
        match arguments.output.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Ok(Self::Lines(create(&arguments.output)?)),
            Some("npy") => Ok(Self::Table(npy::Writer::create(&arguments.output)?, create(&arguments.output.with_extension("ids.jsonl"))?)),
            Some("parquet") => {
                let kinds = kinds(client, &arguments.collection)?;
                Ok(Self::Parquet(Box::new(parquet::Writer::create(&arguments.output, &kinds)?)))
            }
            _ => Err(Failure::new(format!("{}: expected a name that ends with .jsonl, .npy or .parquet", arguments.output.display()))),
        }
    }

    fn push(&mut self, point: &Value, name: Option<&str>) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        match self {
            Self::Lines(file) => writeln!(file, "{point}").map_err(|error| failed(&error)),
            Self::Table(table, ids) => {
                let (id, vector) = (&point["id"], &point["vector"]);
                let vector = name.map_or(vector, |name| &vector[name]);
                let row = Vec::<f32>::deserialize(vector);
                table.push(&row.map_err(|_| Failure::new(format!("the point {id} has no dense vector of this name: see --vector")))?)?;
                writeln!(ids, "{id}").map_err(|error| failed(&error))
            }
            Self::Parquet(writer) => writer.push(point),
        }
    }

    fn finish(self, path: &Path) -> Result<(), Failure> {
        let sync = |file: BufWriter<File>| {
            let file = file.into_inner().map_err(|error| Failure::file(path, &error.error()))?;
            file.sync_all().map_err(|error| Failure::file(path, &error))
        };
        match self {
            Self::Lines(file) => sync(file),
            Self::Table(table, ids) => table.finish().and_then(|()| sync(ids)),
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// The vectors of a collection, and how a table holds them.
fn kinds(client: &Client, collection: &str) -> Result<Vec<(String, Kind)>, Failure> {
    let found: Value = client.call("GET", &format!("/collections/{}", encoded(collection)), &Value::Null)?;
    let params = &found["config"]["params"];
    let kind = |params: &Value| if params["multivector_config"].is_null() { Kind::Dense } else { Kind::Json };
    let dense = &params["vectors"];
    if dense["size"].is_u64() {
        return Ok(vec![(String::new(), kind(dense))].into_iter().chain(sparse(params)).collect());
    }
    let named = dense.as_object().into_iter().flatten().map(|(name, params)| (name.clone(), kind(params)));
    Ok(named.chain(sparse(params)).collect())
}

/// Names of sparse vectors.
fn sparse(params: &Value) -> impl Iterator<Item = (String, Kind)> + '_ {
    params["sparse_vectors"].as_object().into_iter().flatten().map(|(name, _)| (name.clone(), Kind::Json))
}
