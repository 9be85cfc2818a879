//! What the operating system says of the disk and of this process; nothing where it does not say.

use std::path::Path;
use std::sync::OnceLock;

/// What the kernel counts a process's time in, on every architecture that Linux calls its own.
const TICKS_PER_SECOND: u64 = 100;

/// When this process was started, in seconds since 1970.
static STARTED: OnceLock<Option<u64>> = OnceLock::new();

/// Figures of the process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    /// In seconds since 1970.
    pub(super) started: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_mmaps: Option<u64>,
    pub(super) max_mmaps: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) minor_faults: Option<u64>,
    pub(super) major_faults: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (status, stat, limits) = (read("/proc/self/status"), read("/proc/self/stat"), read("/proc/self/limits"));
        let of_status = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        };
        // The name of the program, in parentheses, may hold anything; fields are counted behind it (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let of_stat = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Self {
            resident_bytes: of_status("VmRSS").map(|kilobytes| kilobytes * 1024),
            // The kernel reckons anew each time when it was booted, and the clock may have been set meanwhile: what is told stays.
            started: *STARTED.get_or_init(|| {
                let booted = read("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
                booted.zip(of_stat(22)).map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND)
            }),
            threads: of_status("Threads"),
            open_mmaps: Some(read("/proc/self/maps").lines().count() as u64).filter(|&count| count > 0),
            max_mmaps: read("/proc/sys/vm/max_map_count").trim().parse().ok(),
            open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: open_files.and_then(|limits| limits.split_whitespace().next()?.parse().ok()),
            minor_faults: of_stat(10),
            major_faults: of_stat(12),
        }
    }
}

/// Bytes of a file system that can be written, and all of its bytes.
pub(crate) fn disk(path: &Path) -> Option<(u64, u64)> {
    Some((fs4::available_space(path).ok()?, fs4::total_space(path).ok()?))
}

/// Bytes of memory that this process takes, and those that it may take: the machine's, or less where its control group says so.
pub(crate) fn memory() -> Option<(u64, u64)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kilobytes = |text: &str, name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    let resident = kilobytes(&read("/proc/self/status"), "VmRSS")?;
    let machine = kilobytes(&read("/proc/meminfo"), "MemTotal")?;
    // A container sees its own group at the root.
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>();
    Some((resident, group.map_or(machine, |group| group.min(machine))))
}
