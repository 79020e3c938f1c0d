//! Parameters of tracks, made by hand.

use evertape::container::cmaf::params_from_sample_entry;
use evertape::media::track::TrackParams;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = (8 + body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
    out
}

fn visual(kind: &[u8; 4], config: Vec<u8>) -> TrackParams {
    let mut body = vec![0; 24];
    body.extend([0, 160, 0, 96]);
    body.resize(78, 0);
    body.extend(config);
    params_from_sample_entry(&boxed(kind, &body), None).unwrap()
}

fn audio(kind: &[u8; 4], config: Vec<u8>, language: Option<&str>) -> TrackParams {
    let mut body = vec![0; 16];
    body.extend([0, 2, 0, 16, 0, 0, 0, 0, 0xbb, 0x80, 0, 0]);
    body.extend(config);
    params_from_sample_entry(&boxed(kind, &body), language.map(str::to_owned)).unwrap()
}

/// Parameter sets of H.264 with start codes, as [`h264`] has them.
pub const H264_SETS: &[u8] = &[0, 0, 0, 1, 0x67, 0x64, 0, 0x28, 0, 0, 0, 1, 0x68, 0xee];

pub fn h264() -> TrackParams {
    let config = [1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x28, 1, 0, 2, 0x68, 0xee];
    visual(b"avc1", boxed(b"avcC", &config))
}

/// Parameter sets of H.265 with start codes, as [`h265`] has them.
pub const H265_SETS: &[u8] = &[0, 0, 0, 1, 0x40, 1, 0, 0, 0, 1, 0x42, 1, 0, 0, 0, 1, 0x44, 1];

pub fn h265() -> TrackParams {
    let mut config = vec![1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3];
    for (kind, byte) in [(34, 0x44), (33, 0x42), (32, 0x40)] {
        config.extend([0x80 | kind, 0, 1, 0, 2, byte, 1]);
    }
    visual(b"hvc1", boxed(b"hvcC", &config))
}

fn esds(object_type: u8, specific: &[u8]) -> Vec<u8> {
    let mut decoder = vec![object_type, 0x15];
    decoder.resize(13, 0);
    if !specific.is_empty() {
        decoder.extend([5, specific.len() as u8]);
        decoder.extend_from_slice(specific);
    }
    let mut out = vec![0, 0, 0, 0, 3, decoder.len() as u8 + 8, 0, 1, 0, 4, decoder.len() as u8];
    out.extend(decoder);
    out.extend([6, 1, 2]);
    boxed(b"esds", &out)
}

pub fn aac(language: Option<&str>) -> TrackParams {
    audio(b"mp4a", esds(0x40, &[0x11, 0x90]), language)
}

pub fn mp2() -> TrackParams {
    audio(b"mp4a", esds(0x6b, &[]), None)
}

pub fn ac3() -> TrackParams {
    audio(b"ac-3", boxed(b"dac3", &[0x10, 0x3d, 0xe0]), Some("fra"))
}
