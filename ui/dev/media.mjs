// Media for the mock: the built-in demo clip (MPEG-TS, 16 s, a picture to begin each 2 s) cut into its groups of pictures,
// and single pictures of it as MP4. In: bytes of the clip. Out: bytes.

const PACKET = 188;
const VIDEO_PID = 0x100;

/** Cuts the clip where a group of pictures begins; each piece starts with its tables. */
export function groups(clip) {
  const starts = [];
  for (let at = 0; at + PACKET <= clip.length; at += PACKET) {
    const pid = ((clip[at + 1] & 0x1f) << 8) | clip[at + 2];
    const adaptation = clip[at + 3] & 0x20 && clip[at + 4] > 0;
    if (pid === VIDEO_PID && adaptation && clip[at + 5] & 0x40) starts.push(at - 3 * PACKET);
  }
  starts[0] = 0;
  return starts.map((from, i) => clip.subarray(from, starts[i + 1] ?? clip.length));
}

/** The first picture of a piece as Annex B units. */
function firstPicture(piece) {
  const parts = [];
  for (let at = 0; at + PACKET <= piece.length; at += PACKET) {
    const pid = ((piece[at + 1] & 0x1f) << 8) | piece[at + 2];
    if (pid !== VIDEO_PID) continue;
    const begins = (piece[at + 1] & 0x40) !== 0;
    if (begins && parts.length) break;
    let payload = at + 4;
    if (piece[at + 3] & 0x20) payload += 1 + piece[at + 4];
    if (begins) payload += 9 + piece[payload + 8];
    parts.push(piece.subarray(payload, at + PACKET));
  }
  const bytes = Buffer.concat(parts);
  const units = [];
  for (let i = 0; i + 3 < bytes.length; i += 1) {
    if (bytes[i] || bytes[i + 1] || bytes[i + 2] !== 1) continue;
    units.push(i + 3);
    i += 2;
  }
  return units.map((from, i) => {
    let to = i + 1 < units.length ? units[i + 1] - 3 : bytes.length;
    while (to > from && bytes[to - 1] === 0) to -= 1;
    return bytes.subarray(from, to);
  });
}

const u8 = (...n) => Buffer.from(n);
const u16 = (n) => Buffer.from([n >> 8, n & 255]);
const u32 = (n) => Buffer.from([(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
const zeros = (n) => Buffer.alloc(n);
const box = (type, ...parts) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(body.length + 8), Buffer.from(type, "latin1"), body]);
};
const full = (type, flags, ...parts) => box(type, u32(flags), ...parts);

/** An MP4 with one picture, shown for a second. */
export function pictureMp4(piece, width = 640, height = 360) {
  const units = firstPicture(piece);
  const of = (type) => units.find((u) => (u[0] & 31) === type);
  const sps = of(7);
  const pps = of(8);
  const sample = Buffer.concat(units.filter((u) => [1, 5, 6].includes(u[0] & 31)).flatMap((u) => [u32(u.length), u]));
  const avcC = box("avcC", u8(1, sps[1], sps[2], sps[3], 0xff, 0xe1), u16(sps.length), sps, u8(1), u16(pps.length), pps);
  const avc1 = box("avc1", zeros(6), u16(1), zeros(16), u16(width), u16(height), u32(0x480000), u32(0x480000), zeros(4), u16(1), zeros(32), u16(24), u16(0xffff), avcC);
  const matrix = Buffer.concat([u32(0x10000), zeros(12), u32(0x10000), zeros(12), u32(0x40000000)]);
  const ftyp = box("ftyp", Buffer.from("isom"), u32(0), Buffer.from("isomavc1"));
  const moov = (offset) =>
    box(
      "moov",
      full("mvhd", 0, zeros(8), u32(1000), u32(1000), u32(0x10000), u16(0x100), zeros(10), matrix, zeros(24), u32(2)),
      box(
        "trak",
        full("tkhd", 3, zeros(8), u32(1), zeros(4), u32(1000), zeros(8), zeros(8), matrix, u32(width << 16), u32(height << 16)),
        box(
          "mdia",
          full("mdhd", 0, zeros(8), u32(1000), u32(1000), u16(0x55c4), u16(0)),
          full("hdlr", 0, zeros(4), Buffer.from("vide"), zeros(12), Buffer.from("picture\0")),
          box(
            "minf",
            full("vmhd", 1, zeros(8)),
            box("dinf", full("dref", 0, u32(1), full("url ", 1))),
            box(
              "stbl",
              full("stsd", 0, u32(1), avc1),
              full("stts", 0, u32(1), u32(1), u32(1000)),
              full("stsc", 0, u32(1), u32(1), u32(1), u32(1)),
              full("stsz", 0, u32(sample.length), u32(1)),
              full("stco", 0, u32(1), u32(offset)),
            ),
          ),
        ),
      ),
    );
  const head = ftyp.length + moov(0).length + 8;
  return Buffer.concat([ftyp, moov(head), box("mdat", sample)]);
}
