//! Sample tables in their compact form. They never change: a segment's number and epoch name them for ever.

use super::flight::Flights;
use crate::index::{Index, IndexError, IndexErrorKind};
use crate::media::StreamName;
use crate::playback::export::{EncodedTables, TableSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// Most sample tables of one query.
const TABLES_AT_ONCE: u64 = 64;

/// Number and epoch of a segment.
pub type Name = (u64, u64);

#[derive(PartialEq, Eq)]
struct Key {
    stream: StreamName,
    name: Name,
}

/// The same without owning the stream's name.
struct Borrowed<'a>(&'a StreamName, Name);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrowed(&self.stream, self.name).hash(state);
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1).hash(state);
    }
}

impl moka::Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.0 == key.stream && self.1 == key.name
    }
}

type Read = Result<Arc<Vec<(u64, EncodedTables)>>, IndexError>;

/// See the module.
pub struct Tables {
    index: Arc<dyn Index>,
    kept: moka::future::Cache<Key, EncodedTables>,
    flights: Flights<(StreamName, Range<u64>), Read>,
}

impl Tables {
    /// Tables of `index`; at most `most_bytes` are kept.
    pub fn new(index: Arc<dyn Index>, most_bytes: u64) -> Self {
        let kept = moka::future::Cache::builder()
            .weigher(|key: &Key, tables: &EncodedTables| {
                u32::try_from(key.stream.as_str().len() + tables.bytes() + 128).unwrap_or(u32::MAX)
            })
            .max_capacity(most_bytes)
            .build();
        Self { index, kept, flights: Flights::default() }
    }

    /// Adds the tables of `segments` (ascending) to `set`; those that the index does not have are left out.
    pub async fn add(&self, stream: &StreamName, segments: &[Name], set: &mut TableSet) -> Result<(), IndexError> {
        let mut missing = Vec::new();
        for &name in segments {
            match self.kept.get(&Borrowed(stream, name)).await {
                Some(tables) => set.insert_encoded(name.0, tables),
                None => missing.push(name),
            }
        }
        let numbers: Vec<u64> = missing.iter().map(|name| name.0).collect();
        for range in consecutive(&numbers) {
            let read = || {
                let (index, stream, range) = (self.index.clone(), stream.clone(), range.clone());
                async move {
                    let found = index.sample_tables(&stream, range.start, range.end).await?;
                    Ok(Arc::new(found.into_iter().map(|(n, tables)| (n, EncodedTables::of(&tables))).collect()))
                }
            };
            let found = self.flights.join(&(stream.clone(), range.clone()), read).await.unwrap_or_else(|| {
                let message = "a reading of sample tables ended".into();
                Err(IndexError { kind: IndexErrorKind::Other, message, cause: None })
            })?;
            for (number, tables) in found.iter() {
                if let Ok(at) = missing.binary_search_by_key(number, |name| name.0)
                    && let Some(&name) = missing.get(at)
                {
                    self.kept.insert(Key { stream: stream.clone(), name }, tables.clone()).await;
                    set.insert_encoded(*number, tables.clone());
                }
            }
        }
        Ok(())
    }
}

/// Ascending numbers as ranges, none longer than [`TABLES_AT_ONCE`]: a source that often breaks gives many short
/// spans, and a query for each number would take too long.
fn consecutive(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number && number - last.start < TABLES_AT_ONCE => last.end += 1,
            _ => ranges.push(number..number.saturating_add(1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_asked_for_in_few_queries() {
        assert_eq!(consecutive(&[]), []);
        assert_eq!(consecutive(&[1, 2, 3, 7, 9, 10]), [1..4, 7..8, 9..11]);
        let many: Vec<u64> = (0..200).collect();
        let ranges = consecutive(&many);
        assert!(ranges.iter().all(|r| r.end - r.start <= TABLES_AT_ONCE));
        assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), many);
        assert_eq!(consecutive(&[u64::MAX]).len(), 1);
    }
}
