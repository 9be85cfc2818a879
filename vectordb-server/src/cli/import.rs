//! Points of files into a server.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::client::{ServerArgs, encoded};
use super::failure::Failure;
use super::npy;
use super::output::{count, count_bar};
use super::parquet;

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The collection, which is there already.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// FILE.jsonl: one point a line, as the API has it. FILE.npy: vectors alone. FILE.parquet: one point a row, with the columns id,
    /// vector (or vector.NAME for each) and payload; other columns are keys of the payload.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// For an .npy file the ids: an .npy list of whole numbers, or one id a line as JSON. The numbers of rows, if nothing is said.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// For an .npy file the payloads: one a line, as JSON.
    #[arg(long, value_name = "FILE")]
    payloads: Option<PathBuf>,
    /// The vector that an .npy file holds, where vectors have names.
    #[arg(long, value_name = "NAME")]
    vector: Option<String>,
    /// Points that are sent at once.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Requests at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    parallel: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(arguments: &Import) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    let path = format!("/collections/{}", encoded(&arguments.collection));
    // Before a large file is read.
    let _: Value = client.call("GET", &path, &Value::Null)?;
    let mut source = Source::open(arguments)?;
    let bar = count_bar("importing", source.rows().unwrap_or(0));
    let sent = AtomicU64::new(0);
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let (send, receive) = sync_channel::<Vec<String>>(arguments.parallel as usize);
    let receive = Mutex::new(receive);
    let path = format!("{path}/points?wait=true");
    let work = || {
        while let Some(points) = next(&receive) {
            if locked(&failure).is_some() {
                continue;
            }
            let body = format!("{{\"points\":[{}]}}", points.join(","));
            match client.clone().send::<Value>("PUT", &path, body.as_bytes()) {
                Ok(_) => bar.set_position(sent.fetch_add(points.len() as u64, Ordering::Relaxed) + points.len() as u64),
                Err(error) => drop(locked(&failure).get_or_insert(error)),
            }
        }
    };
    let read = std::thread::scope(|scope| {
        (0..arguments.parallel).for_each(|_| drop(scope.spawn(work)));
        // It ends, and the workers with it, when everything was handed over or something failed.
        read(&mut source, arguments.batch as usize, send, &|| locked(&failure).is_some())
    });
    bar.finish_and_clear();
    let sent = sent.into_inner();
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(read, Err) {
        Ok(()) => {
            println!("{}: {}", arguments.collection, count(sent, "point"));
            Ok(())
        }
        Err(error) => Err(Failure::new(format!("{error} (of {}, {} were stored)", arguments.input.display(), count(sent, "point")))),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(receive: &Mutex<Receiver<Vec<String>>>) -> Option<Vec<String>> {
    locked(receive).recv().ok()
}

fn read(source: &mut Source, batch: usize, send: SyncSender<Vec<String>>, stopped: &dyn Fn() -> bool) -> Result<(), Failure> {
    let mut points = Vec::with_capacity(batch);
    while let Some(point) = source.next()? {
        points.push(point);
        if points.len() == batch && (stopped() || send.send(std::mem::take(&mut points)).is_err()) {
            return Ok(());
        }
    }
    if !points.is_empty() {
        // Nobody listens only after a failure, which is told.
        let _ = send.send(points);
    }
    Ok(())
}

/// Points as JSON, one after the other.
enum Source {
    Lines(LineFile),
    Table(Box<TableSource>),
    Parquet(Box<parquet::Reader>),
}

struct TableSource {
    vectors: npy::Table<BufReader<File>>,
    left: u64,
    ids: Ids,
    payloads: Option<LineFile>,
    vector: Option<String>,
}

enum Ids {
    Rows(u64),
    Table(npy::Table<BufReader<File>>),
    Lines(LineFile),
}

impl Source {
    fn open(arguments: &Import) -> Result<Self, Failure> {
        match extension(&arguments.input) {
            "jsonl" => Ok(Self::Lines(LineFile::open(&arguments.input)?)),
            "npy" => {
                let vectors = npy::open(&arguments.input)?;
                let ids = match &arguments.ids {
                    None => Ids::Rows(0),
                    Some(path) if extension(path) == "npy" => Ids::Table(npy::open(path)?),
                    Some(path) => Ids::Lines(LineFile::open(path)?),
                };
                if let Ids::Table(ids) = &ids
                    && ids.rows != vectors.rows
                {
                    return Err(Failure::new(format!("there are {} vectors and {} ids", vectors.rows, ids.rows)));
                }
                let payloads = arguments.payloads.as_deref().map(LineFile::open).transpose()?;
                let left = vectors.rows;
                Ok(Self::Table(Box::new(TableSource { vectors, left, ids, payloads, vector: arguments.vector.clone() })))
            }
            "parquet" => parquet::Reader::open(&arguments.input).map(|reader| Self::Parquet(Box::new(reader))),
            _ => Err(Failure::new(format!("{}: expected a name that ends with .jsonl, .npy or .parquet", arguments.input.display()))),
        }
    }

    fn rows(&self) -> Option<u64> {
        match self {
            Self::Lines(_) => None,
            Self::Table(table) => Some(table.vectors.rows),
            Self::Parquet(reader) => Some(reader.rows()),
        }
    }

    fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Table(table) => table.next(),
            Self::Parquet(reader) => reader.next(),
        }
    }
}

impl TableSource {
    fn next(&mut self) -> Result<Option<String>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let missing = |what: &str| Failure::new(format!("there are fewer {what} than vectors"));
        let id = match &mut self.ids {
            Ids::Rows(row) => {
                *row += 1;
                (*row - 1).to_string()
            }
            Ids::Table(ids) => ids.id()?.to_string(),
            Ids::Lines(lines) => lines.next()?.ok_or_else(|| missing("ids"))?,
        };
        let vector = json!(self.vectors.vector()?);
        let vector = self.vector.as_ref().map_or_else(|| vector.clone(), |name| json!({name: vector}));
        let payload = match &mut self.payloads {
            Some(lines) => format!(",\"payload\":{}", lines.next()?.ok_or_else(|| missing("payloads"))?),
            None => String::new(),
        };
        Ok(Some(format!("{{\"id\":{id},\"vector\":{vector}{payload}}}")))
    }
}

/// A file with one piece of JSON a line.
struct LineFile {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    number: u64,
}

impl LineFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
        Ok(Self { path: path.to_path_buf(), lines: BufReader::with_capacity(1 << 20, file).lines(), number: 0 })
    }

    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let Some(line) = self.lines.next() else { return Ok(None) };
            self.number += 1;
            let line = line.map_err(|error| Failure::file(&self.path, &error))?;
            if line.trim().is_empty() {
                continue;
            }
            let wrong = |error| Failure::new(format!("{}, line {}: {error}", self.path.display(), self.number));
            serde_json::from_str::<IgnoredAny>(&line).map_err(wrong)?;
            return Ok(Some(line));
        }
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}
