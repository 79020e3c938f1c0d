//! A file read back with an independent reader of boxes, its tables expanded.

use mp4_atom::{Decode, Moov, StszSamples};

#[derive(Debug, Clone)]
pub struct ParsedSample {
    pub dts: i64,
    pub cts: i64,
    pub sync: bool,
    pub offset: u64,
    pub size: u64,
    pub description: u32,
}

#[derive(Debug)]
pub struct ParsedTrack {
    pub video: bool,
    /// Empty edit at the beginning.
    pub delay: i64,
    pub media_time: i64,
    pub shown: i64,
    pub samples: Vec<ParsedSample>,
    pub entries: usize,
    pub wide: bool,
    pub has_ctts: bool,
    pub has_stss: bool,
    pub media_duration: i64,
}

pub struct ParsedFile {
    pub duration: i64,
    pub tracks: Vec<ParsedTrack>,
    /// Where the media begins, and how many bytes `mdat` says it has.
    pub media: (u64, u64),
}

/// Name, header size and whole size of the box at the front of `bytes`.
pub fn header(bytes: &[u8]) -> ([u8; 4], u64, u64) {
    let size = u64::from(u32::from_be_bytes(bytes[..4].try_into().unwrap()));
    let name = bytes[4..8].try_into().unwrap();
    match size {
        1 => (name, 16, u64::from_be_bytes(bytes[8..16].try_into().unwrap())),
        _ => (name, 8, size),
    }
}

/// Reads `ftyp`, `moov` and the header of `mdat`; the media itself may be missing.
pub fn parse(file: &[u8]) -> ParsedFile {
    let (name, _, ftyp) = header(file);
    assert_eq!(&name, b"ftyp");
    let rest = &file[ftyp as usize..];
    let (name, _, size) = header(rest);
    assert_eq!(&name, b"moov");
    let moov = Moov::decode(&mut &rest[..size as usize]).unwrap();
    let (name, head, mdat) = header(&rest[size as usize..]);
    assert_eq!(&name, b"mdat");
    assert_eq!((moov.mvhd.timescale, moov.mvhd.creation_time), (90_000, 0));
    let tracks = moov.trak.iter().map(track).collect();
    ParsedFile { duration: moov.mvhd.duration as i64, tracks, media: (ftyp + size + head, mdat - head) }
}

fn track(trak: &mp4_atom::Trak) -> ParsedTrack {
    let stbl = &trak.mdia.minf.stbl;
    let edits = &trak.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let (delay, edit) = match edits.as_slice() {
        [one] => (0, one),
        [empty, one] => {
            assert_eq!(empty.media_time, None);
            (empty.segment_duration as i64, one)
        }
        other => panic!("{} edits", other.len()),
    };
    assert_eq!(trak.tkhd.duration as i64, delay + edit.segment_duration as i64);
    let deltas: Vec<i64> = stbl
        .stts
        .entries
        .iter()
        .flat_map(|e| std::iter::repeat_n(i64::from(e.sample_delta), e.sample_count as usize))
        .collect();
    let offsets: Vec<i64> = match &stbl.ctts {
        None => vec![0; deltas.len()],
        Some(ctts) => {
            ctts.entries.iter().flat_map(|e| std::iter::repeat_n(e.sample_offset, e.sample_count as usize)).collect()
        }
    };
    let StszSamples::Different { sizes } = &stbl.stsz.samples else { panic!("one size for all") };
    assert_eq!((deltas.len(), offsets.len()), (sizes.len(), sizes.len()));
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), None) => stco.entries.iter().map(|&o| o.into()).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        _ => panic!("stco or co64"),
    };
    assert_eq!(stbl.stsc.entries.len(), chunks.len());
    let mut samples = Vec::new();
    let mut dts = 0;
    for (index, (chunk, mut offset)) in stbl.stsc.entries.iter().zip(chunks).enumerate() {
        assert_eq!(chunk.first_chunk as usize, index + 1);
        for _ in 0..chunk.samples_per_chunk {
            let n = samples.len();
            let number = n as u32 + 1;
            samples.push(ParsedSample {
                dts,
                cts: dts + offsets[n],
                sync: stbl.stss.as_ref().is_none_or(|s| s.entries.binary_search(&number).is_ok()),
                offset,
                size: sizes[n].into(),
                description: chunk.sample_description_index,
            });
            dts += deltas[n];
            offset += u64::from(sizes[n]);
        }
    }
    assert_eq!(samples.len(), sizes.len());
    ParsedTrack {
        video: stbl.stss.is_some() || trak.tkhd.width.integer() > 0,
        delay,
        media_time: edit.media_time.unwrap() as i64,
        shown: edit.segment_duration as i64,
        samples,
        entries: stbl.stsd.codecs.len(),
        wide: stbl.co64.is_some(),
        has_ctts: stbl.ctts.is_some(),
        has_stss: stbl.stss.is_some(),
        media_duration: trak.mdia.mdhd.duration as i64,
    }
}
