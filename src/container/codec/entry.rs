//! Sample entries, written by hand: complete for every codec that is carried.
//!
//! Comes in: fields of headers. Goes out: one box as it stands in `stsd` (ISO/IEC 14496-12 8.5.2). Never:
//! reads anything.

/// `VisualSampleEntry` has 16-bit sizes.
pub(super) const MAX_PICTURE_SIDE: u32 = u16::MAX as u32;

/// What `colr` of type `nclx` says (ISO/IEC 14496-12 12.1.5; code points of ISO/IEC 23091-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    pub primaries: u8,
    pub transfer: u8,
    pub matrix: u8,
    pub full_range: bool,
}

/// Width to height of one sample; 1:1 and unknown are not written.
pub(super) type AspectRatio = (u32, u32);

/// Sample aspect ratios by `aspect_ratio_idc` (ISO/IEC 14496-10 table E-1; the same in 23008-2).
pub(super) fn aspect_ratio(idc: u8) -> Option<AspectRatio> {
    const RATIOS: [AspectRatio; 16] = [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    RATIOS.get(usize::from(idc).checked_sub(1)?).copied()
}

/// A box of `kind` around `body`.
pub(super) fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + body.len());
    out.extend_from_slice(&(8 + body.len() as u32).to_be_bytes());
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
    out
}

/// A `VisualSampleEntry` (ISO/IEC 14496-12 12.1.3) around `config`, with `pasp` and `colr` where known.
pub(super) fn visual(
    kind: &[u8; 4],
    width: u32,
    height: u32,
    config: &[u8],
    sar: Option<AspectRatio>,
    colour: Option<Colour>,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(128 + config.len());
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    body.extend_from_slice(&[0; 16]);
    for side in [width, height] {
        body.extend_from_slice(&(side.min(MAX_PICTURE_SIDE) as u16).to_be_bytes());
    }
    // 72 dpi both ways, reserved, one frame per sample, no compressor name, 24 bits, -1.
    body.extend_from_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1]);
    body.extend_from_slice(&[0; 32]);
    body.extend_from_slice(&[0, 0x18, 0xff, 0xff]);
    body.extend_from_slice(config);
    if let Some(colour) = colour {
        let mut nclx = b"nclx".to_vec();
        for code in [colour.primaries, colour.transfer, colour.matrix] {
            nclx.extend_from_slice(&[0, code]);
        }
        nclx.push(u8::from(colour.full_range) << 7);
        body.extend_from_slice(&boxed(b"colr", &nclx));
    }
    if let Some((across, down)) = sar.filter(|&(across, down)| across != down && across > 0 && down > 0) {
        let mut pasp = across.to_be_bytes().to_vec();
        pasp.extend_from_slice(&down.to_be_bytes());
        body.extend_from_slice(&boxed(b"pasp", &pasp));
    }
    boxed(kind, &body)
}

/// An `AudioSampleEntry` (ISO/IEC 14496-12 12.2.3) around `config`. A rate that does not fit 16 bits is left out.
pub(super) fn audio(kind: &[u8; 4], channels: u16, sample_rate: u32, config: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(28 + config.len());
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(&channels.to_be_bytes());
    body.extend_from_slice(&[0, 16, 0, 0, 0, 0]);
    body.extend_from_slice(&u16::try_from(sample_rate).unwrap_or(0).to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(config);
    boxed(kind, &body)
}

/// `esds` (ISO/IEC 14496-14 6.7.2; descriptors of 14496-1 7.2.6) for `object_type` with the decoder's own
/// `specific` bytes, none when empty.
pub(super) fn esds(object_type: u8, video: bool, specific: &[u8]) -> Vec<u8> {
    let stream_type: u8 = if video { 4 } else { 5 };
    let mut decoder = vec![object_type, stream_type << 2 | 1];
    // Buffer size and bit rates are not known of a live stream.
    decoder.extend_from_slice(&[0; 11]);
    if !specific.is_empty() {
        decoder.extend_from_slice(&descriptor(5, specific));
    }
    let mut stream = vec![0, 0, 0];
    stream.extend_from_slice(&descriptor(4, &decoder));
    stream.extend_from_slice(&descriptor(6, &[2]));
    let mut body = vec![0; 4];
    body.extend_from_slice(&descriptor(3, &stream));
    boxed(b"esds", &body)
}

fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = body.len();
    for shift in [21, 14, 7] {
        if length >> shift > 0 {
            out.push((length >> shift & 0x7f) as u8 | 0x80);
        }
    }
    out.push((length & 0x7f) as u8);
    out.extend_from_slice(body);
    out
}
