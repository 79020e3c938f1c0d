//! Every step that has a name is one at which somebody is killed.

use crate::crash_steps::ALL;
use std::collections::BTreeMap;
use std::path::Path;

/// Names of the sources, with the files they are in.
fn names(folder: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    for entry in std::fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("crash_points.rs") {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            for rest in text.split("reached(").skip(1) {
                let name = rest.strip_prefix('"').and_then(|r| r.split('"').next());
                let name = name.unwrap_or_else(|| panic!("a step without a literal name in {}", path.display()));
                found.entry(name.to_owned()).or_default().push(path.display().to_string());
            }
        }
    }
}

#[test]
fn every_step_of_the_sources_is_in_a_list() {
    let mut found = BTreeMap::new();
    names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 30, "only {} names were found", found.len());
    let twice: Vec<_> = found.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "one name for two places: {twice:?}");
    let listed: Vec<&str> =
        ALL.iter().flat_map(|l| l.iter()).map(|step| step.split(':').next().unwrap_or(step)).collect();
    let forgotten: Vec<_> = found.keys().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(forgotten.is_empty(), "nobody is killed at {forgotten:?}: add them to tests/support/crash_steps.rs");
    let gone: Vec<_> = listed.iter().filter(|name| !found.contains_key(**name)).collect();
    assert!(gone.is_empty(), "no such steps (any more): {gone:?}");
}
