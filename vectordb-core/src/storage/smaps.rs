//! Which pages the process has: `/proc/self/smaps`, read once and asked for ranges of addresses.
//!
//! The system counts for each mapping the pages that are in this process's page table, which is what its resident set is the
//! sum of. `mincore` would tell what is in the page cache, whoever put it there.

use std::collections::BTreeSet;
use std::ops::Range;

use super::system;

/// Sizes of the heaps that glibc makes its arenas of.
const ARENA: usize = 64 << 20;
const GUARD: usize = 4096;

/// The mappings of the process at one moment, ascending.
#[derive(Debug, Default)]
pub(crate) struct Smaps {
    mappings: Vec<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    addresses: Range<usize>,
    resident: u64,
    permissions: [u8; 4],
    /// Path of a file, a name in brackets, or nothing.
    name: String,
}

impl Mapping {
    fn is_anonymous(&self) -> bool {
        self.name.is_empty() && &self.permissions[..2] == b"rw"
    }

    fn is_guard(&self) -> bool {
        self.name.is_empty() && &self.permissions[..3] == b"---"
    }
}

impl Smaps {
    /// The mappings now; none where the system does not tell.
    pub(crate) fn now() -> Self {
        system::smaps().map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut mappings: Vec<Mapping> = Vec::new();
        for line in text.lines() {
            if let Some(mapping) = header(line) {
                mappings.push(mapping);
            } else if let Some(rest) = line.strip_prefix("Rss:")
                && let Some(mapping) = mappings.last_mut()
            {
                let kilobytes: u64 = rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
                mapping.resident = kilobytes * 1024;
            }
        }
        mappings.sort_by_key(|mapping| mapping.addresses.start);
        Self { mappings }
    }

    /// Whether the system told anything.
    pub(crate) fn is_known(&self) -> bool {
        !self.mappings.is_empty()
    }

    /// Bytes of a range of addresses that are there. Of a mapping that covers more than the range, as large a part as it
    /// covers: the system makes one mapping of neighbours that are alike.
    pub(crate) fn resident(&self, range: Range<usize>) -> u64 {
        let first = self.mappings.partition_point(|mapping| mapping.addresses.end <= range.start);
        let inside = self.mappings[first..].iter().take_while(|mapping| mapping.addresses.start < range.end);
        inside
            .map(|mapping| {
                let all = mapping.addresses.len() as u64;
                let common = mapping.addresses.end.min(range.end) - mapping.addresses.start.max(range.start);
                // In 128 bits, since a product of two sizes may not fit in 64.
                u64::try_from(u128::from(mapping.resident) * common as u128 / u128::from(all.max(1))).unwrap_or(0)
            })
            .sum()
    }

    fn sum(&self, counts: impl Fn(usize, &Mapping) -> bool) -> u64 {
        self.mappings.iter().enumerate().filter(|(at, mapping)| counts(*at, mapping)).map(|(_, mapping)| mapping.resident).sum()
    }

    /// The resident set.
    pub(crate) fn total(&self) -> u64 {
        self.sum(|_, _| true)
    }

    /// Programs and libraries: files of which a part is executable, and what the kernel lends.
    pub(crate) fn code(&self) -> u64 {
        let executable = |mapping: &&Mapping| mapping.name.starts_with('/') && mapping.permissions[2] == b'x';
        let programs: BTreeSet<&str> = self.mappings.iter().filter(executable).map(|mapping| mapping.name.as_str()).collect();
        self.sum(|_, mapping| mapping.name.starts_with("[v") || programs.contains(mapping.name.as_str()))
    }

    /// Stacks: that of the main thread, and what lies right above a guard page.
    pub(crate) fn stacks(&self) -> u64 {
        self.sum(|at, mapping| {
            let below = at.checked_sub(1).and_then(|below| self.mappings.get(below));
            let guarded = below
                .is_some_and(|below| below.is_guard() && below.addresses.len() == GUARD && below.addresses.end == mapping.addresses.start);
            mapping.name == "[stack]" || (mapping.is_anonymous() && guarded)
        })
    }

    /// What the allocator of glibc keeps small blocks in: the heap, and arenas that fill a range of 64 MB.
    pub(crate) fn arenas(&self) -> u64 {
        self.sum(|at, mapping| {
            let above = self.mappings.get(at + 1);
            let end = mapping.addresses.start.saturating_add(ARENA);
            let reserved =
                above.is_some_and(|above| above.is_guard() && above.addresses.start == mapping.addresses.end && above.addresses.end == end);
            let is_arena = mapping.addresses.start % ARENA == 0 && (mapping.addresses.end == end || reserved);
            mapping.name == "[heap]" || (mapping.is_anonymous() && is_arena)
        })
    }
}

/// `55e0c0-55e0d0 r-xp 00001000 fe:00 1234    /path`
fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = *words.next()?.as_bytes().first_chunk()?;
    let addresses = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let name = words.skip(3).collect::<Vec<_>>().join(" ");
    Some(Mapping { addresses, resident: 0, permissions, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fs::Fs as _;

    const TEXT: &str = "\
1000-3000 r-xp 00000000 fe:00 7 /bin/program one
Size: 8 kB
Rss: 4 kB
Anonymous: 0 kB
3000-4000 rw-p 00002000 fe:00 7 /bin/program one
Rss: 4 kB
5000-6000 rw-p 00000000 00:00 0 [heap]
Rss: 4 kB
10000-30000 r--s 00000000 fe:00 9 /data/vectors
Rss: 64 kB
4000000-4010000 rw-p 00000000 00:00 0
Rss: 48 kB
4010000-8000000 ---p 00000000 00:00 0
Rss: 0 kB
9000000-9001000 ---p 00000000 00:00 0
Rss: 0 kB
9001000-9101000 rw-p 00000000 00:00 0
Rss: 12 kB
7fff000-8fff000 rw-p 00000000 00:00 0 [stack]
Rss: 16 kB
";

    #[test]
    fn mappings_are_told_apart() {
        let smaps = Smaps::parse(TEXT);
        assert_eq!(smaps.total(), (4 + 4 + 4 + 64 + 48 + 12 + 16) << 10);
        assert_eq!(smaps.code(), 8 << 10);
        assert_eq!(smaps.stacks(), (12 + 16) << 10);
        assert_eq!(smaps.arenas(), (4 + 48) << 10);
        assert_eq!(smaps.resident(0x10000..0x30000), 64 << 10);
        assert_eq!(smaps.resident(0x10000..0x20000), 32 << 10);
        assert_eq!(smaps.resident(0x40000..0x50000), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_code_and_stacks() {
        let smaps = Smaps::now();
        assert!(smaps.is_known() && smaps.code() > 0 && smaps.stacks() > 0 && smaps.arenas() > 0);
        assert!(smaps.code() + smaps.stacks() + smaps.arenas() <= smaps.total());
        // Of a file: the system makes one mapping of anonymous memory and its neighbours, whatever of these is there.
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("bytes");
        std::fs::write(&path, vec![1u8; 8 << 20]).expect("it is written");
        let bytes = crate::storage::fs::StdFs.map(&path).expect("it is mapped");
        assert_eq!(bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 8 << 20, "every page is touched");
        let start = bytes.as_ptr().addr();
        let resident = Smaps::now().resident(start..start + bytes.len());
        assert!(resident > 7 << 20, "{resident}");
    }
}
