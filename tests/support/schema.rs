//! Answers of the admin API held against its document.
//!
//! Comes in: method, address, status and JSON of an answer. Goes out: nothing, or a panic that says what differs. What
//! the document does not name is a difference, too: a property without a schema, a status that is not listed.
#![allow(dead_code, reason = "not every suite uses all of it")]

use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&evertape::web::admin::openapi()).expect("the document is JSON"));

/// The operation of an address below `/api/v1`, without its query; `None` where the document has none.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.trim_start_matches("/api/v1").split('/').collect();
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(|(w, p)| w.starts_with('{') || w == p)
    };
    paths.iter().find(|(template, _)| fits(template)).and_then(|(_, methods)| methods.get(method.to_lowercase()))
}

/// Checks an answer of success.
pub fn check(method: &str, path: &str, status: u16, body: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let operation = operation(method, path).unwrap_or_else(|| panic!("the document has no {method} {path}"));
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "the document knows no {status} of {method} {path}");
    let schema = &response["content"]["application/json"]["schema"];
    match schema {
        Value::Null => assert!(body.is_null(), "{method} {path}: {status} has a body that the document does not know"),
        schema => {
            if let Err(why) = fits(schema, body) {
                panic!("{method} {path}: {why}\n{body:#}");
            }
        }
    }
}

/// Checks a value against a schema of the document.
///
/// # Errors
/// Where and how it differs.
pub fn fits_named(name: &str, value: &Value) -> Result<(), String> {
    fits(&serde_json::json!({ "$ref": format!("#/components/schemas/{name}") }), value)
}

fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        let named = DOCUMENT.pointer(pointer).ok_or_else(|| format!("{reference} is nowhere"))?;
        return fits(named, value).map_err(|why| format!("{}: {why}", pointer.rsplit('/').next().unwrap_or_default()));
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(any) = schema[several].as_array() {
            let all: Vec<_> = any.iter().map(|s| fits(s, value)).collect();
            return match all.iter().any(Result::is_ok) {
                true => Ok(()),
                false => Err(all.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("; or ")),
            };
        }
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("a schema without a type: {schema}")),
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !kinds.iter().any(is) {
        return Err(format!("{value} is not {kinds:?}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
        && number < least
    {
        return Err(format!("{number} is below {least}"));
    }
    if let Some(items) = value.as_array() {
        for (n, item) in items.iter().enumerate() {
            fits(&schema["items"], item).map_err(|why| format!("[{n}]: {why}"))?;
        }
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            return Err(format!("`{name}` is missing"));
        }
    }
    for (name, value) in object {
        let schema = schema["properties"].get(name).ok_or_else(|| format!("`{name}` is not in the document"))?;
        fits(schema, value).map_err(|why| format!(".{name}: {why}"))?;
    }
    Ok(())
}

#[test]
fn differences_are_found() {
    let lock = serde_json::json!({ "id": "a", "from_ms": 1, "to_ms": 2, "title": "t", "created_ms": 3 });
    assert_eq!(fits_named("Lock", &lock), Ok(()));
    for (key, wrong) in [("id", serde_json::json!(7)), ("from_ms", serde_json::json!("1")), ("other", Value::Null)] {
        let mut changed = lock.clone();
        changed[key] = wrong;
        assert!(fits_named("Lock", &changed).unwrap_err().contains(key), "{changed}");
    }
    let mut short = lock;
    short.as_object_mut().expect("an object").remove("title");
    assert!(fits_named("Lock", &short).unwrap_err().contains("title"));
    assert!(operation("GET", "/streams/a%2Fb/locks").is_some() && operation("GET", "/nothing").is_none());
}
