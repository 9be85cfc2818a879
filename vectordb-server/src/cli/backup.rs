//! Backups: making, using, checking, listing and deleting them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use vectordb_service::{Access, BackupDescription, BackupReport, BackupRequest, PruneReport, RestoreReport, RestoreRequest, VerifyReport};

use super::client::ServerArgs;
use super::failure::Failure;
use super::output::{bytes_bar, count, json as print_json, size};
use super::place::{BucketArgs, Place, open_offline};

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// Where to: s3://BUCKET/PREFIX, or a directory. A server puts directories below that of its snapshots. As in the settings, if
    /// nothing is said.
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Only this collection; may be given several times.
    #[arg(long = "collection", value_name = "NAME")]
    collections: Vec<String>,
    /// How many backups to keep, this one among them; all, if nothing is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Back up a directory of data that no server has open, instead of asking a server.
    #[arg(long, value_name = "DIR")]
    storage_path: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// Where from: s3://BUCKET/PREFIX, or a directory.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Which backup; the newest, if nothing is said.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Only this collection, under this name or another; may be given several times.
    #[arg(long = "collection", value_name = "NAME[:AS]")]
    collections: Vec<String>,
    /// Let restored collections replace those that exist.
    #[arg(long)]
    replace: bool,
    /// Restore into a directory of data that no server has open, or into a new one, instead of asking a server.
    #[arg(long, value_name = "DIR")]
    storage_path: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Where backups lie: s3://BUCKET/PREFIX, or a directory.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Only this backup.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Backups {
    /// Where they lie: s3://BUCKET/PREFIX, or a directory.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// Where backups lie: s3://BUCKET/PREFIX, or a directory.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// How many backups to keep.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    #[command(flatten)]
    bucket: BucketArgs,
}

pub(super) fn back_up(arguments: &Backup) -> Result<(), Failure> {
    let report: BackupReport = match &arguments.storage_path {
        None => {
            let body = json!({"location": arguments.to, "collections": arguments.collections, "keep": arguments.keep});
            arguments.server.client()?.call("POST", "/backups", &body)?
        }
        Some(directory) => {
            let place = Place::new(&arguments.bucket)?;
            let to = place.repository(arguments.to.as_deref())?;
            let service = open_offline(directory.clone(), false)?;
            let request = BackupRequest { collections: arguments.collections.clone(), keep: arguments.keep.map(|keep| keep as usize) };
            let bar = bytes_bar("backing up");
            let report = service.back_up(&to, &request, &progress(&bar), &Access::Manage);
            bar.finish_and_clear();
            let report = report?;
            service.close()?;
            report
        }
    };
    if arguments.json {
        print_json(&report);
        return Ok(());
    }
    let stored = &report.stored;
    println!(
        "{}: {} of {}, sent {} ({})",
        stored.backup.name,
        size(stored.backup.bytes),
        count(stored.backup.collections.len() as u64, "collection"),
        size(stored.uploaded_bytes),
        count(stored.uploaded_objects, "object"),
    );
    if let Some(pruned) = &report.pruned {
        print_pruned(pruned);
    }
    Ok(())
}

pub(super) fn restore(arguments: &Restore) -> Result<(), Failure> {
    let mut collections = BTreeMap::new();
    for each in &arguments.collections {
        let (name, here) = each.split_once(':').unwrap_or((each, each));
        if collections.insert(name.to_owned(), here.to_owned()).is_some() {
            return Err(Failure::new(format!("the collection `{name}` is named twice")));
        }
    }
    let report: RestoreReport = match &arguments.storage_path {
        None => {
            let body = json!({
                "location": arguments.from, "backup": arguments.backup, "collections": collections, "replace": arguments.replace,
            });
            arguments.server.client()?.call("POST", "/backups/restore", &body)?
        }
        Some(directory) => {
            let place = Place::new(&arguments.bucket)?;
            let from = place.repository(arguments.from.as_deref())?;
            let service = open_offline(directory.clone(), true)?;
            let request = RestoreRequest { backup: arguments.backup.clone(), collections, replace: arguments.replace };
            let bar = bytes_bar("restoring");
            let report = service.restore_backup(&from, &request, &progress(&bar), &Access::Manage);
            bar.finish_and_clear();
            let report = report?;
            service.close()?;
            report
        }
    };
    if arguments.json {
        print_json(&report);
        return Ok(());
    }
    println!("{} was restored:", report.backup);
    for collection in &report.collections {
        println!("  {}: {}, digest {}", collection.name, count(collection.points, "point"), collection.digest);
    }
    Ok(())
}

pub(super) fn verify(arguments: &Verify) -> Result<(), Failure> {
    let place = Place::new(&arguments.bucket)?;
    let from = place.repository(arguments.from.as_deref())?;
    let bar = bytes_bar("verifying");
    let report = from.verify(arguments.backup.as_deref(), &progress(&bar));
    bar.finish_and_clear();
    let report: VerifyReport = report?;
    if arguments.json {
        print_json(&report);
    } else {
        let (backups, objects) = (report.backups.len() as u64, report.objects);
        println!("{}: {}, {}, {}", from.location(), count(backups, "backup"), count(objects, "object"), size(report.bytes));
        for damaged in &report.damaged {
            println!("damaged: {}: {}", damaged.key, damaged.what);
            damaged.files.iter().for_each(|file| println!("  {file}"));
        }
    }
    match report.damaged.len() as u64 {
        0 => Ok(()),
        damaged => Err(Failure::damage(format!(
            "{} of {} {} damaged",
            count(damaged, "object"),
            from.location(),
            if damaged == 1 { "is" } else { "are" }
        ))),
    }
}

pub(super) fn list(arguments: &Backups) -> Result<(), Failure> {
    let place = Place::new(&arguments.bucket)?;
    let backups: Vec<BackupDescription> = place.repository(arguments.from.as_deref())?.backups()?;
    if arguments.json {
        print_json(&backups);
        return Ok(());
    }
    for backup in &backups {
        println!("{}  {}  {}", backup.name, backup.created_at, size(backup.bytes));
        for collection in &backup.collections {
            println!("  {}: {}, {}", collection.name, count(collection.points, "point"), size(collection.bytes));
        }
    }
    Ok(())
}

pub(super) fn prune(arguments: &Prune) -> Result<(), Failure> {
    let place = Place::new(&arguments.bucket)?;
    print_pruned(&place.repository(arguments.from.as_deref())?.prune(arguments.keep as usize)?);
    Ok(())
}

fn print_pruned(pruned: &PruneReport) {
    println!("deleted {} and {} ({})", count(pruned.backups.len() as u64, "backup"), count(pruned.objects, "object"), size(pruned.bytes));
}

fn progress(bar: &indicatif::ProgressBar) -> impl Fn(u64, u64) + Sync + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}
