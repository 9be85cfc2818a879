//! Damaged files: an answer is either right or an error that says so.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vectordb_core::ErrorKind;

use super::sim_fs::{Disk, SimFs};
use super::workload::{Sight, Unreadable, Workload, look, look_twice, open};
use super::{Report, Verdict, guarded};
use crate::synthetic::Random;

const STEPS: usize = 40;
/// Databases that are damaged, each many times.
const DATABASES: u64 = 16;
const PAGE: u64 = 4096;

/// A way to damage a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    FlippedBit,
    ChangedByte,
    Truncated,
    Extended,
    ZeroedPage,
    NoisyPage,
    SwappedBlocks,
    RepeatedBlock,
    Emptied,
    Removed,
    /// The content of another file of the same collection.
    Replaced,
}

const KINDS: [Damage; 11] = [
    Damage::FlippedBit,
    Damage::ChangedByte,
    Damage::Truncated,
    Damage::Extended,
    Damage::ZeroedPage,
    Damage::NoisyPage,
    Damage::SwappedBlocks,
    Damage::RepeatedBlock,
    Damage::Emptied,
    Damage::Removed,
    Damage::Replaced,
];

/// A database that was closed, and what is in it.
struct Whole {
    files: Vec<(PathBuf, Vec<u8>)>,
    sight: Sight,
}

/// Damages one file of a whole database at a time.
pub fn run(corruptions: u64, seed: u64, progress: &(dyn Fn(u64) + Sync)) -> Report {
    let mut report = Report::default();
    let whole: Vec<Result<Whole, String>> = (0..DATABASES.min(corruptions)).map(|number| database(seed + number)).collect();
    let mut good = Vec::new();
    for (number, database) in whole.into_iter().enumerate() {
        match database {
            Ok(database) => good.push(database),
            Err(error) => report.failed(&Verdict::Lost(error), || format!("database {number} before any damage")),
        }
    }
    if good.is_empty() {
        return report;
    }
    let reports: Vec<Report> = (0..corruptions)
        .into_par_iter()
        .map(|number| {
            let database = &good[(number % good.len() as u64) as usize];
            let mut random = Random::new(seed ^ number.wrapping_mul(0x9e37_79b9), 11);
            let mut report = Report { corruptions: 1, ..Report::default() };
            let (path, damage, files) = damaged(&database.files, &mut random);
            let verdict = guarded(|| inspect(files, &database.sight));
            report.failed(&verdict, || format!("corruption {number}: {damage:?} in {}", path.display()));
            if number % 256 == 0 {
                progress(256);
            }
            report
        })
        .collect();
    reports.into_iter().for_each(|one| report += one);
    report
}

fn database(seed: u64) -> Result<Whole, String> {
    let text = |error: vectordb_core::Error| error.to_string();
    let mut workload = Workload::begin(SimFs::default(), seed).map_err(text)?;
    for _ in 0..STEPS {
        workload.step().result.map_err(text)?;
    }
    workload.abandon();
    let db = open(&workload.fs).map_err(text)?;
    let sight = look(&db).map_err(text)?;
    db.close().map_err(text)?;
    let disk = workload.fs.disk();
    let inside = |path: &Path| path.starts_with(super::workload::ROOT) && !path.ends_with("LOCK");
    let files = disk.files().filter(|(path, _)| inside(path)).map(|(path, bytes)| (path.into(), bytes.to_vec())).collect();
    Ok(Whole { files, sight })
}

/// A copy of the files with one of them damaged.
fn damaged(files: &[(PathBuf, Vec<u8>)], random: &mut Random) -> (PathBuf, Damage, Vec<(PathBuf, Vec<u8>)>) {
    let mut copy = files.to_vec();
    loop {
        let at = random.below(files.len() as u64) as usize;
        let damage = KINDS[random.below(KINDS.len() as u64) as usize];
        let (other, instead) = &files[random.below(files.len() as u64) as usize];
        let path = copy[at].0.clone();
        if matches!(damage, Damage::Replaced) && collection(other) != collection(&path) {
            continue;
        }
        if matches!(damage, Damage::Removed) {
            copy.remove(at);
            return (path, damage, copy);
        }
        let bytes = &mut copy[at].1;
        inflict(damage, bytes, instead, random);
        if *bytes != files[at].1 {
            return (path, damage, copy);
        }
    }
}

/// The collection's directory, of a file in one.
fn collection(path: &Path) -> Option<&std::ffi::OsStr> {
    path.iter().nth(2)
}

fn inflict(damage: Damage, bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = bytes.len() as u64;
    if len == 0 {
        return;
    }
    let at = random.below(len) as usize;
    let block = (1 << random.below(10)).min(len / 2);
    let mut place = || random.below(len - block + 1) as usize;
    let (from, to) = (place(), place());
    let block = block as usize;
    match damage {
        Damage::FlippedBit => bytes[at] ^= 1 << random.below(8),
        Damage::ChangedByte => bytes[at] = random.next() as u8,
        Damage::Truncated => bytes.truncate(at),
        Damage::Extended => bytes.extend((0..=random.below(PAGE)).map(|_| random.next() as u8)),
        Damage::ZeroedPage | Damage::NoisyPage => {
            let start = at - at % PAGE as usize;
            let end = (start + PAGE as usize).min(bytes.len());
            let noisy = matches!(damage, Damage::NoisyPage);
            bytes[start..end].fill_with(|| if noisy { random.next() as u8 } else { 0 });
        }
        Damage::SwappedBlocks if from.abs_diff(to) >= block => {
            for offset in 0..block {
                bytes.swap(from + offset, to + offset);
            }
        }
        Damage::SwappedBlocks | Damage::RepeatedBlock => bytes.copy_within(from..from + block, to),
        Damage::Emptied => bytes.clear(),
        Damage::Removed => {}
        Damage::Replaced => other.clone_into(bytes),
    }
}

fn inspect(files: Vec<(PathBuf, Vec<u8>)>, expected: &Sight) -> Verdict {
    let mut disk = Disk::default();
    files.into_iter().for_each(|(path, bytes)| disk.put(&path, bytes));
    match open(&SimFs::new(disk)).map_err(Unreadable::Error).and_then(|db| look_twice(&db)) {
        Ok(found) if found == *expected => Verdict::Good,
        Ok(_) => Verdict::Phantom("a wrong answer without an error".into()),
        Err(Unreadable::Error(error)) if error.kind() == ErrorKind::Corrupt => Verdict::Good,
        Err(error) => Verdict::Phantom(format!("not an error of damage: {error}")),
    }
}
