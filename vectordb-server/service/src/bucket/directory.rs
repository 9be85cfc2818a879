//! A bucket that is a directory of this host.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Bucket, StoredObject};
use crate::error::{Result, ServiceError, failed};

/// Objects as files: the key is the path below the directory.
#[derive(Debug, Clone)]
pub struct DirectoryBucket {
    root: PathBuf,
}

/// Below the root, files that are being written.
const UNFINISHED: &str = "unfinished";

impl DirectoryBucket {
    /// A directory, which is made when something is stored.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Writes a file under a name that nothing looks at.
    fn write_aside(&self, content: &mut dyn Read) -> Result<PathBuf> {
        let directory = self.root.join(UNFINISHED);
        std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
        let path = directory.join(uuid::Uuid::new_v4().simple().to_string());
        let written = File::create_new(&path).and_then(|mut file| std::io::copy(content, &mut file).and_then(|_| file.sync_all()));
        written.map(|()| path.clone()).map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failed(&path, &error)
        })
    }

    /// Writes aside, gives the file its name by `place`, and makes the name durable.
    fn store(&self, key: &str, content: &mut dyn Read, place: impl FnOnce(&Path, &Path) -> std::io::Result<()>) -> Result<bool> {
        let path = self.root.join(key);
        let directory = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
        let aside = self.write_aside(content)?;
        let placed = place(&aside, &path).and_then(|()| sync_up_to(directory, &self.root));
        // After a renaming there is nothing of this name.
        let _ = std::fs::remove_file(&aside);
        match placed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(&path, &error)),
        }
    }
}

/// Makes the names of a directory durable, and those of the directories that lead to it.
fn sync_up_to(directory: &Path, root: &Path) -> std::io::Result<()> {
    directory.ancestors().take_while(|each| each.starts_with(root)).try_for_each(|each| File::open(each)?.sync_all())
}

impl Bucket for DirectoryBucket {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn put(&self, key: &str, content: Vec<u8>) -> Result<()> {
        self.store(key, &mut &content[..], |aside, path| std::fs::rename(aside, path)).map(drop)
    }

    fn create(&self, key: &str, content: Vec<u8>) -> Result<bool> {
        // A second name is given only where there is none.
        self.store(key, &mut &content[..], |aside, path| std::fs::hard_link(aside, path))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(key);
        match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    fn put_file(&self, key: &str, file: &Path) -> Result<()> {
        let mut content = File::open(file).map_err(|error| failed(file, &error))?;
        self.store(key, &mut content, |aside, path| std::fs::rename(aside, path)).map(drop)
    }

    fn get_file(&self, key: &str, file: &Path) -> Result<bool> {
        let path = self.root.join(key);
        let mut content = match File::open(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&path, &error)),
        };
        let copied = File::create_new(file).and_then(|mut copy| std::io::copy(&mut content, &mut copy));
        copied.map(|_| true).map_err(|error| failed(file, &error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>> {
        let mut found = Vec::new();
        let mut left = vec![prefix.trim_end_matches('/').to_owned()];
        while let Some(key) = left.pop() {
            let directory = self.root.join(&key);
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&directory, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed(&directory, &error))?;
                let metadata = entry.metadata().map_err(|error| failed(&entry.path(), &error))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let key = format!("{key}/{name}");
                if metadata.is_dir() { left.push(key) } else { found.push(StoredObject { key, bytes: metadata.len() }) }
            }
        }
        Ok(found)
    }

    fn delete(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            let path = self.root.join(key);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a person gives as a place: a directory, which begins with no scheme.
impl std::str::FromStr for DirectoryBucket {
    type Err = ServiceError;

    fn from_str(location: &str) -> Result<Self> {
        let path = location.strip_prefix("file://").unwrap_or(location);
        if path.is_empty() || path.contains("://") {
            return Err(ServiceError::request(format!("`{location}` is no place for backups: expected s3://BUCKET/PREFIX or a directory")));
        }
        Ok(Self::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_listed_got_and_deleted() {
        let dir = tempfile::tempdir().expect("a directory");
        let bucket = DirectoryBucket::new(dir.path().join("deep/place"));
        assert_eq!(bucket.list("objects/").expect("nothing"), []);
        assert_eq!(bucket.get("objects/ab/abc").expect("nothing"), None);
        bucket.put("objects/ab/abc", b"old".to_vec()).expect("it is stored");
        bucket.put("objects/ab/abc", b"new!".to_vec()).expect("it is stored");
        assert!(bucket.create("lease", b"me".to_vec()).expect("it is stored"));
        assert!(!bucket.create("lease", b"you".to_vec()).expect("it is there"));
        assert_eq!(bucket.get("lease").expect("it is read"), Some(b"me".to_vec()));
        assert_eq!(bucket.list("objects/").expect("a list"), [StoredObject { key: "objects/ab/abc".into(), bytes: 4 }]);
        assert_eq!(bucket.get("objects/ab/abc").expect("it is read"), Some(b"new!".to_vec()));
        bucket.put_file("copy", &dir.path().join("deep/place/lease")).expect("it is stored");
        let file = dir.path().join("file");
        assert!(bucket.get_file("copy", &file).expect("it is got") && !bucket.get_file("none", &file).expect("there is none"));
        assert_eq!(std::fs::read(&file).expect("a file"), b"me");
        bucket.delete(&["objects/ab/abc".into(), "objects/no/such".into()]).expect("it is deleted");
        assert_eq!(bucket.list("objects/").expect("nothing"), []);
        assert_eq!(std::fs::read_dir(dir.path().join("deep/place").join(UNFINISHED)).expect("a directory").count(), 0);
    }

    #[test]
    fn other_schemes_are_no_directories() {
        for bad in ["", "gs://bucket", "http://host/x"] {
            assert!(bad.parse::<DirectoryBucket>().is_err(), "{bad}");
        }
        assert_eq!("file:///var/backups".parse::<DirectoryBucket>().expect("a directory").location(), "/var/backups");
    }
}
