//! Snapshots in a bucket: `snapshots/COLLECTION/NAME.snapshot` and so on, as in the directory, with the names of collections in
//! letters that keys may have.

use std::path::Path;

use super::shelf::{CHECKSUM, SNAPSHOT, SnapshotDescription, SnapshotScope, is_name};
use crate::bucket::Bucket;
use crate::error::Result;

/// The checksum first: one without a snapshot is passed over, a snapshot without one is incomplete.
pub(super) fn bring(bucket: &dyn Bucket, key: &str, path: &Path, checksum: String) -> Result<()> {
    let side = format!("{key}{CHECKSUM}");
    bucket.put(&side, checksum.into_bytes())?;
    bucket.put_file(key, path).inspect_err(|_| {
        let _ = bucket.delete(&[side]);
    })
}

/// The key of a snapshot.
pub(super) fn key(scope: &SnapshotScope, name: &str) -> String {
    format!("{}{}", prefix(scope), as_key(name))
}

/// What the keys of a scope's snapshots begin with.
fn prefix(scope: &SnapshotScope) -> String {
    match scope {
        SnapshotScope::Collection(name) => format!("snapshots/{}/", as_key(name)),
        SnapshotScope::Shard(name, shard) => format!("snapshots/{}/shards/{shard}/", as_key(name)),
        SnapshotScope::Full => "snapshots/".to_owned(),
    }
}

/// A name as a part of a key, where bytes that may not be in one stand as `=` and two digits.
fn as_key(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("={byte:02X}") }).collect()
}

/// What [`as_key`] was made of.
fn from_key(key: &str) -> Option<String> {
    let mut parts = key.split('=');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The snapshots of a scope, in any order.
pub(super) fn in_bucket(bucket: &dyn Bucket, scope: &SnapshotScope) -> Result<Vec<SnapshotDescription>> {
    let prefix = prefix(scope);
    let listed = bucket.list(&prefix)?;
    let mut found = Vec::new();
    for object in &listed {
        // What lies deeper is of another scope.
        let Some(name) = object.key.strip_prefix(&prefix).filter(|rest| !rest.contains('/')).and_then(from_key) else { continue };
        if is_name(&name) {
            let checksum = bucket.get(&format!("{}{CHECKSUM}", object.key))?;
            let checksum = checksum.and_then(|text| String::from_utf8(text).ok()).map(|text| text.trim().to_owned());
            found.push(SnapshotDescription { creation_time: creation_time(&name), name, size: object.bytes, checksum });
        }
    }
    Ok(found)
}

/// When a snapshot was made, as its name says.
fn creation_time(name: &str) -> Option<String> {
    let stem = name.strip_suffix(SNAPSHOT)?;
    let time = stem.get(stem.len().checked_sub("YYYY-mm-dd-HH-MM-SS".len())?..)?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d-%H-%M-%S", time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::ShardId;

    #[test]
    fn names_become_keys_and_names_again() {
        for name in ["books", "Bücher & more=1", "=41", "a b", "%2F"] {
            assert_eq!(from_key(&as_key(name)).as_deref(), Some(name));
        }
        assert_eq!(key(&SnapshotScope::Shard("a b".into(), ShardId(3)), "x.snapshot"), "snapshots/a=20b/shards/3/x.snapshot");
        for bad in ["a=", "a=4", "a=zz", "=ff", "a=ü"] {
            assert_eq!(from_key(bad), None, "{bad}");
        }
        assert_eq!(creation_time("books-7-2026-11-26-15-30-00.snapshot").as_deref(), Some("2026-11-26T15:30:00"));
        assert_eq!(creation_time("books.snapshot"), None);
    }
}
