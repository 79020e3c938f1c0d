//! Sample tables in a compact form, and their translation into entries of the tables of `stbl`.

use super::ExportError;
use crate::media::{Sample, SampleTable};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The sample tables of one segment in their compact form (about 1 KB for 6 s of all tracks). Cheap to clone.
#[derive(Debug, Clone)]
pub struct EncodedTables {
    count: u16,
    /// The tables one after another.
    encoded: Arc<[u8]>,
}

impl EncodedTables {
    /// The compact form of `tables`, which are in the order of the segment's parts.
    pub fn of(tables: &[SampleTable]) -> Self {
        let mut encoded = Vec::new();
        for table in tables {
            table.encode(&mut encoded);
        }
        Self { count: u16::try_from(tables.len()).unwrap_or(u16::MAX), encoded: encoded.into() }
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.encoded.len() + ENTRY_OVERHEAD_BYTES
    }
}

/// Sample tables by segment number, kept in their compact form.
///
/// One set serves both the making of a plan ([`super::ExportPlan::edges`]) and the rendering of its pieces;
/// whoever fills it looks at [`TableSet::bytes`] and calls [`TableSet::clear`] when it grows too large.
#[derive(Debug, Clone, Default)]
pub struct TableSet {
    tables: BTreeMap<u64, EncodedTables>,
    bytes: usize,
}

/// What one entry of the set costs besides its encoded tables, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 64;

impl TableSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the tables of segment `sequence`, in the order of the segment's parts; replaces what was there.
    pub fn insert(&mut self, sequence: u64, tables: &[SampleTable]) {
        self.insert_encoded(sequence, EncodedTables::of(tables));
    }

    /// The same for tables in their compact form.
    pub fn insert_encoded(&mut self, sequence: u64, tables: EncodedTables) {
        self.bytes += tables.bytes();
        if let Some(old) = self.tables.insert(sequence, tables) {
            self.bytes -= old.bytes();
        }
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the tables of segment `sequence` are here.
    pub fn contains(&self, sequence: u64) -> bool {
        self.tables.contains_key(&sequence)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first sample of the `ordinal`th table of segment `sequence`; `None` when the table is not here.
    pub fn first_sample(&self, sequence: u64, ordinal: usize) -> Option<Sample> {
        self.get(sequence, u16::try_from(ordinal).ok()?).ok()?.samples.first().copied()
    }

    /// The `ordinal`th table of segment `sequence`.
    ///
    /// # Errors
    /// `MissingTables` when the segment is not here, `Disagree` when it has no such table.
    pub(in crate::playback) fn get(&self, sequence: u64, ordinal: u16) -> Result<SampleTable, ExportError> {
        let EncodedTables { count, encoded } =
            self.tables.get(&sequence).ok_or(ExportError::MissingTables(sequence))?;
        let disagree = ExportError::Disagree(sequence);
        if ordinal >= *count {
            return Err(disagree);
        }
        let mut rest: &[u8] = encoded;
        for _ in 0..ordinal {
            SampleTable::decode(&mut rest).map_err(|_| ExportError::Disagree(sequence))?;
        }
        SampleTable::decode(&mut rest).map_err(|_| disagree)
    }

    /// The tables of segment `sequence`, in the order of its parts.
    ///
    /// # Errors
    /// `MissingTables` when the segment is not here, `Disagree` for damaged ones.
    pub fn all(&self, sequence: u64) -> Result<Vec<SampleTable>, ExportError> {
        let EncodedTables { count, encoded } =
            self.tables.get(&sequence).ok_or(ExportError::MissingTables(sequence))?;
        let mut rest: &[u8] = encoded;
        let decode = |_| SampleTable::decode(&mut rest).map_err(|_| ExportError::Disagree(sequence));
        (0..*count).map(decode).collect()
    }
}

impl Extend<(u64, Vec<SampleTable>)> for TableSet {
    fn extend<I: IntoIterator<Item = (u64, Vec<SampleTable>)>>(&mut self, items: I) {
        for (sequence, tables) in items {
            self.insert(sequence, &tables);
        }
    }
}

impl FromIterator<(u64, Vec<SampleTable>)> for TableSet {
    fn from_iter<I: IntoIterator<Item = (u64, Vec<SampleTable>)>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

/// Largest delta that is written: players read deltas as signed.
const LONGEST_DELTA: i64 = i32::MAX as i64;

/// Changes durations from the last one backwards, as few as possible, so that they sum up to `total`.
/// What is changed stays between 1 tick and [`LONGEST_DELTA`]. `false` when that cannot be.
fn fit(durations: &mut [u32], total: i64) -> bool {
    let mut excess = durations.iter().map(|&d| i64::from(d)).sum::<i64>() - total;
    for duration in durations.iter_mut().rev() {
        if excess == 0 {
            return true;
        }
        let old = i64::from(*duration);
        let new = (old - excess).clamp(1, LONGEST_DELTA);
        excess -= old - new;
        *duration = new as u32;
    }
    excess == 0
}

/// Most runs that `samples` durations in `runs` runs can have after [`fit`]: what is changed ends in a run
/// of equal values with one odd value before it.
pub(super) fn fitted_runs(samples: u32, runs: u32) -> u32 {
    samples.min(runs.saturating_add(2))
}

/// Runs of equal values, as (length, value).
fn runs<T: PartialEq + Copy>(values: impl Iterator<Item = T>) -> Vec<(u32, T)> {
    let mut runs: Vec<(u32, T)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    runs
}

/// Splits runs until there are `wanted`; `None` when there are more already or too few values.
fn split_to<T: Copy>(runs: Vec<(u32, T)>, wanted: u32) -> Option<Vec<(u32, T)>> {
    let mut missing = (wanted as usize).checked_sub(runs.len())?;
    let mut out = Vec::with_capacity(wanted as usize);
    for (mut count, value) in runs {
        while missing > 0 && count > 1 {
            out.push((1, value));
            count -= 1;
            missing -= 1;
        }
        out.push((count, value));
    }
    (missing == 0).then_some(out)
}

/// The `entries` entries of `stts` for samples that together last `total` ticks in the export.
pub(super) fn time_to_sample(samples: &[Sample], total: i64, entries: u32) -> Option<Vec<u8>> {
    let mut durations: Vec<u32> = samples.iter().map(|s| s.duration).collect();
    if !fit(&mut durations, total) {
        return None;
    }
    let runs = split_to(runs(durations.into_iter()), entries)?;
    Some(runs.into_iter().flat_map(|(n, delta)| pair(n, delta)).collect())
}

/// The `entries` entries of `ctts`.
pub(super) fn composition_offsets(samples: &[Sample], entries: u32) -> Option<Vec<u8>> {
    let runs = runs(samples.iter().map(|s| s.composition_offset));
    (runs.len() == entries as usize).then(|| runs.into_iter().flat_map(|(n, offset)| pair(n, offset as u32)).collect())
}

/// The `entries` entries of `stss`; `before` samples precede these.
pub(super) fn sync_samples(samples: &[Sample], before: u32, entries: u32) -> Option<Vec<u8>> {
    let out: Vec<u8> =
        (before + 1..).zip(samples).filter(|(_, s)| s.sync).flat_map(|(number, _)| number.to_be_bytes()).collect();
    (out.len() == entries as usize * 4).then_some(out)
}

/// The entries of `stsz` for samples that together have `payload_bytes`.
pub(super) fn sample_sizes(samples: &[Sample], payload_bytes: u64) -> Option<Vec<u8>> {
    let sum: u64 = samples.iter().map(|s| u64::from(s.size)).sum();
    (sum == payload_bytes).then(|| samples.iter().flat_map(|s| s.size.to_be_bytes()).collect())
}

pub(super) fn pair(a: u32, b: u32) -> [u8; 8] {
    (u64::from(a) << 32 | u64::from(b)).to_be_bytes()
}

/// Numbers of some samples of a table, for tables trimmed at an end.
pub(super) struct Trimmed {
    /// Ticks before the first kept sample.
    pub ticks_before: i64,
    /// Bytes before the first kept sample.
    pub bytes_before: u64,
    /// Ticks of the kept samples.
    pub duration: i64,
    /// Bytes of the kept samples.
    pub bytes: u64,
    /// See [`SampleTable::duration_runs`].
    pub duration_runs: u32,
    /// See [`SampleTable::composition_runs`].
    pub composition_runs: u32,
    /// Number of sync samples.
    pub syncs: u32,
    /// PTS of the first kept sample, in ticks after the table's first DTS.
    pub first_pts: i64,
    /// Where the presentation of the kept samples ends, in ticks after the table's first DTS.
    pub end_pts: i64,
}

/// Counts the samples `kept` of `table`; `None` when it is empty or outside.
pub(super) fn trim(table: &SampleTable, kept: Range<usize>) -> Option<Trimmed> {
    let samples = table.samples.get(kept.clone())?;
    let before = table.samples.get(..kept.start)?;
    let first = samples.first()?;
    let ticks_before: i64 = before.iter().map(|s| i64::from(s.duration)).sum();
    let mut at = ticks_before;
    let mut end_pts = i64::MIN;
    for sample in samples {
        end_pts = end_pts.max(at + i64::from(sample.composition_offset) + i64::from(sample.duration));
        at += i64::from(sample.duration);
    }
    Some(Trimmed {
        ticks_before,
        bytes_before: before.iter().map(|s| u64::from(s.size)).sum(),
        duration: at - ticks_before,
        bytes: samples.iter().map(|s| u64::from(s.size)).sum(),
        duration_runs: runs(samples.iter().map(|s| s.duration)).len() as u32,
        composition_runs: runs(samples.iter().map(|s| s.composition_offset)).len() as u32,
        syncs: samples.iter().filter(|s| s.sync).count() as u32,
        first_pts: ticks_before + i64::from(first.composition_offset),
        end_pts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples(durations: &[u32]) -> Vec<Sample> {
        durations.iter().map(|&duration| Sample { size: 1, duration, composition_offset: 0, sync: true }).collect()
    }

    proptest! {
        #[test]
        fn promised_runs_are_always_kept(durations in proptest::collection::vec(1u32..4, 1..12), change in -40i64..40) {
            let natural = runs(durations.iter().copied()).len() as u32;
            let sum: i64 = durations.iter().map(|&d| i64::from(d)).sum();
            let promised = fitted_runs(durations.len() as u32, natural);
            let rendered = time_to_sample(&samples(&durations), sum + change, promised);
            if sum + change < durations.len() as i64 {
                prop_assert!(rendered.is_none());
            } else {
                let bytes = rendered.unwrap();
                prop_assert_eq!(bytes.len() as u32, promised * 8);
                let (mut count, mut ticks) = (0, 0);
                for entry in bytes.chunks(8) {
                    let n = i64::from(u32::from_be_bytes(entry[..4].try_into().unwrap()));
                    prop_assert!(n > 0);
                    count += n;
                    ticks += n * i64::from(u32::from_be_bytes(entry[4..].try_into().unwrap()));
                }
                prop_assert_eq!((count, ticks), (durations.len() as i64, sum + change));
            }
        }
    }

    #[test]
    fn a_day_without_sound_is_spread_over_the_last_deltas() {
        let mut durations = vec![1920; 10];
        let total = 24 * 3600 * 90_000i64;
        assert!(fit(&mut durations, total));
        assert_eq!(durations.iter().map(|&d| i64::from(d)).sum::<i64>(), total);
        assert_eq!(durations[..5], [1920; 5]);
    }

    #[test]
    fn a_set_counts_its_bytes() {
        let mut set = TableSet::new();
        let table = SampleTable { samples: samples(&[1, 2, 3]) };
        set.insert(5, &[table.clone(), SampleTable::default()]);
        let once = set.bytes();
        set.insert(5, &[table.clone(), table.clone()]);
        assert!(set.bytes() > once && set.contains(5));
        assert_eq!(set.get(5, 1).unwrap(), table);
        assert_eq!(set.get(5, 2).unwrap_err(), ExportError::Disagree(5));
        assert_eq!(set.get(6, 0).unwrap_err(), ExportError::MissingTables(6));
        set.clear();
        assert_eq!(set.bytes(), 0);
    }
}
