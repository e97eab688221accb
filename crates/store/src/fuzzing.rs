//! The decoders, for `fuzz/`: each takes bytes that may say anything, and must not panic. What is sealed with a hash is of little use to a search that
//! changes bytes, as a hash never fits by chance: so there is a way to seal each anew.

use std::io;
use std::path::Path;

use crate::codec::ChunkDecoder;
use crate::journal::{HEADER, Header, Step, next};
use crate::manifest::{Manifest, segment};
use crate::pack::{MAX_CHUNK, Pack, u64_le};
use crate::sessions as remembered;

/// Decodes a pack, and every chunk that its index says. Answers whether it is one.
///
/// # Panics
/// What was decoded leads outside of the pack.
pub fn pack(bytes: &[u8]) -> bool {
    let read = |out: &mut [u8], at: u64| -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let found = at.checked_add(out.len()).and_then(|end| bytes.get(at..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    };
    let Ok(pack) = Pack::decode(Path::new("pack"), bytes.len() as u64, read) else { return false };
    let Ok(mut decoder) = ChunkDecoder::new() else { return false };
    for entry in pack.entries.iter().take(1_000) {
        let at = usize::try_from(entry.offset).expect("it is within the pack");
        let stored = &bytes[at..at + entry.stored as usize];
        assert!(entry.length as usize <= MAX_CHUNK, "no chunk is longer");
        // The bytes of a chunk may be any: they are checked.
        _ = decoder.decode(entry.id, entry.encoding, stored, &mut vec![0; entry.length as usize]);
    }
    true
}

/// The same pack with the hash that fits to its index; `None` where it has no place for one.
#[must_use]
pub fn seal_pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let trailer_at = bytes.len().checked_sub(56).filter(|at| *at >= 12)?;
    let index_at = usize::try_from(u64_le(&bytes[trailer_at..])).ok().filter(|at| (12..=trailer_at).contains(at))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..12]).update(&bytes[index_at..trailer_at]).update(&bytes[trailer_at..trailer_at + 16]);
    let mut sealed = bytes.to_vec();
    sealed[trailer_at + 16..trailer_at + 48].copy_from_slice(hasher.finalize().as_bytes());
    Some(sealed)
}

/// Decodes a manifest, and all that is shown of it. Answers whether it is one.
///
/// # Panics
/// What was decoded does not encode to what decodes to the same.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode("manifest", bytes) else { return false };
    _ = (manifest.details(), manifest.names_by(&[0]), manifest.resumed_by());
    let once = manifest.encode().expect("what was decoded can be written");
    let again = Manifest::decode("manifest", &once).expect("what was written can be read");
    assert_eq!(once, again.encode().expect("and be written again"));
    true
}

/// The same manifest with the hash that fits to it; `None` where it has no place for one.
#[must_use]
pub fn seal_manifest(bytes: &[u8]) -> Option<Vec<u8>> {
    const BEFORE: &[u8] = b"\"blake3\":\"";
    const BEHIND: &[u8] = b"\",\"manifest\":";
    let at = bytes.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let text_at = at.checked_add(64 + BEHIND.len()).filter(|end| *end <= bytes.len())?;
    let text = bytes[text_at..].strip_suffix(b"}\n")?;
    let mut sealed = bytes.to_vec();
    sealed[at..at + 64].copy_from_slice(blake3::hash(text).to_hex().as_bytes());
    Some(sealed)
}

/// Decodes a list of chunks.
pub fn segment(bytes: &[u8]) {
    for stands_for in [0, 1 << 16, bytes.len() as u64] {
        _ = segment::read(bytes, stands_for);
    }
}

/// The same exported checkpoint, its manifest and itself with the hashes that fit; `None` where it has no places for them.
#[must_use]
pub fn seal_export(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.len().checked_sub(32)?;
    let size = usize::try_from(u64_le(bytes.get(12..20)?)).ok()?;
    let behind = size.checked_add(20).filter(|behind| *behind <= end)?;
    let manifest = seal_manifest(&bytes[20..behind])?;
    let mut sealed = [&bytes[..20], &manifest, &bytes[behind..end]].concat();
    let hash = blake3::hash(&sealed);
    sealed.extend_from_slice(hash.as_bytes());
    Some(sealed)
}

/// Decodes what is remembered of sessions. Answers how many lines are whole.
#[must_use]
pub fn sessions(bytes: &[u8]) -> usize {
    remembered::decode(bytes).len()
}

/// Decodes a segment of events. Answers how many records it has before the first that is none.
///
/// # Panics
/// A record is not written the same again.
pub fn event_segment(bytes: &[u8]) -> usize {
    if Header::decode(bytes).is_err() {
        return 0;
    }
    let (mut at, mut count) = (HEADER, 0);
    while let Step::Record(record, used) = next(&bytes[at..]) {
        let mut again = Vec::new();
        record.encode(&mut again);
        // What stands where nothing is read may be anything.
        assert_eq!(again.len(), used, "a record has one length");
        assert!(matches!(next(&again), Step::Record(same, _) if same == record), "and one meaning");
        (at, count) = (at + used, count + 1);
    }
    count
}

/// The same segment with the sums that fit to its header and its records.
#[must_use]
pub fn seal_event_segment(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    if sealed.len() < HEADER {
        return sealed;
    }
    let sum = crc32fast::hash(&sealed[..40]);
    sealed[40..44].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEADER;
    while let Some(length) =
        sealed.get(at..at + 4).and_then(|four| four.first_chunk()).map(|four| u32::from_le_bytes(*four))
    {
        let Some(end) = (at + 8).checked_add(length as usize).filter(|end| *end <= sealed.len()) else { break };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&sealed[at..at + 4]);
        hasher.update(&sealed[at + 8..end]);
        let sum = hasher.finalize();
        sealed[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    sealed
}
