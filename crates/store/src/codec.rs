//! Compressing where it is worth it, and getting back exactly what was there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zstd::bulk::{Compressor, Decompressor};

use crate::cut::BUFFER_CHUNK;
use crate::id::ChunkId;
use crate::pack::{Encoding, Entry, MAX_CHUNK};

/// The fastest ordinary level: some 1 GB/s a core, which is what a disk takes. Higher ones would hold up the checkpoint.
const LEVEL: i32 = 1;
/// How many bytes of a buffer one probe decides about.
const PROBE_EACH: usize = 4 << 20;
/// How many samples a probe takes, and how long they are.
const SAMPLES: (usize, usize) = (3, 4 << 10);

/// Decides how chunks are kept, and compresses them.
pub(crate) struct Squeezer {
    compressor: Compressor<'static>,
    out: Vec<u8>,
    sample: Vec<u8>,
    /// What the last probe said, and for how many bytes more it counts.
    worth: bool,
    decided: usize,
    /// For the other thread.
    second: Option<Box<Squeezer>>,
}

impl Squeezer {
    pub(crate) fn new() -> io::Result<Squeezer> {
        let compressor = Compressor::new(LEVEL)?;
        let out = vec![0; zstd::zstd_safe::compress_bound(MAX_CHUNK)];
        Ok(Squeezer { compressor, out, sample: Vec::new(), worth: false, decided: 0, second: None })
    }

    /// A new blob begins: what the last one was like says nothing about it.
    pub(crate) fn forget(&mut self) {
        self.decided = 0;
    }

    /// Whether the next bytes of a buffer are worth compressing: by samples of a long run, as compressing what does not compress takes longer than writing it.
    pub(crate) fn is_worth(&mut self, run: &[u8]) -> io::Result<bool> {
        if self.decided == 0 {
            let (samples, each) = SAMPLES;
            self.sample.clear();
            if run.len() <= samples * each {
                self.sample.extend_from_slice(run);
            } else {
                for sample in 0..samples {
                    let at = (run.len() - each) / (samples - 1) * sample;
                    self.sample.extend_from_slice(&run[at..at + each]);
                }
            }
            let size = self.compressor.compress_to_buffer(&self.sample, &mut self.out[..])?;
            self.worth = is_smaller(size, self.sample.len());
            self.decided = PROBE_EACH;
        }
        self.decided = self.decided.saturating_sub(run.len());
        Ok(self.worth)
    }

    /// Hashes and compresses chunks of a buffer on two threads, as compressing is what takes longest, but not those that are known.
    pub(crate) fn prepare(
        &mut self,
        bytes: &[u8],
        known: &(dyn Fn(ChunkId) -> bool + Sync),
    ) -> io::Result<Vec<Prepared>> {
        let half = (bytes.len() / BUFFER_CHUNK / 2) * BUFFER_CHUNK;
        if half < BUFFER_CHUNK {
            return self.prepare_alone(bytes, known);
        }
        let second = match &mut self.second {
            Some(second) => second,
            none => none.insert(Box::new(Squeezer::new()?)),
        };
        let (first, rest) = bytes.split_at(half);
        let (compressor, out) = (&mut self.compressor, &mut self.out);
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| second.prepare_alone(first, known));
            let behind = prepare(compressor, out, rest, known);
            let mut done =
                helper.join().unwrap_or_else(|_| Err(io::Error::other("a thread that compresses has panicked")))?;
            done.extend(behind?);
            Ok(done)
        })
    }

    fn prepare_alone(&mut self, bytes: &[u8], known: &dyn Fn(ChunkId) -> bool) -> io::Result<Vec<Prepared>> {
        prepare(&mut self.compressor, &mut self.out, bytes, known)
    }

    /// The chunk's compressed bytes, or `None` where they are hardly fewer.
    pub(crate) fn squeeze(&mut self, chunk: &[u8]) -> io::Result<Option<&[u8]>> {
        let size = self.compressor.compress_to_buffer(chunk, &mut self.out[..])?;
        Ok(is_smaller(size, chunk.len()).then(|| &self.out[..size]))
    }
}

/// A chunk of a buffer, ready to be added.
pub(crate) struct Prepared {
    pub(crate) id: ChunkId,
    /// Its compressed bytes, where they are fewer, and the chunk is not known.
    pub(crate) squeezed: Option<Vec<u8>>,
}

impl Prepared {
    /// The chunks of bytes that are not worth compressing.
    pub(crate) fn hashed(bytes: &[u8]) -> Vec<Prepared> {
        bytes.chunks(BUFFER_CHUNK).map(|chunk| Prepared { id: ChunkId::of(chunk), squeezed: None }).collect()
    }
}

fn prepare(
    compressor: &mut Compressor<'static>,
    out: &mut [u8],
    bytes: &[u8],
    known: &dyn Fn(ChunkId) -> bool,
) -> io::Result<Vec<Prepared>> {
    let one = |chunk: &[u8]| {
        let id = ChunkId::of(chunk);
        if known(id) {
            return Ok(Prepared { id, squeezed: None });
        }
        let size = compressor.compress_to_buffer(chunk, out)?;
        Ok(Prepared { id, squeezed: is_smaller(size, chunk.len()).then(|| out[..size].to_vec()) })
    };
    bytes.chunks(BUFFER_CHUNK).map(one).collect()
}

/// By an eighth at least: less is not worth the time that reading takes, nor that the chunk cannot be mapped.
fn is_smaller(size: usize, than: usize) -> bool {
    size < than - than / 8
}

/// Reads chunks from packs, and checks each.
pub(crate) struct Fetcher {
    decompressor: Decompressor<'static>,
    packed: Vec<u8>,
}

/// Why a chunk could not be had.
#[derive(Debug)]
pub(crate) enum Unfit {
    Io(io::Error),
    Damaged(&'static str),
}

impl Fetcher {
    pub(crate) fn new() -> io::Result<Fetcher> {
        Ok(Fetcher { decompressor: Decompressor::new()?, packed: Vec::new() })
    }

    /// Reads the bytes that are stored of a chunk, as they are stored.
    pub(crate) fn stored(file: &File, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Unfit> {
        out.resize(entry.stored as usize, 0);
        read(file, out, entry.offset)
    }

    /// Reads a chunk to `out`, which has its length, and checks that it is what it was.
    pub(crate) fn fetch(&mut self, file: &File, entry: &Entry, out: &mut [u8]) -> Result<(), Unfit> {
        if entry.encoding == Encoding::Zstd {
            let mut packed = std::mem::take(&mut self.packed);
            let taken = Fetcher::stored(file, entry, &mut packed);
            let taken = taken.and_then(|()| self.unpack(&packed, out));
            self.packed = packed;
            taken?;
        } else {
            if out.len() != entry.length as usize {
                return Err(Unfit::Damaged("a chunk does not have the length that the checkpoint gives"));
            }
            read(file, out, entry.offset)?;
        }
        check(entry.id, out)
    }

    /// Unpacks a chunk that was read otherwise, and checks that it is what it was.
    pub(crate) fn decode(
        &mut self,
        id: ChunkId,
        encoding: Encoding,
        stored: &[u8],
        out: &mut [u8],
    ) -> Result<(), Unfit> {
        if encoding == Encoding::Zstd {
            self.unpack(stored, out)?;
        } else if stored.len() == out.len() {
            out.copy_from_slice(stored);
        } else {
            return Err(Unfit::Damaged("a chunk has not the length that is given for it"));
        }
        check(id, out)
    }

    /// Never writes more than `out` takes: bytes that unpack to more than was announced are an error, not memory.
    fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), Unfit> {
        match self.decompressor.decompress_to_buffer(packed, out) {
            Ok(length) if length == out.len() => Ok(()),
            Ok(_) => Err(Unfit::Damaged("a chunk unpacks to fewer bytes than it should")),
            Err(_) => Err(Unfit::Damaged("a chunk does not unpack to what it should")),
        }
    }
}

fn read(file: &File, out: &mut [u8], at: u64) -> Result<(), Unfit> {
    file.read_exact_at(out, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Unfit::Damaged("a pack is shorter than it was"),
        _ => Unfit::Io(error),
    })
}

fn check(id: ChunkId, bytes: &[u8]) -> Result<(), Unfit> {
    if ChunkId::hash(bytes) == id {
        Ok(())
    } else {
        Err(Unfit::Damaged("the bytes of a chunk are not those that were written"))
    }
}
