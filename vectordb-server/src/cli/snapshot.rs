//! Snapshots of a running server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vectordb_service::SnapshotDescription;

use super::client::{Client, ServerArgs, encoded};
use super::failure::Failure;
use super::output::{bytes_bar, json as print_json, size};

#[derive(Debug, clap::Args)]
pub(super) struct Snapshot {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make one; its name is printed.
    Create(Of),
    /// List them.
    List(Of),
    /// Get one, and compare it with its checksum.
    Download(Named),
    /// Delete one.
    Delete(Named),
    /// Put the data of one in the place of a collection's, or make the collection.
    Recover(Recover),
}

#[derive(Debug, clap::Args)]
struct Of {
    /// A collection; everything, if none is named.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The snapshot.
    name: String,
    /// Its collection; none for a snapshot of everything.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// The file to write, where one is written; the snapshot's name in this directory, if nothing is said.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Recover {
    /// The collection.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// A snapshot of this collection by name, or a file:// or http:// URL that the server can reach.
    snapshot: String,
    /// The SHA-256 that it must have.
    #[arg(long, value_name = "HEX")]
    checksum: Option<String>,
}

pub(super) fn run(arguments: &Snapshot) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match &arguments.verb {
        Verb::Create(of) => {
            let made: SnapshotDescription = client.call("POST", &path(of.collection.as_deref()), &Value::Null)?;
            if of.json { print_json(&made) } else { println!("{}", made.name) }
        }
        Verb::List(of) => {
            let found: Vec<SnapshotDescription> = client.call("GET", &path(of.collection.as_deref()), &Value::Null)?;
            if of.json {
                print_json(&found);
            } else {
                let time = |each: &SnapshotDescription| each.creation_time.clone().unwrap_or_default();
                found.iter().for_each(|each| println!("{}  {}  {}", each.name, time(each), size(each.size)));
            }
        }
        Verb::Download(named) => download(&client, named)?,
        Verb::Delete(named) => {
            let path = format!("{}/{}", path(named.collection.as_deref()), encoded(&named.name));
            let _: bool = client.call("DELETE", &path, &Value::Null)?;
        }
        Verb::Recover(recover) => {
            let location = location(&client, recover)?;
            let path = format!("{}/recover", path(Some(&recover.collection)));
            let _: bool = client.call("PUT", &path, &json!({"location": location, "checksum": recover.checksum}))?;
        }
    }
    Ok(())
}

fn path(collection: Option<&str>) -> String {
    collection.map_or_else(|| "/snapshots".to_owned(), |name| format!("/collections/{}/snapshots", encoded(name)))
}

/// A name stands for what the server itself hands out under it.
fn location(client: &Client, recover: &Recover) -> Result<String, Failure> {
    if recover.snapshot.contains("://") {
        return Ok(recover.snapshot.clone());
    }
    let known: Vec<SnapshotDescription> = client.call("GET", &path(Some(&recover.collection)), &Value::Null)?;
    if !known.iter().any(|each| each.name == recover.snapshot) {
        return Err(Failure::new(format!("collection {} has no snapshot `{}`", recover.collection, recover.snapshot)));
    }
    Ok(client.url(&format!("{}/{}", path(Some(&recover.collection)), encoded(&recover.snapshot))))
}

/// Writes beside its place, so that the file's name stands for a whole snapshot.
fn download(client: &Client, named: &Named) -> Result<(), Failure> {
    let list = path(named.collection.as_deref());
    let known: Vec<SnapshotDescription> = client.call("GET", &list, &Value::Null)?;
    let described = known.into_iter().find(|each| each.name == named.name);
    let described = described.ok_or_else(|| Failure::new(format!("there is no snapshot `{}`", named.name)))?;
    let target = named.output.clone().unwrap_or_else(|| PathBuf::from(&named.name));
    let mut aside = target.clone().into_os_string();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let got = fetch(client, &format!("{list}/{}", encoded(&named.name)), &aside, &described);
    let placed = got.and_then(|()| std::fs::rename(&aside, &target).map_err(|error| Failure::file(&target, &error)));
    if placed.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    placed
}

fn fetch(client: &Client, path: &str, target: &Path, described: &SnapshotDescription) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::file(target, &error);
    let mut file = File::create(target).map_err(fail)?;
    let mut body = client.download(path)?;
    let bar = bytes_bar("downloading");
    bar.set_length(described.size);
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 18], 0);
    loop {
        let read = body.read(&mut buffer).map_err(|error| Failure::new(format!("the download was cut short: {error}")))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(fail)?;
        bytes += read as u64;
        bar.set_position(bytes);
    }
    file.sync_all().map_err(fail)?;
    bar.finish_and_clear();
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    match &described.checksum {
        Some(expected) if *expected != found => {
            Err(Failure::damage(format!("{} was damaged on its way: its SHA-256 is {found}, not {expected}", described.name)))
        }
        _ if bytes != described.size => Err(Failure::new(format!("the download ends after {bytes} of {} bytes", described.size))),
        _ => Ok(()),
    }
}
