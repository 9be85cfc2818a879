//! The priority of threads that work in the background.

/// Lets the calling thread run only when no other wants to, so that searches beside a merge stay fast. Where the platform
/// knows no priority of single threads, nothing happens.
pub(crate) fn lower_this_thread() {
    #[cfg(target_os = "linux")]
    {
        // On Linux a priority set for a thread id is that of the thread alone. Lowering needs no rights and cannot fail
        // in a way that matters: without it the work is only less polite.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    }
}
