//! Compressing where it is worth it, and getting back exactly what was there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zstd::bulk::{Compressor, Decompressor};

use crate::id::ChunkId;
use crate::pack::{Encoding, Entry, MAX_CHUNK};
use crate::shuffle::{join, split};

/// The fastest ordinary level: some 1 GB/s a core, which is what a disk takes. Higher ones would hold up the checkpoint.
const LEVEL: i32 = 1;
/// How many bytes of a buffer one probe decides about: as many at first, and twice as many each time that it finds the same, to the limit.
const PROBE_EACH: (usize, usize) = (4 << 20, 32 << 20);
/// How many samples a probe takes, and how long they are.
const SAMPLES: (usize, usize) = (3, 4 << 10);
/// How buffers may be packed, with what that must save of the whole: numbers of any sort have signs and exponents alike, which is not worth
/// that they cannot be mapped then.
const WAYS: [(Encoding, Saving); 3] = [
    (Encoding::Zstd, Saving::AnEighth),
    (Encoding::Shuffled8, Saving::AQuarter),
    (Encoding::Shuffled4, Saving::AQuarter),
];

/// How much smaller packed bytes must be.
#[derive(Debug, Clone, Copy)]
enum Saving {
    /// Less is not worth the time that reading takes, nor that the chunk cannot be mapped.
    AnEighth,
    AQuarter,
}

impl Saving {
    fn is_made(self, size: usize, of: usize) -> bool {
        match self {
            Saving::AnEighth => size < of - of / 8,
            Saving::AQuarter => size < of - of / 4,
        }
    }
}

/// Decides how chunks are kept, and compresses them.
pub(crate) struct ChunkEncoder {
    compressor: Compressor<'static>,
    out: Vec<u8>,
    shuffle: Vec<u8>,
    sample: Vec<u8>,
    /// What the last probe said, and for how many bytes more it counts.
    way: Option<Encoding>,
    decided: usize,
    /// For how many bytes the last probe counted.
    each: usize,
}

impl ChunkEncoder {
    pub(crate) fn new() -> io::Result<ChunkEncoder> {
        let compressor = Compressor::new(LEVEL)?;
        let out = vec![0; zstd::zstd_safe::compress_bound(MAX_CHUNK)];
        let (shuffle, sample) = (Vec::new(), Vec::new());
        Ok(ChunkEncoder { compressor, out, shuffle, sample, way: None, decided: 0, each: 0 })
    }

    /// A new blob begins: what the last one was like says nothing about it.
    pub(crate) fn forget(&mut self) {
        (self.decided, self.each) = (0, 0);
    }

    /// How the next bytes of a buffer are best packed, if it is worth it: by samples of a long run, as compressing what does not compress takes longer than writing it.
    pub(crate) fn way(&mut self, run: &[u8]) -> io::Result<Option<Encoding>> {
        if self.decided == 0 {
            let (samples, each) = SAMPLES;
            let mut sample = std::mem::take(&mut self.sample);
            sample.clear();
            if run.len() <= samples * each {
                sample.extend_from_slice(run);
            } else {
                for number in 0..samples {
                    // Where a number begins.
                    let at = ((run.len() - each) / (samples - 1) * number).next_multiple_of(8).min(run.len() - each);
                    sample.extend_from_slice(&run[at..at + each]);
                }
            }
            let mut best = None;
            for (way, saving) in WAYS {
                let size = self.pack(way, &sample)?;
                if saving.is_made(size, sample.len()) && best.is_none_or(|(_, least)| size < least) {
                    best = Some((way, size));
                }
            }
            self.sample = sample;
            let way = best.map(|(way, _)| way);
            let (least, most) = PROBE_EACH;
            self.each = if way == self.way && self.each > 0 { most.min(2 * self.each) } else { least };
            (self.way, self.decided) = (way, self.each);
        }
        self.decided = self.decided.saturating_sub(run.len());
        Ok(self.way)
    }

    /// The chunk's packed bytes, or `None` where they are hardly fewer.
    pub(crate) fn encode(&mut self, way: Encoding, chunk: &[u8]) -> io::Result<Option<&[u8]>> {
        let size = self.pack(way, chunk)?;
        Ok(Saving::AnEighth.is_made(size, chunk.len()).then(|| &self.out[..size]))
    }

    fn pack(&mut self, way: Encoding, bytes: &[u8]) -> io::Result<usize> {
        let split = match way {
            Encoding::Shuffled4 => split::<4>,
            Encoding::Shuffled8 => split::<8>,
            _ => return self.compressor.compress_to_buffer(bytes, &mut self.out[..]),
        };
        self.shuffle.resize(bytes.len(), 0);
        split(bytes, &mut self.shuffle);
        self.compressor.compress_to_buffer(&self.shuffle, &mut self.out[..])
    }
}

/// Reads chunks from packs, and checks each.
pub(crate) struct ChunkDecoder {
    decompressor: Decompressor<'static>,
    packed: Vec<u8>,
    shuffle: Vec<u8>,
}

impl std::fmt::Debug for ChunkDecoder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ChunkDecoder").finish_non_exhaustive()
    }
}

/// Why a chunk could not be had.
#[derive(Debug)]
pub(crate) enum ChunkError {
    Io(io::Error),
    Damaged(&'static str),
}

impl ChunkDecoder {
    pub(crate) fn new() -> io::Result<ChunkDecoder> {
        Ok(ChunkDecoder { decompressor: Decompressor::new()?, packed: Vec::new(), shuffle: Vec::new() })
    }

    /// Reads the bytes that are stored of a chunk, as they are stored.
    pub(crate) fn stored(file: &File, entry: &Entry, out: &mut Vec<u8>) -> Result<(), ChunkError> {
        out.resize(entry.stored as usize, 0);
        read(file, out, entry.offset)
    }

    /// Reads a chunk to `out`, which has its length, and checks that it is what it was.
    pub(crate) fn fetch(&mut self, file: &File, entry: &Entry, out: &mut [u8]) -> Result<(), ChunkError> {
        if entry.encoding.is_packed() {
            let mut packed = std::mem::take(&mut self.packed);
            let taken = ChunkDecoder::stored(file, entry, &mut packed);
            let taken = taken.and_then(|()| self.unpack(entry.encoding, &packed, out));
            self.packed = packed;
            taken?;
        } else {
            if out.len() != entry.length as usize {
                return Err(ChunkError::Damaged("a chunk does not have the length that the checkpoint gives"));
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
    ) -> Result<(), ChunkError> {
        if encoding.is_packed() {
            self.unpack(encoding, stored, out)?;
        } else if stored.len() == out.len() {
            out.copy_from_slice(stored);
        } else {
            return Err(ChunkError::Damaged("a chunk has not the length that is given for it"));
        }
        check(id, out)
    }

    /// Never writes more than `out` takes: bytes that unpack to more than was announced are an error, not memory.
    fn unpack(&mut self, encoding: Encoding, packed: &[u8], out: &mut [u8]) -> Result<(), ChunkError> {
        let join = match encoding {
            Encoding::Shuffled4 => Some(join::<4> as fn(&[u8], &mut [u8])),
            Encoding::Shuffled8 => Some(join::<8> as fn(&[u8], &mut [u8])),
            _ => None,
        };
        let target = if join.is_some() {
            self.shuffle.resize(out.len(), 0);
            &mut self.shuffle[..]
        } else {
            &mut *out
        };
        match self.decompressor.decompress_to_buffer(packed, target) {
            Ok(length) if length == target.len() => {}
            Ok(_) => return Err(ChunkError::Damaged("a chunk unpacks to fewer bytes than it should")),
            Err(_) => return Err(ChunkError::Damaged("a chunk does not unpack to what it should")),
        }
        if let Some(join) = join {
            join(&self.shuffle, out);
        }
        Ok(())
    }
}

fn read(file: &File, out: &mut [u8], at: u64) -> Result<(), ChunkError> {
    file.read_exact_at(out, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ChunkError::Damaged("a pack is shorter than it was"),
        _ => ChunkError::Io(error),
    })
}

fn check(id: ChunkId, bytes: &[u8]) -> Result<(), ChunkError> {
    if ChunkId::hash(bytes) == id {
        Ok(())
    } else {
        Err(ChunkError::Damaged("the bytes of a chunk are not those that were written"))
    }
}
