//! Boxes (4.2): headers read from slices without trust, and written with sizes filled in afterwards.
//!
//! Comes in: slices. Goes out: slices of them. Never: recursion or allocation while reading.

use super::CmafError;

/// Four-character code of a box.
pub(super) type Kind = [u8; 4];

/// One box, header and body, within the slice it was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxRef<'a> {
    pub kind: Kind,
    /// Where the box begins in the slice that was iterated.
    pub offset: usize,
    /// The whole box.
    pub whole: &'a [u8],
    /// What follows the header.
    pub body: &'a [u8],
    /// Its size said more than there was: only [`Boxes::top_level`] lets that pass.
    pub cut_short: bool,
}

impl<'a> BoxRef<'a> {
    /// Body of a full box (4.2.2) as version, flags and a cursor on the rest.
    pub(super) fn full(&self) -> Result<(u8, u32, Cursor<'a>), CmafError> {
        let mut cursor = Cursor(self.body);
        let word = cursor.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff, cursor))
    }
}

/// Iterates over the boxes in a slice. Ends after the first error. Fewer than 8 bytes at the end are
/// padding (QuickTime ends some lists with 4 zero bytes).
pub(super) struct Boxes<'a> {
    all: &'a [u8],
    at: usize,
    top_level: bool,
}

impl<'a> Boxes<'a> {
    /// Boxes inside another box: each must fit, none may reach "to the end of the file".
    pub(super) fn children(body: &'a [u8]) -> Self {
        Self { all: body, at: 0, top_level: false }
    }

    /// Boxes of a file: the last may have size 0 ("to the end", 4.2.2) and may be cut short.
    pub(super) fn top_level(file: &'a [u8]) -> Self {
        Self { all: file, at: 0, top_level: true }
    }

    fn read(&mut self) -> Result<Option<BoxRef<'a>>, CmafError> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let mut cursor = Cursor(rest);
        let (Ok(size32), Ok(kind)) = (cursor.u32(), cursor.array::<4>()) else {
            return Ok(None);
        };
        let (header, size) = match size32 {
            0 if self.top_level => (8, rest.len() as u64),
            1 => (16, cursor.u64()?),
            n => (8, u64::from(n)),
        };
        if size < header {
            return Err(CmafError::Damaged("a box is smaller than its header"));
        }
        let cut_short = size > rest.len() as u64;
        if cut_short && !self.top_level {
            return Err(CmafError::Damaged("a box reaches beyond its parent"));
        }
        let length = if cut_short { rest.len() } else { size as usize };
        let whole = rest.get(..length).unwrap_or_default();
        let body = whole.get(header as usize..).unwrap_or_default();
        let offset = self.at;
        self.at += length;
        Ok(Some(BoxRef { kind, offset, whole, body, cut_short }))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>, CmafError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.at = self.all.len();
        }
        read.transpose()
    }
}

/// The first child of `kind`.
pub(super) fn child<'a>(body: &'a [u8], kind: &Kind) -> Result<Option<BoxRef<'a>>, CmafError> {
    for found in Boxes::children(body) {
        let found = found?;
        if found.kind == *kind {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first child of `kind`, which must be there.
pub(super) fn need<'a>(body: &'a [u8], kind: &Kind, missing: &'static str) -> Result<BoxRef<'a>, CmafError> {
    child(body, kind)?.ok_or(CmafError::Damaged(missing))
}

/// Reads big-endian numbers from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], CmafError> {
        let (head, tail) = self.0.split_at_checked(bytes).ok_or(CmafError::Damaged("a box ends early"))?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CmafError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(CmafError::Damaged("a box ends early"))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, CmafError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, CmafError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CmafError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, CmafError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, CmafError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A 64-bit number in version 1 of a full box, a 32-bit one before.
    pub(super) fn versioned(&mut self, version: u8) -> Result<u64, CmafError> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }
}

/// Appends a box whose body `write` appends. Only for boxes that are far below 4 GiB.
pub(super) fn put_box(out: &mut Vec<u8>, kind: &Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    write(out);
    let size = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&size.to_be_bytes());
    }
}

/// Appends a full box (4.2.2).
pub(super) fn put_full(out: &mut Vec<u8>, kind: &Kind, version: u8, flags: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_box(out, kind, |out| {
        put32(out, u32::from(version) << 24 | flags & 0x00ff_ffff);
        write(out);
    });
}

pub(super) fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends `count` zero bytes.
pub(super) fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0);
}
