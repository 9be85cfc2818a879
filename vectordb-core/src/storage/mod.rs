//! Bytes on disk: the door to the file system, mapped files, and the envelope every file of ours has.

pub(crate) mod fs;
pub(crate) mod mmap;
