//! The committed document of the API, from which the types of the web interface are made, is that of the code.

/// Set to anything, the document is written instead: `make api-types` does.
const WRITE: &str = "WRITE_API_DOCUMENT";

#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/src/api/openapi.json");
    let made = format!("{}\n", evertape::web::admin::openapi());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &made).expect("written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "ui/src/api/openapi.json is not the document of this code: run `make api-types`");
}
