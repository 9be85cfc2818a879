//! What this process takes of the machine.

use std::path::Path;

/// Megabytes of memory the process has now, and had at most. 0 where the system does not tell.
pub fn memory_mb() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).map_or(0.0, |kilobytes| kilobytes / 1024.0)
    })
}

/// Seconds of CPU the whole process has had.
pub fn cpu_seconds() -> f64 {
    seconds(rustix::time::ClockId::ProcessCPUTime)
}

/// Seconds of CPU this thread has had.
pub fn thread_cpu_seconds() -> f64 {
    seconds(rustix::time::ClockId::ThreadCPUTime)
}

fn seconds(clock: rustix::time::ClockId) -> f64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes of all files below a directory, as they take room on disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        Some(if meta.is_dir() { disk_bytes(&entry.path()) } else { allocated(&meta) })
    });
    sizes.sum()
}

#[cfg(unix)]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    meta.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_added_up_at_every_depth() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("inner")).expect("a directory");
        std::fs::write(dir.path().join("inner/file"), vec![1; 10_000]).expect("a file");
        let bytes = disk_bytes(dir.path());
        assert!((8_192..40_000).contains(&bytes), "{bytes}");
    }
}
