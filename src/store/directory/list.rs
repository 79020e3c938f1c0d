//! Listing a tree of folders in the byte order of whole keys.
//!
//! A folder `a` sorts as `a/`, after a file `a-b` or `a.b`: entries are compared with that slash. At most
//! [`AT_ONCE`] names (or the limit asked for, if larger) of each folder on the path are in memory.

use super::{Inner, io_error};
use crate::media::ObjectKey;
use crate::store::{ObjectInfo, Result, can_be_prefix};
use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;

/// Names kept of one folder in one pass.
const AT_ONCE: usize = 1024;

/// One listing under way.
struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<ObjectInfo>,
}

pub(super) fn list(inner: &Inner, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
    if limit == 0 || !can_be_prefix(prefix) {
        return Ok(Vec::new());
    }
    let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
    let start = inner.root.join(folder);
    match inner.check_folder(start.as_path(), prefix) {
        Ok(true) => {}
        Ok(false) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let after = after.map_or("", ObjectKey::as_str);
    let mut walk = Walk { prefix, after, limit, found: Vec::new() };
    walk.folder(&start, folder)?;
    Ok(walk.found)
}

impl Walk<'_> {
    /// Takes everything wanted below `path`, whose keys start with `base` (empty, or ending with a slash).
    fn folder(&mut self, path: &Path, base: &str) -> Result<()> {
        // Last entry dealt with: a folder too large for one pass goes on from there.
        let mut from: Option<String> = None;
        loop {
            let (entries, more) = self.entries(path, base, from.as_deref())?;
            for (name, entry) in entries {
                if self.found.len() >= self.limit {
                    return Ok(());
                }
                if name.ends_with('/') {
                    self.folder(&entry.path(), &name)?;
                } else if let Some(key) = ObjectKey::parse(&name) {
                    match entry.metadata() {
                        Ok(metadata) => self.found.push(ObjectInfo { key, object_bytes: metadata.len() }),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(io_error(&format!("list {name}"), error)),
                    }
                }
                from = Some(name);
            }
            if !more || self.found.len() >= self.limit {
                return Ok(());
            }
        }
    }

    /// The first entries of a folder that can hold something wanted, by key, and whether there are more.
    fn entries(&self, path: &Path, base: &str, from: Option<&str>) -> Result<(BTreeMap<String, DirEntry>, bool)> {
        let fail = |error| io_error(&format!("list {base}"), error);
        let keep = AT_ONCE.max(self.limit.saturating_add(1).min(16 * AT_ONCE));
        let mut entries = BTreeMap::new();
        let mut more = false;
        let reading = match fs::read_dir(path) {
            Ok(reading) => reading,
            // Gone since it was seen: folders go when their last object does.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok((entries, false));
            }
            Err(error) => return Err(fail(error)),
        };
        for entry in reading {
            let entry = entry.map_err(fail)?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str().filter(|name| ObjectKey::parse(name).is_some()) else { continue };
            let mut name = format!("{base}{file_name}");
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(error)),
            };
            let wanted = if kind.is_dir() {
                name.push('/');
                let below_prefix = name.starts_with(self.prefix) || self.prefix.starts_with(&name);
                let past = name.as_str() > self.after || self.after.starts_with(&name);
                below_prefix && past && ObjectKey::parse(name.trim_end_matches('/')).is_some()
            } else {
                // A symbolic link is neither: what it points to is not in the store.
                kind.is_file() && name.starts_with(self.prefix) && name.as_str() > self.after
            };
            if !wanted || from.is_some_and(|from| name.as_str() <= from) {
                continue;
            }
            entries.insert(name, entry);
            if entries.len() > keep {
                entries.pop_last();
                more = true;
            }
        }
        Ok((entries, more))
    }
}
