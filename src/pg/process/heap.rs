//! The heap of a process that runs for months.

/// Give free memory back to the operating system.
///
/// PostgreSQL frees its memory contexts at the end of a tick, but glibc keeps what a large tick needed: each large
/// block that is freed raises the threshold above which blocks are mapped separately (to 32 MB), so that later ones
/// stay in the heap.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(keep: usize) -> std::ffi::c_int;
        }
        // SAFETY: glibc's own, which touches only blocks that are free; this process has one thread.
        unsafe { malloc_trim(0) };
    }
}
