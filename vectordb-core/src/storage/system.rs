//! What the operating system says about memory: the mappings of the process, the machine's size, the control group's limit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::memory::MemoryLimit;

/// Limits that groups of version 1 have when none is set are the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

/// The mappings of the process as text, where the system knows them.
pub(super) fn smaps() -> Option<String> {
    if cfg!(target_os = "linux") { fs::read_to_string("/proc/self/smaps").ok() } else { None }
}

/// What a limit comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    /// Whether somebody has set it, or it is only the size of the machine.
    pub(crate) is_set: bool,
}

/// What a limit comes to here; nothing when there is none.
pub(crate) fn limit(limit: MemoryLimit) -> Option<Limit> {
    match limit {
        MemoryLimit::Unlimited => None,
        MemoryLimit::Bytes(bytes) => Some(Limit { bytes, is_set: true }),
        MemoryLimit::Auto => allowed(Path::new("/")).map(|limit| Limit { bytes: limit.bytes / 5 * 4, ..limit }),
    }
}

/// Bytes that the process may have: by its control group or any above it, or else all that the machine has. Paths are below
/// `root`.
fn allowed(root: &Path) -> Option<Limit> {
    let (group, machine) = (group_limit(root), machine_bytes(root));
    let bytes = group.into_iter().chain(machine).min()?;
    Some(Limit { bytes, is_set: machine.is_none_or(|machine| bytes < machine) })
}

fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit on the way from the process's group up to the root. Version 2 has one tree, version 1 one of its own for
/// memory; a process may be in both. Inside a container the path may be that outside of it, and the limit lies at the root.
fn group_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let trees: &[&str] = if controllers.is_empty() {
            &["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        } else if controllers.split(',').any(|controller| controller == "memory") {
            &["sys/fs/cgroup/memory"]
        } else {
            &[]
        };
        let file = if controllers.is_empty() { "memory.max" } else { "memory.limit_in_bytes" };
        trees.iter().filter_map(|tree| lowest(&root.join(tree), path, file)).collect::<Vec<_>>()
    });
    limits.min()
}

/// The lowest number in the files of this name from a group up to the root of its tree.
fn lowest(tree: &Path, group: &str, file: &str) -> Option<u64> {
    let group: PathBuf = tree.join(group.trim_start_matches('/'));
    let levels = group.ancestors().take_while(|level| level.starts_with(tree));
    // "max", and what is not there, are no limits.
    levels.filter_map(|level| fs::read_to_string(level.join(file)).ok()?.trim().parse().ok()).filter(|&bytes| bytes < UNLIMITED).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with files of some contents.
    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        dir
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       1000000 kB\nMemFree: 5 kB\n");

    #[test]
    fn version_2_takes_the_lowest_limit_on_the_way_up() {
        let dir = files(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/pods/one\n"),
            ("sys/fs/cgroup/pods/one/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/memory.max", "50000000\n"),
        ]);
        assert_eq!(allowed(dir.path()), Some(Limit { bytes: 50_000_000, is_set: true }));
    }

    #[test]
    fn version_1_ignores_the_number_that_means_no_limit() {
        let groups = ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/job/7\n0::/\n");
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let dir = files(&[MEMINFO, groups, none, ("sys/fs/cgroup/memory/job/7/memory.limit_in_bytes", "40000000\n")]);
        assert_eq!(allowed(dir.path()), Some(Limit { bytes: 40_000_000, is_set: true }));
        let dir = files(&[MEMINFO, groups, none]);
        assert_eq!(allowed(dir.path()), Some(Limit { bytes: 1_000_000 << 10, is_set: false }));
    }

    #[test]
    fn a_container_that_sees_its_group_as_the_root_finds_the_limit_there() {
        let dir =
            files(&[MEMINFO, ("proc/self/cgroup", "4:memory:/docker/abc\n"), ("sys/fs/cgroup/memory/memory.limit_in_bytes", "30000000")]);
        assert_eq!(allowed(dir.path()), Some(Limit { bytes: 30_000_000, is_set: true }));
    }

    #[test]
    fn a_limit_above_the_machine_is_that_of_the_machine_and_nothing_known_is_no_limit() {
        let dir = files(&[MEMINFO, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "99999999999999\n")]);
        assert_eq!(allowed(dir.path()), Some(Limit { bytes: 1_000_000 << 10, is_set: false }));
        assert_eq!(allowed(files(&[]).path()), None);
        assert_eq!((limit(MemoryLimit::Unlimited), limit(MemoryLimit::Bytes(7))), (None, Some(Limit { bytes: 7, is_set: true })));
    }
}
