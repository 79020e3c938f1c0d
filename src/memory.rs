//! How this process asks the system for memory.
//!
//! Comes in: the number of processors. Goes out: a setting of the C library's allocator. Never: more than once, at the start.

/// Lets the allocator keep an arena for each processor, at least two; see docs/decisions/0012. To be called before there
/// are threads. Where `MALLOC_ARENA_MAX` or `GLIBC_TUNABLES` is set, whoever runs this knows better. With other C
/// libraries than glibc nothing happens.
pub fn limit_arenas() {
    if ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let processors = std::thread::available_parallelism().map_or(2, Into::into);
    set_most_arenas(i32::try_from(processors.max(2)).unwrap_or(i32::MAX));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_most_arenas(most: i32) {
    #[allow(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: two integers go in, nothing is pointed to; the allocator locks itself.
    let _is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, most) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_most_arenas(_most: i32) {}
