//! Whether the files of a directory are what they were when they were written.

use std::path::PathBuf;

use vectordb_core::{Database, ErrorKind};

use super::failure::Failure;
use super::output::{count, count_bar};

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The directory of data; a server may have it open.
    #[arg(long, value_name = "DIR", default_value = "./storage")]
    storage_path: PathBuf,
    /// Only this collection; may be given several times.
    #[arg(long = "collection", value_name = "NAME")]
    collections: Vec<String>,
}

/// What lists the collections of a server.
const SERVICE_FILE: &str = "service.json";

/// Opens for reading only, and compares every block of every file with its checksum. What is damaged is named, the rest checked
/// all the same, as far as it can be opened at all.
pub(super) fn run(arguments: &Check) -> Result<(), Failure> {
    check_service_file(arguments)?;
    // The first file that cannot be opened is named by the error.
    let db = Database::open_read_only(&arguments.storage_path)?;
    let all = db.collections();
    let of_collection = |name: &str| name.split('\u{1F}').next().unwrap_or(name).to_owned();
    if let Some(unknown) = arguments.collections.iter().find(|wanted| !all.iter().any(|name| of_collection(name) == **wanted)) {
        return Err(Failure::new(format!("there is no collection `{unknown}` in {}", arguments.storage_path.display())));
    }
    let wanted = |name: &&String| arguments.collections.is_empty() || arguments.collections.contains(&of_collection(name));
    let chosen: Vec<&String> = all.iter().filter(wanted).collect();
    let bar = count_bar("checking", chosen.len() as u64);
    let (mut points, mut damaged) = (0, Vec::new());
    for name in &chosen {
        let checked = db.get(name).and_then(|collection| {
            collection.verify()?;
            collection.count(None, true)
        });
        match checked {
            Ok(found) => points += found,
            Err(error) if error.kind() == ErrorKind::Corrupt => damaged.push(format!("{}: {error}", shown(name))),
            Err(error) => return Err(error.into()),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!(
        "{}: {}, {}, {} damaged",
        arguments.storage_path.display(),
        count(chosen.len() as u64, "shard"),
        count(points, "point"),
        damaged.len()
    );
    damaged.iter().for_each(|line| println!("damaged: {line}"));
    if damaged.is_empty() { Ok(()) } else { Err(Failure::damage(format!("{} damaged", count(damaged.len() as u64, "shard")))) }
}

/// `books, shard 2`.
fn shown(name: &str) -> String {
    match name.split_once('\u{1F}') {
        Some((collection, shard)) => format!("{collection}, shard {}", shard.replace('\u{1F}', ", generation ")),
        None => name.to_owned(),
    }
}

fn check_service_file(arguments: &Check) -> Result<(), Failure> {
    let path = arguments.storage_path.join(SERVICE_FILE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice::<serde_json::Value>(&text)
            .map(drop)
            .map_err(|error| Failure::damage(format!("{}: {error}", path.display()))),
        // A directory of the embedded engine has none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::file(&path, &error)),
    }
}
