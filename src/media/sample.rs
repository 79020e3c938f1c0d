//! Samples of a fragment and their compact form, the sample table.

use super::time::Ticks;

/// One sample as `trun` describes it (ISO/IEC 14496-12 8.8.8). Its DTS is the sum of the durations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Bytes.
    pub size: u32,
    /// Ticks of 1/90000 s to the next sample's DTS.
    pub duration: u32,
    /// PTS minus DTS, in ticks; may be negative.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub sync: bool,
}

/// The samples of one track in one segment, in decoding order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleTable {
    /// In decoding order.
    pub samples: Vec<Sample>,
}

/// Most samples in one table: more than any segment holds, so damaged bytes cannot ask for memory.
pub const MAX_SAMPLES: usize = 65_536;

/// The bytes are not a sample table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged sample table")]
pub struct DamagedTable;

impl SampleTable {
    /// Sum of the durations.
    pub fn duration(&self) -> Ticks {
        Ticks(self.samples.iter().map(|s| i64::from(s.duration)).sum())
    }

    /// Sum of the sizes, in bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.size)).sum()
    }

    /// Runs of equal durations: the entries this table adds to an `stts` (8.6.1.2).
    pub fn duration_runs(&self) -> u32 {
        count_runs(self.samples.iter().map(|s| s.duration))
    }

    /// Runs of equal composition offsets: the entries this table adds to a `ctts` (8.6.1.3).
    pub fn composition_runs(&self) -> u32 {
        count_runs(self.samples.iter().map(|s| s.composition_offset))
    }

    /// Number of sync samples.
    pub fn sync_count(&self) -> u32 {
        self.samples.iter().filter(|s| s.sync).count() as u32
    }

    /// Appends the compact form: count, then runs of durations, runs of composition offsets, runs of
    /// sync flags, and sizes as differences; all LEB128, signed ones zigzag.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.samples.len() as u64);
        put_runs(out, self.samples.iter().map(|s| u64::from(s.duration)));
        put_runs(out, self.samples.iter().map(|s| zigzag(i64::from(s.composition_offset))));
        put_runs(out, self.samples.iter().map(|s| u64::from(s.sync)));
        let mut previous = 0i64;
        for sample in &self.samples {
            put(out, zigzag(i64::from(sample.size) - previous));
            previous = i64::from(sample.size);
        }
    }

    /// Reads one table from the front of `bytes` and moves `bytes` past it.
    ///
    /// # Errors
    /// [`DamagedTable`] when the bytes end early or a number is out of range.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, DamagedTable> {
        let count = get(bytes)? as usize;
        if count > MAX_SAMPLES {
            return Err(DamagedTable);
        }
        let empty = Sample { size: 0, duration: 0, composition_offset: 0, sync: false };
        let mut samples = vec![empty; count];
        get_runs(bytes, &mut samples, |s, v| {
            s.duration = u32::try_from(v).map_err(|_| DamagedTable)?;
            Ok(())
        })?;
        get_runs(bytes, &mut samples, |s, v| {
            s.composition_offset = i32::try_from(unzigzag(v)).map_err(|_| DamagedTable)?;
            Ok(())
        })?;
        get_runs(bytes, &mut samples, |s, v| {
            s.sync = v == 1;
            if v > 1 { Err(DamagedTable) } else { Ok(()) }
        })?;
        let mut previous = 0i64;
        for sample in &mut samples {
            previous = previous.checked_add(unzigzag(get(bytes)?)).ok_or(DamagedTable)?;
            sample.size = u32::try_from(previous).map_err(|_| DamagedTable)?;
        }
        Ok(Self { samples })
    }
}

fn count_runs<T: PartialEq>(values: impl Iterator<Item = T>) -> u32 {
    let mut runs = 0;
    let mut last = None;
    for value in values {
        if last.as_ref() != Some(&value) {
            runs += 1;
            last = Some(value);
        }
    }
    runs
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

fn put(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn get(bytes: &mut &[u8]) -> Result<u64, DamagedTable> {
    let mut v = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(DamagedTable)?;
        *bytes = rest;
        v |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(v);
        }
    }
    Err(DamagedTable)
}

fn put_runs(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let mut run: Option<(u64, u64)> = None;
    for value in values {
        match &mut run {
            Some((v, n)) if *v == value => *n += 1,
            _ => {
                if let Some((v, n)) = run {
                    put(out, n);
                    put(out, v);
                }
                run = Some((value, 1));
            }
        }
    }
    if let Some((v, n)) = run {
        put(out, n);
        put(out, v);
    }
}

fn get_runs(
    bytes: &mut &[u8],
    samples: &mut [Sample],
    mut set: impl FnMut(&mut Sample, u64) -> Result<(), DamagedTable>,
) -> Result<(), DamagedTable> {
    let mut at = 0;
    while at < samples.len() {
        let n = usize::try_from(get(bytes)?).map_err(|_| DamagedTable)?;
        let value = get(bytes)?;
        if n == 0 || n > samples.len() - at {
            return Err(DamagedTable);
        }
        for sample in &mut samples[at..at + n] {
            set(sample, value)?;
        }
        at += n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_sample() -> impl Strategy<Value = Sample> {
        (any::<u32>(), 0u32..4, -2i32..3, any::<bool>()).prop_map(|(size, d, c, sync)| Sample {
            size,
            duration: d * 1800,
            composition_offset: c * 3600,
            sync,
        })
    }

    proptest! {
        #[test]
        fn tables_read_back(samples in proptest::collection::vec(any_sample(), 0..400), tail in proptest::collection::vec(any::<u8>(), 0..4)) {
            let table = SampleTable { samples };
            let mut bytes = Vec::new();
            table.encode(&mut bytes);
            bytes.extend_from_slice(&tail);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(SampleTable::decode(&mut rest).unwrap(), table);
            prop_assert_eq!(rest, tail.as_slice());
        }

        #[test]
        fn damaged_tables_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SampleTable::decode(&mut bytes.as_slice());
        }
    }

    #[test]
    fn six_seconds_of_video_take_about_half_a_kilobyte() {
        let samples = (0..150u32)
            .map(|i| Sample { size: 15_000 + (i * 7919) % 6000, duration: 3600, composition_offset: 0, sync: i == 0 })
            .collect();
        let mut bytes = Vec::new();
        SampleTable { samples }.encode(&mut bytes);
        assert!(bytes.len() < 512, "{} bytes", bytes.len());
    }
}
