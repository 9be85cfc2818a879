//! The priority of threads that work in the background.

/// Work that is to be done soon, because memory and the time of searches depend on it: sealing, planning.
pub(crate) const SOON: i32 = 5;
/// Work that takes long and may take longer: building graphs.
pub(crate) const LATER: i32 = 15;

/// The lowest priority there is.
const LEAST: i32 = 19;

/// Makes the calling thread give way to others, the more the higher the number (to 19), so that searches beside a merge stay
/// fast. Where the platform knows no priority of single threads, nothing happens.
pub(crate) fn lower_this_thread(by: i32) {
    #[cfg(target_os = "linux")]
    {
        // Of the process as it was started, which is that of its first thread; this one may come from one that gave way already.
        let usual = rustix::process::getpriority_process(Some(rustix::process::getpid())).unwrap_or(0);
        // On Linux a priority set for a thread id is that of the thread alone. Lowering needs no rights and cannot fail
        // in a way that matters: without it the work is only less polite.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), (usual + by).min(LEAST));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}
