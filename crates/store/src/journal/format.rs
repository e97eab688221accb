//! The bytes of a segment of events. Pure.
//!
//! ```text
//! header   magic "pyr3log\n" · version u32 · 0 u32 · number of the first event u64 · told of stdout u64 · told of stderr u64 · CRC-32 of these u32 · 0 u32
//! record   length of the body u32 · CRC-32 of the length and the body u32 · body
//! body     kind u8 · stream u8 · 0 u16 · CRC-32 of the output u32 · number u64 · [ where the output begins u64 · its length u64 ] · the message
//! ```
//!
//! Numbers are little-endian. The part in brackets is there for output only.

/// The first bytes of a segment.
const MAGIC: [u8; 8] = *b"pyr3log\n";
/// Grows when the bytes mean something else.
pub(super) const VERSION: u32 = 1;
/// The length of a header.
pub(crate) const HEADER: usize = 48;
/// What stands before the body of a record.
pub(super) const PREFIX: usize = 8;
/// Of a body, before the message.
const EVENT: usize = 16;
const OUTPUT: usize = 32;
/// The longest body. No message is longer.
pub(super) const MAX_BODY: usize = 256 << 20;

/// An output stream of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// Both.
    pub(super) const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    pub(super) fn index(self) -> usize {
        match self {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        }
    }
}

/// Where output is: bytes of a stream, counted from the first that the session's worker ever wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The stream.
    pub stream: Stream,
    /// The first byte.
    pub at: u64,
    /// How many.
    pub length: u64,
}

impl Place {
    /// The byte after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.length)
    }
}

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of its first event.
    pub(super) first: u64,
    /// How much of each stream the events before it tell of.
    pub(super) told: [u64; 2],
}

/// Why bytes are no segment of this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// They are too few, or not what was written.
    Damaged,
    /// A later version wrote them.
    Version(u32),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.told[0].to_le_bytes());
        bytes[32..40].copy_from_slice(&self.told[1].to_le_bytes());
        let sum = crc32fast::hash(&bytes[..40]);
        bytes[40..44].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, NoHeader> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(NoHeader::Damaged)?;
        if bytes[..8] != MAGIC {
            return Err(NoHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(NoHeader::Version(version));
        }
        let is_whole = u32_at(bytes, 40) == crc32fast::hash(&bytes[..40]) && u32_at(bytes, 12) == 0;
        let header = Header { first: u64_at(bytes, 16), told: [u64_at(bytes, 24), u64_at(bytes, 32)] };
        (is_whole && version == VERSION && header.first > 0).then_some(header).ok_or(NoHeader::Damaged)
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(super) seq: u64,
    /// The message; of output, without what was written.
    pub(super) message: &'a [u8],
    /// Where what was written is, and its CRC-32.
    pub(super) output: Option<(Place, u32)>,
}

impl Record<'_> {
    /// Appends the record's bytes.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&[0; PREFIX]);
        let (stream, sum) = self.output.map_or((0, 0), |(place, sum)| (place.stream.index() as u8, sum));
        into.extend_from_slice(&[u8::from(self.output.is_some()) + 1, stream, 0, 0]);
        into.extend_from_slice(&sum.to_le_bytes());
        into.extend_from_slice(&self.seq.to_le_bytes());
        if let Some((place, _)) = self.output {
            into.extend_from_slice(&place.at.to_le_bytes());
            into.extend_from_slice(&place.length.to_le_bytes());
        }
        into.extend_from_slice(self.message);
        let length = u32::try_from(into.len() - start - PREFIX).unwrap_or(u32::MAX).to_le_bytes();
        let sum = sum_of(length, &into[start + PREFIX..]);
        into[start..start + 4].copy_from_slice(&length);
        into[start + 4..start + PREFIX].copy_from_slice(&sum.to_le_bytes());
    }
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A record, and how many bytes it takes.
    Record(Record<'a>, usize),
    /// The beginning of one: so many bytes are needed to tell more.
    More(usize),
    /// No record.
    Damaged,
}

/// The record at the beginning of bytes.
pub(crate) fn next(bytes: &[u8]) -> Step<'_> {
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Step::More(PREFIX) };
    let length = u32_at(prefix, 0) as usize;
    if !(EVENT..=MAX_BODY).contains(&length) {
        return Step::Damaged;
    }
    let Some(body) = bytes.get(PREFIX..PREFIX + length) else { return Step::More(PREFIX + length) };
    if u32_at(prefix, 4) != sum_of((length as u32).to_le_bytes(), body) {
        return Step::Damaged;
    }
    let (kind, stream, sum, seq) = (body[0], body[1], u32_at(body, 4), u64_at(body, 8));
    let (message, output) = match (kind, stream) {
        (1, 0) => (&body[EVENT..], None),
        (2, 0 | 1) if length >= OUTPUT => {
            let place = Place { stream: Stream::ALL[stream as usize], at: u64_at(body, 16), length: u64_at(body, 24) };
            (&body[OUTPUT..], Some((place, sum)))
        }
        _ => return Step::Damaged,
    };
    Step::Record(Record { seq, message, output }, PREFIX + length)
}

fn sum_of(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |found| u32::from_le_bytes(*found))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |found| u64::from_le_bytes(*found))
}
