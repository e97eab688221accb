//! A pack: one file with chunks, and an index of them at its end. It is written once, and never changed.
//!
//! ```text
//! header   8 bytes  "PYR3PACK"      4 bytes  format
//! chunks            where the index says; those to be mapped begin at multiples of 4096, with holes before them
//! index    49 bytes a chunk: id 32, offset 8, stored length 4, length 4, encoding 1
//! trailer  8 bytes  offset of the index   8 bytes  number of chunks   32 bytes  BLAKE3 of header, index, and these two
//!          8 bytes  "PYR3PEND"
//! ```
//!
//! Numbers are little-endian.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::file_writer::FileWriter;
use crate::id::ChunkId;
use crate::{Error, Result};

/// The format of packs that is written. All up to it are read. Format 2 brought the encodings of regrouped numbers.
const FORMAT: u32 = 2;
const HEAD: &[u8; 8] = b"PYR3PACK";
const END: &[u8; 8] = b"PYR3PEND";
const HEADER: u64 = 12;
const ENTRY: usize = 49;
const TRAILER: usize = 56;
/// Pages of memory, which mapped chunks are aligned to. Machines with larger pages read such chunks instead of mapping them.
pub(crate) const PAGE: u64 = 4096;
/// The most that one chunk is, in bytes. Readers rely on it as the bound of what they unpack.
pub(crate) const MAX_CHUNK: usize = 256 << 10;
/// Small pieces are gathered up to this many bytes before they are written.
const GATHER: usize = 1 << 20;

/// How a chunk's bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// As they are, from a multiple of [`PAGE`] or right behind another such chunk.
    Mapped = 2,
    /// One zstd frame of the bytes [regrouped](crate::shuffle) as numbers of four bytes.
    Shuffled4 = 3,
    /// The same, of eight bytes.
    Shuffled8 = 4,
}

impl Encoding {
    pub(crate) fn of(byte: u8) -> Option<Encoding> {
        use Encoding::{Mapped, Raw, Shuffled4, Shuffled8, Zstd};
        [Raw, Zstd, Mapped, Shuffled4, Shuffled8].into_iter().find(|one| *one as u8 == byte)
    }

    /// Whether what is stored is a zstd frame, which may have another length than the chunk.
    pub(crate) fn is_packed(self) -> bool {
        matches!(self, Encoding::Zstd | Encoding::Shuffled4 | Encoding::Shuffled8)
    }
}

/// Where one chunk is in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ChunkId,
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) length: u32,
    pub(crate) encoding: Encoding,
}

/// A pack that can be read.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

impl Pack {
    /// Reads the index, and checks all of it: whatever it says can be relied on not to lead outside of the file.
    pub(crate) fn read(disk: &Disk, path: &Path) -> Result<Pack> {
        let file = disk.open(path)?;
        let size = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
        Pack::decode(path, size, |out, at| file.read_exact_at(out, at))
    }

    /// The same for bytes from anywhere: `read` fills all of a slice from an offset below `size`.
    pub(crate) fn decode(path: &Path, size: u64, read: impl Fn(&mut [u8], u64) -> io::Result<()>) -> Result<Pack> {
        let damaged = |what: &str| Error::damaged_file(path, what);
        let failed = |error| Error::io("read", path, error);
        let Some(trailer_at) = size.checked_sub(TRAILER as u64).filter(|at| *at >= HEADER) else {
            return Err(damaged("the file is shorter than an empty pack: it was cut"));
        };
        let mut header = [0; HEADER as usize];
        read(&mut header, 0).map_err(failed)?;
        let mut trailer = [0; TRAILER];
        read(&mut trailer, trailer_at).map_err(failed)?;
        let format = u32_le(&header[8..]);
        if &header[..8] != HEAD {
            return Err(damaged("the file does not begin as a pack does"));
        }
        if format > FORMAT {
            return Err(Error::NewerFormat { what: path.display().to_string(), found: format, known: FORMAT });
        }
        if &trailer[48..] != END {
            return Err(damaged("the file does not end as a pack does: it was cut or overwritten"));
        }
        let (index_at, count) = (u64_le(&trailer), u64_le(&trailer[8..]));
        let room = trailer_at.checked_sub(index_at).filter(|_| index_at >= HEADER);
        if room.is_none() || room != count.checked_mul(ENTRY as u64) {
            return Err(damaged("the index is not where the file's end says"));
        }
        let mut index = vec![0; usize::try_from(trailer_at - index_at).map_err(|_| damaged("the index is too large"))?];
        read(&mut index, index_at).map_err(failed)?;
        if seal(&header, &index, &trailer[..16]) != trailer[16..48] {
            return Err(damaged("the index is not what was written"));
        }
        let entries = match format {
            1 | 2 => index.chunks_exact(ENTRY).map(|bytes| entry(bytes, index_at)).collect::<Option<_>>(),
            _ => None,
        };
        let entries = entries.ok_or_else(|| damaged("the index names chunks that cannot be"))?;
        Ok(Pack { path: path.to_owned(), entries })
    }
}

fn entry(bytes: &[u8], end: u64) -> Option<Entry> {
    let id = ChunkId(bytes[..32].try_into().ok()?);
    let (offset, stored, length) = (u64_le(&bytes[32..]), u32_le(&bytes[40..]), u32_le(&bytes[44..]));
    let encoding = Encoding::of(bytes[48])?;
    let inside = offset >= HEADER && offset.checked_add(u64::from(stored)).is_some_and(|to| to <= end);
    let plain = encoding.is_packed() || stored == length;
    (inside && plain && length as usize <= MAX_CHUNK).then_some(Entry { id, offset, stored, length, encoding })
}

fn seal(header: &[u8], index: &[u8], place: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(header).update(index).update(place).finalize().as_bytes()
}

/// Four bytes as a number. The slice must have them.
pub(crate) fn u32_le(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(four)
}

/// Eight bytes as a number. The slice must have them.
pub(crate) fn u64_le(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

/// A pack that is being written, under a temporary name. Dropped before it is published, it is removed.
#[derive(Debug)]
pub(crate) struct PackWriter {
    disk: Disk,
    directory: PathBuf,
    name: String,
    /// Made with the first chunk: a checkpoint in which nothing changed has no pack.
    file: Option<FileWriter>,
    gathered: Vec<u8>,
    /// Where the next byte goes, what is gathered included.
    at: u64,
    pub(crate) entries: Vec<Entry>,
    /// The most bytes that this pack may have, and the store's own bound, which that comes from.
    room: Option<(u64, u64)>,
}

impl PackWriter {
    /// Begins the pack `<name>.pack` in a directory.
    pub(crate) fn new(disk: &Disk, directory: &Path, name: &str, room: Option<(u64, u64)>) -> PackWriter {
        PackWriter {
            disk: disk.clone(),
            directory: directory.to_owned(),
            name: name.to_owned(),
            file: None,
            gathered: Vec::new(),
            at: 0,
            entries: Vec::new(),
            room,
        }
    }

    fn temporary(&self) -> PathBuf {
        self.directory.join(format!("{}.tmp", self.name))
    }

    /// How many bytes it has so far.
    pub(crate) fn size(&self) -> u64 {
        self.at
    }

    /// Adds one chunk.
    pub(crate) fn add(&mut self, id: ChunkId, length: u32, encoding: Encoding, stored: &[u8]) -> Result<()> {
        if encoding == Encoding::Mapped {
            return self.add_mapped(&[(id, length)], stored);
        }
        self.begin()?;
        let entry = Entry { id, offset: self.at, stored: small(stored.len()), length, encoding };
        self.append(stored)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Adds chunks that are to be mapped and follow each other in `bytes`. They are written in one go, and not copied.
    pub(crate) fn add_mapped(&mut self, chunks: &[(ChunkId, u32)], bytes: &[u8]) -> Result<()> {
        self.begin()?;
        let hole = self.at.next_multiple_of(PAGE) - self.at;
        self.append(&[0; PAGE as usize][..usize::try_from(hole).unwrap_or(0)])?;
        let mut offset = self.at;
        self.append(bytes)?;
        for (id, length) in chunks {
            let length = *length;
            self.entries.push(Entry { id: *id, offset, stored: length, length, encoding: Encoding::Mapped });
            offset += u64::from(length);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        if self.file.is_none() {
            let path = self.temporary();
            let file = self.disk.create(&path)?;
            self.file = Some(FileWriter::new(&self.disk, path, file));
            let header = header();
            self.append(&header)?;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at + bytes.len() as u64;
        if let Some((room, bound)) = self.room
            && end > room
        {
            return Err(Error::Full { why: format!("the store may take {bound} bytes, and would have more") });
        }
        let is_large = bytes.len() > GATHER / 4;
        if is_large || self.gathered.len() + bytes.len() > GATHER {
            self.write_gathered()?;
        }
        match &mut self.file {
            Some(file) if is_large => file.write(bytes)?,
            _ => self.gathered.extend_from_slice(bytes),
        }
        self.at = end;
        Ok(())
    }

    fn write_gathered(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }

    /// Completes the pack, makes it last, and gives it its name. Answers its size, 0 where no chunk was added and there is no pack.
    pub(crate) fn publish(mut self) -> Result<u64> {
        if self.file.is_none() {
            return Ok(0);
        }
        let mut index = Vec::with_capacity(self.entries.len() * ENTRY + TRAILER);
        for entry in &self.entries {
            index.extend_from_slice(&entry.id.0);
            index.extend_from_slice(&entry.offset.to_le_bytes());
            index.extend_from_slice(&entry.stored.to_le_bytes());
            index.extend_from_slice(&entry.length.to_le_bytes());
            index.push(entry.encoding as u8);
        }
        let mut place = [0; 16];
        place[..8].copy_from_slice(&self.at.to_le_bytes());
        place[8..].copy_from_slice(&(self.entries.len() as u64).to_le_bytes());
        let sealed = seal(&header(), &index, &place);
        index.extend_from_slice(&place);
        index.extend_from_slice(&sealed);
        index.extend_from_slice(END);
        self.append(&index)?;
        self.write_gathered()?;
        let temporary = self.temporary();
        if let Some(file) = &mut self.file {
            file.finish()?;
        }
        self.disk.rename(&temporary, &self.directory.join(format!("{}.pack", self.name)))?;
        self.disk.sync_directory(&self.directory)?;
        self.file = None;
        Ok(self.at)
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        if let Some(file) = &mut self.file {
            // Nothing can be told from here. What cannot be removed now is swept by the next start, as after a crash.
            file.abandon();
            let _ = self.disk.remove(&self.temporary());
            let _ = self.disk.remove(&self.directory.join(format!("{}.pack", self.name)));
        }
    }
}

fn header() -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(HEAD);
    header[8..].copy_from_slice(&FORMAT.to_le_bytes());
    header
}

/// The length of a chunk, which is never more than [`MAX_CHUNK`].
pub(crate) fn small(length: usize) -> u32 {
    u32::try_from(length).unwrap_or_else(|_| unreachable!("a chunk of {length} bytes"))
}
