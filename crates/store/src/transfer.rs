//! One checkpoint as one file, to be taken elsewhere.
//!
//! ```text
//! 8 bytes "PYR3CKPT"   4 bytes format   8 bytes length of the manifest   the manifest, as its file is
//! for each chunk:  1 byte 1   32 bytes id   1 byte encoding   4 bytes length   4 bytes stored length   the bytes
//!                  lists of chunks (segments) come first, each chunk comes once, zeros do not come at all
//! 1 byte 0   32 bytes BLAKE3 of everything before   end of the file
//! ```

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};

use crate::codec::{ChunkDecoder, ChunkError};
use crate::id::{ChunkId, LineageId};
use crate::manifest::{LARGEST, Manifest, segment};
use crate::pack::{Encoding, MAX_CHUNK, u32_le, u64_le};
use crate::store::{Meta, Store, now};
use crate::{Error, Result};

const HEAD: &[u8; 8] = b"PYR3CKPT";
/// The format of exports that is written. All up to it are read.
const FORMAT: u32 = 2;
const CHUNK: u8 = 1;
const END: u8 = 0;

/// A file from elsewhere. To restore a checkpoint runs code that is in it, as pickles are programs: whoever takes one in says so, by [`Untrusted::accept`].
#[derive(Debug)]
pub struct Untrusted<R>(R);

/// A file from elsewhere that somebody answers for.
#[derive(Debug)]
pub struct Accepted<R>(R);

impl<R: Read> Untrusted<R> {
    /// The bytes of an exported checkpoint.
    pub fn new(bytes: R) -> Untrusted<R> {
        Untrusted(bytes)
    }

    /// Takes the responsibility for code that restoring this checkpoint will run, inside the isolation of the session that it is restored in.
    /// That the bytes are whole is checked; that they mean well cannot be.
    pub fn accept(self) -> Accepted<R> {
        Accepted(self.0)
    }
}

impl Store {
    /// Writes a checkpoint, with all that it needs. Answers how many bytes were written.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] where it is not whole (what was written is of no use then), or the error of `out`.
    pub fn export(&self, manifest: &Manifest, out: impl Write) -> Result<u64> {
        let reader = self.reader(manifest)?;
        let mut out = Hashing::new(out);
        let sealed = manifest.encode()?;
        out.put(HEAD)?;
        out.put(&FORMAT.to_le_bytes())?;
        out.put(&(sealed.len() as u64).to_le_bytes())?;
        out.put(&sealed)?;
        let mut decoder = ChunkDecoder::new().map_err(writing)?;
        let (mut done, mut stored, mut plain) = (HashMap::new(), Vec::new(), Vec::new());
        for lists in [true, false] {
            for blob in 0..manifest.blobs() {
                let (mut source, mut parts) = reader.source(blob)?;
                let segments =
                    manifest.blobs[blob as usize].segmented.then(|| manifest.blobs[blob as usize].parts.clone());
                let mut segments = segments.unwrap_or_default().into_iter();
                while let Some(part) = if lists { segments.next() } else { parts.next(&mut source)? } {
                    if part.id == ChunkId::ZEROS || done.insert(part.id, ()).is_some() {
                        continue;
                    }
                    let (file, entry) = source.find(part.id)?;
                    let unfit = |unfit| match unfit {
                        ChunkError::Io(error) => source.damaged(&format!("a pack cannot be read: {error}")),
                        ChunkError::Damaged(what) => source.damaged(what),
                    };
                    ChunkDecoder::stored(&file, &entry, &mut stored).map_err(unfit)?;
                    plain.resize(entry.length as usize, 0);
                    decoder.decode(entry.id, entry.encoding, &stored, &mut plain).map_err(unfit)?;
                    out.put(&[CHUNK])?;
                    out.put(&entry.id.0)?;
                    out.put(&[entry.encoding as u8])?;
                    out.put(&entry.length.to_le_bytes())?;
                    out.put(&entry.stored.to_le_bytes())?;
                    out.put(&stored)?;
                }
            }
        }
        out.put(&[END])?;
        let hash = out.hasher.finalize();
        out.put(hash.as_bytes())?;
        out.inner.flush().map_err(writing)?;
        Ok(out.count)
    }

    /// Takes in an exported checkpoint, under a new id and in a lineage of its own, so that it can neither replace anything nor share with anything.
    /// It is seen when all of it is there and whole.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::NewerFormat`], [`Error::TooLarge`] where it is, or unpacks to, more than the store takes; as for writing; or the error of the reader.
    pub fn import(&self, file: Accepted<impl Read>) -> Result<Manifest> {
        let mut input = Input::new(file.0);
        let theirs = input.manifest()?;
        let limit = self.config().max_checkpoint_bytes;
        if theirs.size_bytes > limit {
            return Err(Error::TooLarge { what: "the checkpoint".into(), size: theirs.size_bytes, limit });
        }
        let meta = Meta { session: theirs.session.clone(), name: theirs.name.clone(), parent: None };
        let mut writer = self.begin(&LineageId::new(), meta)?;
        let mut awaited = ExpectedChunks::of(&theirs)?;
        let mut decoder = ChunkDecoder::new().map_err(reading)?;
        let mut plain = Vec::new();
        while let Some(chunk) = input.chunk()? {
            let lists = awaited.take(chunk.id, u64::from(chunk.length))?;
            plain.resize(chunk.length as usize, 0);
            decoder
                .decode(chunk.id, chunk.encoding, &input.stored, &mut plain)
                .map_err(|_| broken("a chunk is not what it should be"))?;
            for stands_for in lists {
                let chunks =
                    segment::read(&plain, stands_for).ok_or_else(|| broken("a list of chunks does not make sense"))?;
                chunks.iter().try_for_each(|chunk| awaited.chunk(chunk.id, chunk.length))?;
            }
            writer.add_stored(chunk.id, chunk.length, chunk.encoding, &input.stored)?;
        }
        if !awaited.missing.is_empty() {
            return Err(broken("some of its chunks are missing"));
        }
        let ours = &mut writer.manifest;
        (ours.origin, ours.blobs, ours.size_bytes) = (Some(theirs.id), theirs.blobs, theirs.size_bytes);
        // Clocks differ, and a file may say anything: nothing is made later than now.
        ours.created_at = theirs.created_at.clamp(0.0, now());
        writer.commit(theirs.body)
    }
}

/// What a file must still bring: for each chunk its length, and, where it is a list of chunks, for how many bytes that stands.
#[derive(Default)]
struct ExpectedChunks {
    missing: HashMap<ChunkId, (BTreeSet<u64>, Option<u64>)>,
    /// Chunks that have come, with their lengths.
    come: HashMap<ChunkId, u64>,
}

impl ExpectedChunks {
    fn of(manifest: &Manifest) -> Result<ExpectedChunks> {
        let mut awaited = ExpectedChunks::default();
        for blob in &manifest.blobs {
            for part in &blob.parts {
                if !blob.segmented {
                    awaited.chunk(part.id, part.length)?;
                } else {
                    awaited.missing.entry(part.id).or_default().0.insert(part.length);
                }
            }
        }
        Ok(awaited)
    }

    /// A chunk is part of a blob, with so many bytes. Wherever else it is part of one, or has come, it must have as many.
    fn chunk(&mut self, id: ChunkId, length: u64) -> Result<()> {
        if id == ChunkId::ZEROS {
            return Ok(());
        }
        let known = match self.come.get(&id) {
            Some(come) => *come,
            None => *self.missing.entry(id).or_default().1.get_or_insert(length),
        };
        if known == length { Ok(()) } else { Err(broken("a chunk has several lengths")) }
    }

    /// A chunk has come. Answers for how many bytes it stands as a list of chunks.
    fn take(&mut self, id: ChunkId, length: u64) -> Result<BTreeSet<u64>> {
        let taken = self.missing.remove(&id);
        let (lists, expected) = taken.ok_or_else(|| broken("it holds a chunk that it does not need, or one twice"))?;
        self.come.insert(id, length);
        if expected.is_some_and(|expected| expected != length) {
            return Err(broken("a chunk has another length than its checkpoint gives"));
        }
        Ok(lists)
    }
}

struct Incoming {
    id: ChunkId,
    encoding: Encoding,
    length: u32,
}

/// Reads an export, and never more of it at once than its bounds allow, whatever lengths it announces.
struct Input<R> {
    inner: R,
    hasher: blake3::Hasher,
    stored: Vec<u8>,
}

impl<R: Read> Input<R> {
    fn new(inner: R) -> Input<R> {
        Input { inner, hasher: blake3::Hasher::new(), stored: Vec::new() }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(reading)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    /// Memory is taken as bytes come, not as they are announced.
    fn take_long(&mut self, length: u64) -> Result<()> {
        self.stored.clear();
        let come = self.inner.by_ref().take(length).read_to_end(&mut self.stored).map_err(reading)?;
        if come as u64 != length {
            return Err(broken("it was cut"));
        }
        self.hasher.update(&self.stored);
        Ok(())
    }

    fn manifest(&mut self) -> Result<Manifest> {
        let head: [u8; 12] = self.take()?;
        if &head[..8] != HEAD {
            return Err(broken("it does not begin as an exported checkpoint does"));
        }
        match u32_le(&head[8..]) {
            1 | 2 => {}
            0 => return Err(broken("it has no format")),
            found => return Err(Error::NewerFormat { what: "the exported checkpoint".into(), found, known: FORMAT }),
        }
        let size = u64_le(&self.take::<8>()?);
        if size > LARGEST {
            // No version has written one that long.
            return Err(broken("its list of what the checkpoint holds has a length that cannot be"));
        }
        self.take_long(size)?;
        Manifest::decode("the exported checkpoint", &self.stored)
    }

    /// The next chunk, whose stored bytes are in `stored`; `None` where the end was reached, and is right.
    fn chunk(&mut self) -> Result<Option<Incoming>> {
        match self.take()? {
            [CHUNK] => {}
            [END] => {
                let hash = self.hasher.finalize();
                if self.take::<32>()? != *hash.as_bytes() {
                    return Err(broken("its bytes are not those that were written"));
                }
                let more = self.inner.read(&mut [0]).map_err(reading)?;
                return if more == 0 { Ok(None) } else { Err(broken("it goes on behind its end")) };
            }
            _ => return Err(broken("its chunks do not follow each other")),
        }
        let head: [u8; 41] = self.take()?;
        let id = ChunkId(head[..32].try_into().map_err(|_| broken("a chunk has no name"))?);
        let (length, stored) = (u32_le(&head[33..]), u32_le(&head[37..]));
        let encoding = Encoding::of(head[32]).filter(|_| length as usize <= MAX_CHUNK && stored <= length);
        let encoding = encoding.ok_or_else(|| broken("it announces a chunk that cannot be"))?;
        self.take_long(u64::from(stored))?;
        Ok(Some(Incoming { id, encoding, length }))
    }
}

fn broken(what: &str) -> Error {
    Error::Damaged {
        checkpoint: "the exported checkpoint".into(),
        what: what.into(),
        still_good: "Nothing of it was taken in; export it again".into(),
    }
}

fn reading(source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::UnexpectedEof {
        return broken("it was cut");
    }
    Error::io("read", "the exported checkpoint".as_ref(), source)
}

fn writing(source: io::Error) -> Error {
    Error::Unreadable { action: "write", path: "the exported checkpoint".into(), source }
}

struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    count: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Hashing<W> {
        Hashing { inner, hasher: blake3::Hasher::new(), count: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.write_all(bytes).map_err(writing)?;
        self.hasher.update(bytes);
        self.count += bytes.len() as u64;
        Ok(())
    }
}
