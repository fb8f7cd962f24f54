use super::profile::Profile;

/// How often memory was asked for, and given back.
pub(super) fn count(profile: &Profile) -> (u64, u64) {
    let is_asked_for =
        |name: &str| is_mimallocs(name) && name.contains("alloc") || LIBC.contains(&bare(name));
    let is_given_back =
        |name: &str| is_mimallocs(name) && bare(name).starts_with("free") || bare(name) == "free";
    let is_inside =
        |name: &str| is_mimallocs(name) || LIBC.contains(&bare(name)) || name.starts_with("_int_");
    (profile.called(is_asked_for, is_inside), profile.called(is_given_back, is_inside))
}

/// The C library's, by which aws-lc allocates.
const LIBC: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

fn is_mimallocs(name: &str) -> bool {
    name.trim_start_matches('_').starts_with("mi_")
}

/// Without what tells a function of mimalloc, and without what a compiler has added.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches('_');
    let name = name.strip_prefix("mi_").unwrap_or(name);
    name.split(['.', '\'']).next().unwrap_or(name)
}
