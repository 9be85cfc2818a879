//! Bytes on disk: the door to the file system, mapped files, and the envelope every file of ours has.
//!
//! Files: `fs` (the door), `std_fs` and `memory_fs` (two ways through it), `mmap` (files as slices), `codec` (values as bytes), `clock`,
//! `sealed_file` (the checksummed envelope), `placed` (mapped or copied), `priority` (of background threads); of memory:
//! `allowance` (how much may be taken), `system` (what the system allows), `smaps` (what is there), `heap` (what structures take).

pub(crate) mod allowance;
pub(crate) mod clock;
pub(crate) mod codec;
pub(crate) mod fs;
pub(crate) mod heap;
mod memory_fs;
pub(crate) mod mmap;
pub(crate) mod placed;
pub(crate) mod priority;
pub(crate) mod sealed_file;
pub(crate) mod smaps;
mod std_fs;
pub(crate) mod system;
