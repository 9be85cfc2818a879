//! The envelope of files that never change: a header, the data, a checksum for each 64 KiB of it, and a footer.
//!
//! ```text
//! 0     "VDBF" | u32 format | u32 kind | u32 block bytes | u64 data bytes | u64 tag | u32 crc32 of 0..32
//! 4096  data, so that it is page-aligned in a mapping
//!       u32 crc32 of each block of data
//!       u64 data bytes | u64 tag | u32 crc32 of the table | "FBDV"
//! ```
//!
//! The tag is the same in header and footer and another for each file, so that no part of one file passes for another's. Its
//! upper half is made of the names of the file and of its directory, so that no file passes for another either.

use std::path::{Path, PathBuf};

use super::fs::{File, FsRef, temporary};
use super::mmap::Mmap;
use super::smaps::Smaps;
use crate::error::{Error, Result};
use crate::model::config::Memory;
use crate::model::memory::ComponentMemory;

/// Newest format this build writes and reads.
pub(crate) const FORMAT: u32 = 1;
const MAGIC: [u8; 4] = *b"VDBF";
const END_MAGIC: [u8; 4] = *b"FBDV";
const HEADER_BYTES: usize = 36;
const DATA_AT: usize = 4096;
const BLOCK_BYTES: usize = 64 << 10;
const FOOTER_BYTES: usize = 24;
const BUFFER_BYTES: usize = 1 << 20;

/// How much of a file is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Header, footer, lengths and the checksum table.
    Structure,
    /// Every byte of the data too.
    Everything,
}

/// A file being written; it has its name when [`SealedWriter::finish`] returns.
pub(crate) struct SealedWriter {
    fs: FsRef,
    path: PathBuf,
    file: Box<dyn File>,
    kind: u32,
    buffer: Vec<u8>,
    /// Bytes of data already written to the file.
    written: u64,
    block: crc32fast::Hasher,
    /// Bytes in the block under way.
    block_bytes: usize,
    table: Vec<u8>,
}

impl SealedWriter {
    pub(crate) fn create(fs: &FsRef, path: &Path, kind: u32) -> Result<Self> {
        Ok(Self {
            file: fs.create(&temporary(path))?,
            fs: FsRef::clone(fs),
            path: path.into(),
            kind,
            buffer: Vec::new(),
            written: 0,
            block: crc32fast::Hasher::new(),
            block_bytes: 0,
            table: Vec::new(),
        })
    }

    /// Appends data.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block_bytes));
            self.block.update(part);
            self.block_bytes += part.len();
            if self.block_bytes == BLOCK_BYTES {
                self.end_block();
            }
            bytes = rest;
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn end_block(&mut self) {
        let crc = std::mem::take(&mut self.block).finalize();
        self.table.extend_from_slice(&crc.to_le_bytes());
        self.block_bytes = 0;
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(DATA_AT as u64 + self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the file, makes it durable and gives it its name; the caller syncs the directory. Returns its length.
    pub(crate) fn finish(mut self) -> Result<u64> {
        if self.block_bytes > 0 {
            self.end_block();
        }
        self.flush()?;
        let tag = tag_of(&self.path, self.kind, self.written, &self.table);
        let mut end = std::mem::take(&mut self.table);
        let table_crc = crc32fast::hash(&end);
        end.extend_from_slice(&self.written.to_le_bytes());
        end.extend_from_slice(&tag.to_le_bytes());
        end.extend_from_slice(&table_crc.to_le_bytes());
        end.extend_from_slice(&END_MAGIC);
        self.file.write_at(DATA_AT as u64 + self.written, &end)?;
        let mut header = header(self.kind, self.written, tag);
        header.resize(DATA_AT, 0);
        self.file.write_at(0, &header)?;
        self.file.sync()?;
        self.fs.rename(&temporary(&self.path), &self.path)?;
        Ok(DATA_AT as u64 + self.written + end.len() as u64)
    }
}

fn header(kind: u32, data_bytes: u64, tag: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(DATA_AT);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&kind.to_le_bytes());
    header.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header.extend_from_slice(&tag.to_le_bytes());
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

/// A number that another file is unlikely to have: made of the file's name and content, so that writing is repeatable.
fn tag_of(path: &Path, kind: u32, len: u64, table: &[u8]) -> u64 {
    let content = crc32fast::hash(table) ^ kind.rotate_left(24) ^ (len as u32);
    u64::from(hash_of_name(path)) << 32 | u64::from(content)
}

/// Of the file's name and that of its directory: what is above them may be another place after a restore.
fn hash_of_name(path: &Path) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for name in path.iter().rev().take(2) {
        hasher.update(name.as_encoded_bytes());
        hasher.update(b"/");
    }
    hasher.finalize()
}

/// An open sealed file.
#[derive(Debug)]
pub(crate) struct SealedFile {
    path: PathBuf,
    map: Mmap,
    data_bytes: usize,
}

impl SealedFile {
    /// Opens and checks a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when anything checked is not as it was written, [`Error::UnknownFormat`] for files of newer versions.
    pub(crate) fn open(fs: &FsRef, path: &Path, kind: u32, check: Check) -> Result<Self> {
        let map = fs.map(path).map_err(|error| match error {
            // Whoever opens a sealed file knows that there must be one.
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Error::corrupt(path, 0, "the file is missing"),
            error => error,
        })?;
        let data_bytes = check_structure(&map, path, kind)?;
        if check == Check::Structure {
            map.advise(Memory::Cold);
        }
        let file = Self { path: path.into(), map, data_bytes };
        if check == Check::Everything {
            file.verify()?;
        }
        Ok(file)
    }

    /// Says how the content will be read from now on.
    pub(crate) fn advise(&self, memory: Memory) {
        self.map.advise(memory);
    }

    /// Gives the file's pages back; reading brings them again.
    pub(crate) fn release(&self) {
        self.map.release();
    }

    /// What is in memory of it.
    pub(crate) fn memory(&self, smaps: &Smaps) -> ComponentMemory {
        self.map.memory(smaps)
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.map[DATA_AT..DATA_AT + self.data_bytes]
    }

    /// Reads a part of the data of a large file without mapping it; false when that is not possible.
    pub(crate) fn read_unmapped(&self, at: usize, into: &mut [u8]) -> bool {
        self.map.read_unmapped(DATA_AT + at, into)
    }

    /// Checks every block of the data.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the offset of the first damaged block.
    pub(crate) fn verify(&self) -> Result<()> {
        let (table, _) = self.map[DATA_AT + self.data_bytes..].as_chunks::<4>();
        for (number, (block, crc)) in self.data().chunks(BLOCK_BYTES).zip(table).enumerate() {
            if crc32fast::hash(block) != u32::from_le_bytes(*crc) {
                let offset = (DATA_AT + number * BLOCK_BYTES) as u64;
                return Err(Error::corrupt(&self.path, offset, "checksum mismatch"));
            }
        }
        Ok(())
    }
}

impl AsRef<[u8]> for SealedFile {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

/// Checks header, footer, lengths and table; returns the length of the data.
fn check_structure(map: &[u8], path: &Path, kind: u32) -> Result<usize> {
    let corrupt = |offset: usize, what: &str| Error::corrupt(path, offset as u64, what);
    let header: &[u8; HEADER_BYTES] = map.first_chunk().ok_or_else(|| corrupt(0, "too short for a header"))?;
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if header[..4] != MAGIC {
        return Err(corrupt(0, "not a file of this database"));
    }
    if crc32fast::hash(&header[..32]) != u32_at(32) {
        return Err(corrupt(0, "checksum mismatch in the header"));
    }
    if u32_at(4) > FORMAT {
        return Err(Error::UnknownFormat { file: path.into(), found: u32_at(4), supported: FORMAT });
    }
    if u32_at(8) != kind || u32_at(12) != BLOCK_BYTES as u32 {
        return Err(corrupt(8, "a file of another kind"));
    }
    if u32_at(28) != hash_of_name(path) {
        return Err(corrupt(28, "the content of a file of another name"));
    }
    let data_bytes = usize::try_from(u64_at(16)).map_err(|_| corrupt(16, "an impossible length"))?;
    let table_bytes = data_bytes.div_ceil(BLOCK_BYTES) * 4;
    let expected = data_bytes.checked_add(DATA_AT + table_bytes + FOOTER_BYTES);
    if expected != Some(map.len()) {
        return Err(corrupt(16, "the file is not as long as its header says"));
    }
    if map[HEADER_BYTES..DATA_AT].iter().any(|&byte| byte != 0) {
        return Err(corrupt(HEADER_BYTES, "padding that is not zero"));
    }
    let table = &map[DATA_AT + data_bytes..][..table_bytes];
    let footer_at = DATA_AT + data_bytes + table_bytes;
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend_from_slice(&header[16..32]);
    footer.extend_from_slice(&crc32fast::hash(table).to_le_bytes());
    footer.extend_from_slice(&END_MAGIC);
    if map[footer_at..] != footer {
        return Err(corrupt(footer_at, "footer or checksum table does not match"));
    }
    Ok(data_bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::memory_fs::MemFs;
    use super::*;

    fn write(fs: &FsRef, len: usize) -> Vec<u8> {
        let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let mut writer = SealedWriter::create(fs, Path::new("f"), 9).expect("memory takes files");
        data.chunks(777).try_for_each(|part| writer.write(part)).expect("and bytes");
        let total = writer.finish().expect("and names");
        assert_eq!(fs.len(Path::new("f")).expect("it is there"), Some(total));
        data
    }

    #[test]
    fn data_comes_back() {
        let fs: FsRef = Arc::new(MemFs::default());
        for len in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BUFFER_BYTES + 5] {
            let data = write(&fs, len);
            let file = SealedFile::open(&fs, Path::new("f"), 9, Check::Everything).expect("what was written opens");
            assert!(file.data() == data);
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let fs: FsRef = Arc::new(MemFs::default());
        write(&fs, 3000);
        let whole = fs.read(Path::new("f")).expect("it is there");
        let opens_as = |name: &str, bytes: &[u8]| {
            let file = fs.create(Path::new(name)).expect("memory takes files");
            file.write_at(0, bytes).expect("and bytes");
            SealedFile::open(&fs, Path::new(name), 9, Check::Everything).is_ok()
        };
        let opens = |bytes: &[u8]| opens_as("f", bytes);
        assert!(opens(&whole));
        assert!(!opens_as("g", &whole), "under another name");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(!opens(&flipped), "byte {at}");
        }
        for len in (0..whole.len()).step_by(61) {
            assert!(!opens(&whole[..len]), "cut to {len}");
        }
    }

    #[test]
    fn newer_formats_and_other_kinds_are_refused() {
        let fs: FsRef = Arc::new(MemFs::default());
        write(&fs, 10);
        assert!(matches!(SealedFile::open(&fs, Path::new("f"), 8, Check::Structure), Err(Error::Corrupt { .. })));
        let mut newer = header(9, 10, 1);
        newer[4] = 2;
        let crc = crc32fast::hash(&newer[..32]);
        newer[32..].copy_from_slice(&crc.to_le_bytes());
        fs.open(Path::new("f")).and_then(|file| file.write_at(0, &newer)).expect("memory takes bytes");
        assert!(matches!(SealedFile::open(&fs, Path::new("f"), 9, Check::Structure), Err(Error::UnknownFormat { found: 2, .. })));
    }
}
