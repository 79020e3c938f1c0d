//! The layers of the design: imports go downwards only, and what is pure stays pure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// From the bottom to the top. A module may use its own layer's modules only if it is in the same module.
const LAYERS: &[&[&str]] = &[
    &["media"],
    &["container", "manifest"],
    &["playback"],
    &["causes", "clock", "crash_points", "memory", "store", "index"],
    &["recorder", "web", "janitor", "check"],
    &["config", "cli", "main"],
];

const PURE: &[&str] = &["media", "container", "manifest", "playback"];

/// What pure code has no business with.
const IMPURE: &[&str] = &[
    "tokio",
    "async fn",
    "sqlx",
    "axum",
    "http::",
    "reqwest",
    "tracing",
    "metrics::",
    "std::fs",
    "std::net",
    "std::env",
    "SystemTime",
    "Instant::now",
    "rand::",
    "Uuid::now",
    "std::thread",
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without its tests: they may use files and processes.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source is text");
    let end =
        text.find("#[cfg(test)]\nmod ").or_else(|| text.find("#[cfg(test)]\npub(crate) mod ")).unwrap_or(text.len());
    text[..end].lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    path.components().any(|c| c.as_os_str() == "tests")
        || stem.ends_with("tests")
        || stem.starts_with("tests_")
        || ["testkit", "captures"].contains(&stem.as_str())
}

#[test]
fn imports_go_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "only {} sources were found", files.len());
    let mut faults = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).expect("below src");
        let module =
            relative.components().next().and_then(|c| c.as_os_str().to_str()).expect("a name").trim_end_matches(".rs");
        if module == "lib" || is_test(relative) {
            continue;
        }
        let Some(own) = layer_of(module) else {
            faults.push(format!("{}: module {module} is in no layer", relative.display()));
            continue;
        };
        let code = code(file);
        for prefix in ["crate::", "evertape::"] {
            for (at, _) in code.match_indices(prefix) {
                let rest = &code[at + prefix.len()..];
                let names: Vec<&str> = match rest.strip_prefix('{') {
                    Some(list) => list
                        .split('}')
                        .next()
                        .unwrap_or("")
                        .split(',')
                        .map(|n| n.trim().split("::").next().unwrap_or(""))
                        .collect(),
                    None => vec![rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")],
                };
                for used in names {
                    if let Some(layer) = layer_of(used)
                        && (layer > own
                            || (layer == own
                                && used != module
                                && own != LAYERS.len() - 1
                                && !["clock", "crash_points"].contains(&used)))
                    {
                        faults.push(format!("{}: {module} uses {used}", relative.display()));
                    }
                }
            }
        }
        if PURE.contains(&module) {
            for word in IMPURE.iter().filter(|w| code.contains(**w)) {
                faults.push(format!("{}: pure code says `{word}`", relative.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
