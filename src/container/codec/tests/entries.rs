//! Sample entries, read back by another implementation, and parameters that change.

use super::*;
use mp4_atom::{Any, Decode};

fn entry(params: &TrackParams) -> Any {
    let mut bytes = params.sample_entry.as_slice();
    let read = Any::decode(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    read
}

fn first_params(codec: Codec, stream: &[u8]) -> TrackParams {
    params(&assemble(codec, &cut(stream, || usize::MAX)))[0].clone()
}

fn sound(params: &TrackParams) -> (u32, u16) {
    params.audio.map(|audio| (audio.sample_rate, audio.channels)).unwrap()
}

#[test]
fn avc1() {
    let stream = video(
        "160x98",
        3,
        "-c:v libx264 -preset veryfast -profile:v high -level 3.1 -bf 0 -vf setsar=4/3 -color_primaries bt709 \
         -colorspace bt709 -color_trc bt709 -f h264",
    );
    let params = first_params(Codec::H264, &stream);
    assert_eq!(params.codec_string, "avc1.64001F");
    assert_eq!(params.video.map(|v| (v.width, v.height)), Some((160, 98)));
    let Any::Avc1(avc1) = entry(&params) else { panic!() };
    assert_eq!((avc1.visual.width, avc1.visual.height), (160, 98));
    assert_eq!(avc1.pasp.map(|p| (p.h_spacing, p.v_spacing)), Some((4, 3)));
    assert!(avc1.colr.is_some());
    assert_eq!(avc1.avcc.length_size, 4);
    // A third opinion on the SPS.
    let sps = &avc1.avcc.sequence_parameter_sets[0];
    let reader = h264_reader::rbsp::BitReader::new(h264_reader::rbsp::ByteReader::skipping_h264_header(&sps[..]));
    let sps = h264_reader::nal::sps::SeqParameterSet::from_bits(reader).unwrap();
    assert_eq!(sps.pixel_dimensions().unwrap(), (160, 98));
    assert_eq!(avc1.avcc.picture_parameter_sets.len(), 1);
}

#[test]
fn hvc1() {
    let stream =
        video("160x90", 3, "-c:v libx265 -preset ultrafast -vf setsar=4/3 -x265-params log-level=none -f hevc");
    let params = first_params(Codec::H265, &stream);
    assert!(params.codec_string.starts_with("hvc1.1.6.L"), "{}", params.codec_string);
    assert_eq!(params.video.map(|v| (v.width, v.height)), Some((160, 90)));
    let Any::Hvc1(hvc1) = entry(&params) else { panic!() };
    assert_eq!(
        hvc1.hvcc.arrays.iter().map(|a| (a.nal_unit_type, a.nalus.len())).collect::<Vec<_>>(),
        [(32, 1), (33, 1), (34, 1)]
    );
    assert_eq!(hvc1.pasp.map(|p| (p.h_spacing, p.v_spacing)), Some((4, 3)));
    assert_eq!((hvc1.hvcc.general_profile_idc, hvc1.hvcc.chroma_format_idc), (1, 1));
}

#[test]
fn mp4a_of_aac_and_mpeg_audio() {
    let params = first_params(Codec::Aac, &tone("-ac 2 -c:a aac -f adts"));
    assert_eq!((params.codec_string.as_str(), sound(&params)), ("mp4a.40.2", (48_000, 2)));
    let Any::Mp4a(mp4a) = entry(&params) else { panic!() };
    let decoder = mp4a.esds.es_desc.dec_config;
    assert_eq!(decoder.object_type_indication, 0x40);
    assert_eq!(decoder.stream_type, 5);
    assert_eq!(mp4a.audio.channel_count, 2);

    for (options, codec_string, object_type, wanted) in [
        ("-ac 1 -c:a mp2 -f mp2", "mp4a.40.33", 0x6b, (48_000, 1)),
        ("-ac 2 -c:a libmp3lame -f mp3", "mp4a.40.34", 0x6b, (48_000, 2)),
        ("-ac 2 -ar 24000 -c:a libmp3lame -f mp3", "mp4a.40.34", 0x69, (24_000, 2)),
    ] {
        let params = first_params(Codec::MpegAudio, &tone(options));
        assert_eq!((params.codec_string.as_str(), sound(&params)), (codec_string, wanted));
        // Bytes, since these have no decoder specific information.
        let esds = memchr::memmem::find(&params.sample_entry, b"esds").unwrap();
        let decoder = &params.sample_entry[esds + 14..];
        assert_eq!((decoder[0], decoder[1], decoder[2]), (13, object_type, 0x15));
    }
}

#[test]
fn ac3_and_eac3() {
    let params = first_params(Codec::Ac3, &tone("-ac 6 -c:a ac3 -b:a 448k -f ac3"));
    assert_eq!((params.codec_string.as_str(), sound(&params)), ("ac-3", (48_000, 6)));
    let Any::Ac3(ac3) = entry(&params) else { panic!() };
    assert_eq!(
        (ac3.dac3.fscod, ac3.dac3.bsid, ac3.dac3.acmod, ac3.dac3.lfeon, ac3.dac3.bit_rate_code),
        (0, 8, 7, true, 15)
    );

    let params = first_params(Codec::Eac3, &tone("-ac 6 -c:a eac3 -b:a 192k -f eac3"));
    assert_eq!((params.codec, params.codec_string.as_str(), sound(&params)), (Codec::Eac3, "ec-3", (48_000, 6)));
    let Any::Eac3(eac3) = entry(&params) else { panic!() };
    assert_eq!((eac3.dec3.data_rate, eac3.dec3.substreams.len()), (192, 1));
    assert_eq!((eac3.dec3.substreams[0].acmod, eac3.dec3.substreams[0].bsid), (7, 16));

    // What the descriptors called E-AC-3 is AC-3.
    let params = first_params(Codec::Eac3, &tone("-c:a ac3 -f ac3"));
    assert_eq!((params.codec, params.codec_string.as_str()), (Codec::Ac3, "ac-3"));
}

#[test]
fn mp4v() {
    let stream = video("352x288", 12, "-c:v mpeg2video -aspect 16:9 -f mpeg2video");
    let params = first_params(Codec::Mpeg2Video, &stream);
    assert_eq!(params.codec_string, "mp4v.61");
    assert_eq!(params.video.map(|v| (v.width, v.height)), Some((352, 288)));
    let pasp = memchr::memmem::find(&params.sample_entry, b"pasp").unwrap();
    assert_eq!(&params.sample_entry[pasp + 4..pasp + 12], [0, 0, 0, 16, 0, 0, 0, 11]);
    // The decoder's own bytes begin with the sequence header.
    assert!(memchr::memmem::find(&params.sample_entry, &[0, 0, 1, 0xb3, 0x16, 0x01, 0x20]).is_some());

    let params = first_params(Codec::Mpeg2Video, &video("352x288", 12, "-c:v mpeg1video -f mpeg1video"));
    assert_eq!(params.codec_string, "mp4v.6A");
}

/// A stream that changes says so once, before its first sample; repetition says nothing.
#[test]
fn parameters_change() {
    let h264 = |size| video(size, 20, "-c:v libx264 -preset ultrafast -g 5 -bf 0 -f h264");
    let h265 = |size| video(size, 6, "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=3 -f hevc");
    let mpeg2 = |size| video(size, 20, "-c:v mpeg2video -g 5 -f mpeg2video");
    for (codec, streams, count) in [
        (Codec::H264, [h264("160x128"), h264("320x192")], 20),
        (Codec::H265, [h265("160x128"), h265("320x192")], 6),
        (Codec::Mpeg2Video, [mpeg2("160x128"), mpeg2("320x192")], 20),
        (Codec::Aac, [tone("-c:a aac -f adts"), tone("-ac 2 -c:a aac -f adts")], 0),
        (Codec::Ac3, [tone("-c:a ac3 -f ac3"), tone("-ac 2 -c:a ac3 -f ac3")], 0),
    ] {
        let bytes = [&streams[0][..], &streams[1], &streams[0]].concat();
        let made = assemble(codec, &cut(&bytes, || 1000));
        let found = params(&made);
        assert_eq!(found.len(), 3, "{codec:?}");
        assert_ne!(found[0], found[1]);
        // H.264 and H.265: nothing of the second stream's is left over.
        assert_eq!(found[0], found[2], "{codec:?}");
        assert!(matches!(made[0], Assembled::Params(_)));
        if count > 0 {
            assert_eq!(samples(&made).len(), 3 * count);
            let at = made.iter().rposition(|one| matches!(one, Assembled::Params(_))).unwrap();
            assert_eq!(made.len() - at - 1, count, "{codec:?}");
        }
    }
}

/// Layouts that ADTS cannot number come with a program config element.
#[test]
fn program_config_element() {
    let stream = tone("-af pan=hexagonal|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0 -c:a aac -f adts");
    let made = assemble(Codec::Aac, &cut(&stream, || 500));
    assert_eq!(damage(&made), Vec::<&str>::new());
    let found = params(&made);
    assert_eq!((found.len(), sound(found[0])), (1, (48_000, 6)));
}

/// A syncframe of `bytes` bytes: stream type, substream, block code, channel mode, channel map.
fn eac3_frame(kind: u32, substream: u32, blocks: u32, acmod: u32, map: Option<u32>, bytes: usize) -> Vec<u8> {
    let mut out = crate::container::codec::bits::BitWriter::default();
    out.put(0x0b77, 16);
    out.put(kind, 2);
    out.put(substream, 3);
    out.put(bytes as u32 / 2 - 1, 11);
    out.put(0, 2);
    out.put(blocks, 2);
    out.put(acmod, 3);
    out.put(u32::from(map.is_none()), 1);
    out.put(16, 5);
    out.put(31, 5);
    out.put(0, 1);
    if let Some(map) = map {
        out.put(1, 1);
        out.put(map, 16);
    }
    let mut frame = out.into_bytes();
    frame.resize(bytes, 0x55);
    frame
}

/// 7.1 as 5.1 and a dependent substream with the rear pair, in frames of 3 blocks: two sets are one sample.
#[test]
fn eac3_with_dependent_substreams_and_short_frames() {
    let set = [eac3_frame(0, 0, 2, 7, None, 400), eac3_frame(1, 0, 2, 2, Some(1 << 9), 200)].concat();
    let stream = set.repeat(20);
    let made = assemble(Codec::Eac3, &cut(&stream, || 333));
    assert_eq!(damage(&made), Vec::<&str>::new());
    let found = samples(&made);
    assert_eq!(found.len(), 10);
    assert!(found.iter().enumerate().all(|(n, s)| s.data.len() == 1200 && s.pts == Ticks(n as i64 * 2880)));
    assert_eq!(params(&made).len(), 1);
    assert_eq!(sound(params(&made)[0]), (48_000, 8));
    let Any::Eac3(eac3) = entry(params(&made)[0]) else { panic!() };
    let stream = &eac3.dec3.substreams[0];
    assert_eq!((stream.num_dep_sub, stream.chan_loc, eac3.dec3.data_rate), (1, Some(2), 300));
}
