//! Reading the log behind an lsn: recovery, readers beside a writer, replicas and transfers all come this way.

use std::path::{Path, PathBuf};

use super::end;
use super::file::{HEADER_BYTES, Header, files};
use super::frame::{self, Frame};
use crate::error::{Error, Result};
use crate::model::point::Lsn;
use crate::storage::fs::FsRef;

/// The frames behind an lsn, in order and without gaps.
///
/// A torn frame at the end of the last file ends the iteration: it was never acknowledged. Any other damage is an error.
#[derive(Debug)]
pub(crate) struct Tail {
    fs: FsRef,
    /// Files still to be read, newest first.
    files: Vec<PathBuf>,
    current: Option<Current>,
    /// Last lsn given out or passed over.
    last: Lsn,
    after: Lsn,
    /// Last lsn there must be.
    end: Option<Lsn>,
    finished: bool,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    bytes: Vec<u8>,
    salt: u64,
    at: usize,
}

impl Tail {
    /// # Errors
    /// [`Error::Corrupt`] when the log begins too late to follow on `after`.
    pub(crate) fn open(fs: FsRef, dir: &Path, after: Lsn) -> Result<Self> {
        let end = end::read(&fs, dir)?;
        let all = files(&fs, dir)?;
        // A file is not needed when the next one begins no later than what is wanted.
        let skip = all.windows(2).take_while(|pair| pair[1].0 <= after.next()).count();
        let needed = &all[skip..];
        let last = needed.first().map_or(after, |(first, _)| Lsn(first.0.saturating_sub(1)));
        if last > after {
            let (first, path) = &needed[0];
            return Err(Error::corrupt(path, 0, format!("the log begins at {first}, but {} is needed", after.next())));
        }
        let files = needed.iter().rev().map(|(_, path)| path.clone()).collect();
        Ok(Self { fs, files, current: None, last, after, end, finished: false })
    }

    fn advance(&mut self) -> Result<Option<Frame>> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.files.pop() else { return self.finish() };
                self.current = self.begin(path)?;
                continue;
            }
            let Some(current) = &mut self.current else { continue };
            if current.at == current.bytes.len() {
                self.current = None;
                continue;
            }
            let Some(raw) = frame::read(&current.bytes[current.at..], current.salt) else {
                let (path, at) = (current.path.clone(), current.at);
                let damaged = !self.files.is_empty() || frame::proves_durable(&current.bytes[at..], current.salt, self.last.next());
                if damaged {
                    return Err(Error::corrupt(path, at as u64, format!("frame {} is damaged", self.last.next())));
                }
                self.current = None;
                continue;
            };
            if raw.lsn != self.last.next() {
                let what = format!("frame {} where {} was expected", raw.lsn, self.last.next());
                return Err(Error::corrupt(&current.path, current.at as u64, what));
            }
            current.at += raw.len;
            self.last = raw.lsn;
            if raw.lsn > self.after {
                return Ok(Some(Frame { lsn: raw.lsn, epoch: raw.epoch, body: raw.body.to_vec() }));
            }
        }
    }

    fn begin(&self, path: PathBuf) -> Result<Option<Current>> {
        let bytes = self.fs.read(&path)?;
        match Header::decode(&bytes, &path)? {
            Some(header) if header.first == self.last.next() => Ok(Some(Current { path, bytes, salt: header.salt, at: HEADER_BYTES })),
            Some(header) => {
                let what = format!("the file begins at {}, but {} is needed", header.first, self.last.next());
                Err(Error::corrupt(path, 16, what))
            }
            // The newest file's creation may have been cut off.
            None if self.files.is_empty() => Ok(None),
            None => Err(Error::corrupt(path, 0, "not a log file's header")),
        }
    }

    fn finish(&mut self) -> Result<Option<Frame>> {
        self.finished = true;
        match self.end {
            Some(end) if self.last.max(self.after) < end => {
                Err(Error::corrupt("log", 0, format!("the log was closed at {end} and now ends at {}", self.last)))
            }
            _ => Ok(None),
        }
    }
}

impl Iterator for Tail {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.advance();
        self.finished |= next.is_err();
        next.transpose()
    }
}

/// Where the whole frames of a file end; nothing for a file without a whole header.
pub(super) fn valid_end(fs: &FsRef, path: &Path) -> Result<Option<u64>> {
    let bytes = fs.read(path)?;
    let Some(header) = Header::decode(&bytes, path)? else { return Ok(None) };
    let mut at = HEADER_BYTES;
    while let Some(frame) = frame::read(&bytes[at..], header.salt) {
        at += frame.len;
    }
    Ok(Some(at as u64))
}
