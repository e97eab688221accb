//! Getting the chunks of one blob from the packs.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use crate::codec::{ChunkDecoder, ChunkError};
use crate::disk::Disk;
use crate::id::ChunkId;
use crate::lineage::Index;
use crate::manifest::{Manifest, Part, segment};
use crate::pack::Entry;
use crate::{Error, Result};

/// Below so many bytes, threads take longer to start than the work takes.
const WORTH_THREADS: usize = 1 << 20;
/// The most threads that work for one reader.
const THREADS: usize = 4;
/// How many names errors list before they count.
const LISTED: usize = 12;

/// Reads chunks, and knows in whose name, so that errors can say what is lost by it and what is not. The lineage must be locked while it is used.
#[derive(Debug)]
pub(crate) struct Source {
    disk: Disk,
    pub(crate) index: Arc<Index>,
    pub(crate) manifest: Arc<Manifest>,
    blob: u32,
    files: HashMap<u32, Arc<File>>,
    /// One for each thread that has worked for this reader; making one costs more than a chunk.
    decoders: Vec<ChunkDecoder>,
}

impl Source {
    pub(crate) fn new(disk: &Disk, index: &Arc<Index>, manifest: Arc<Manifest>, blob: u32) -> Source {
        Source {
            disk: disk.clone(),
            index: Arc::clone(index),
            manifest,
            blob,
            files: HashMap::new(),
            decoders: Vec::new(),
        }
    }

    /// Where a chunk is, and the file to read it from.
    pub(crate) fn find(&mut self, id: ChunkId) -> Result<(Arc<File>, Entry)> {
        let index = Arc::clone(&self.index);
        let Some((pack, entry)) = index.find(id) else { return Err(self.missing()) };
        Ok((self.file(pack)?, *entry))
    }

    pub(crate) fn file(&mut self, pack: u32) -> Result<Arc<File>> {
        if let Some(file) = self.files.get(&pack) {
            return Ok(Arc::clone(file));
        }
        let file = match self.disk.open(self.index.path(pack)) {
            Ok(file) => Arc::new(file),
            Err(error) => return Err(self.damaged(&error.to_string())),
        };
        self.files.insert(pack, Arc::clone(&file));
        Ok(file)
    }

    /// Reads a segment's list of chunks.
    pub(crate) fn segment(&mut self, part: Part) -> Result<Vec<Part>> {
        let (file, entry) = self.find(part.id)?;
        let mut bytes = vec![0; entry.length as usize];
        let fetched = self.decoder()?.fetch(&file, &entry, &mut bytes);
        fetched.map_err(|unfit| self.unfit(unfit))?;
        let chunks = segment::read(&bytes, part.length);
        chunks.ok_or_else(|| self.damaged("a list of chunks does not make sense"))
    }

    /// Reads chunks that follow each other in the blob. With many bytes, several threads unpack and check.
    pub(crate) fn chunks(&mut self, parts: &[Part], out: &mut Vec<u8>) -> Result<()> {
        let whole = parts.iter().map(|part| usize::try_from(part.length).unwrap_or(0)).sum();
        out.resize(whole, 0);
        let mut jobs = Vec::with_capacity(parts.len());
        let mut rest = &mut out[..];
        for part in parts {
            let (chunk, behind) = rest.split_at_mut(usize::try_from(part.length).unwrap_or(0));
            rest = behind;
            if part.id == ChunkId::ZEROS {
                chunk.fill(0);
            } else {
                let (file, entry) = self.find(part.id)?;
                jobs.push((file, entry, chunk));
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let threads = if whole < WORTH_THREADS || jobs.len() < threads { 1 } else { threads };
        while self.decoders.len() < threads {
            let decoder = self.decoder()?;
            self.decoders.push(decoder);
        }
        let mut decoders = std::mem::take(&mut self.decoders);
        let done = fetch(&mut jobs, &mut decoders[..threads]);
        self.decoders = decoders;
        done.map_err(|unfit| self.unfit(unfit))
    }

    fn decoder(&self) -> Result<ChunkDecoder> {
        ChunkDecoder::new().map_err(|error| self.damaged(&format!("reading it could not be set up: {error}")))
    }

    fn unfit(&self, unfit: ChunkError) -> Error {
        match unfit {
            ChunkError::Io(error) => self.damaged(&format!("a pack cannot be read: {error}")),
            ChunkError::Damaged(what) => self.damaged(what),
        }
    }

    /// A chunk is in no pack.
    pub(crate) fn missing(&self) -> Error {
        let what = format!("some of its bytes are nowhere, as {}", self.index.why_missing());
        self.told(&what, "Others may need the same file: verify the checkpoint to see what is whole of")
    }

    /// Says what is damaged, whose it is, and what is not.
    pub(crate) fn damaged(&self, what: &str) -> Error {
        self.told(what, "This does not touch")
    }

    fn told(&self, what: &str, of_others: &str) -> Error {
        let (bad, good) = self.manifest.names_by(&[self.blob]);
        let size = self.manifest.blob(self.blob).map_or(0, |(_, size)| size);
        let of = if bad.is_empty() { String::new() } else { format!(", with {}", listed(&bad)) };
        Error::Damaged {
            checkpoint: format!("checkpoint {}", self.manifest.id),
            what: format!("{what} (blob {}, {size} bytes{of})", self.blob),
            still_good: if good.is_empty() {
                "Nothing else is in it; earlier checkpoints may be whole".into()
            } else {
                format!("{of_others} {}", listed(&good))
            },
        }
    }
}

/// Does all jobs, with a thread for each decoder.
fn fetch(
    jobs: &mut [(Arc<File>, Entry, &mut [u8])],
    decoders: &mut [ChunkDecoder],
) -> std::result::Result<(), ChunkError> {
    let queue = Mutex::new(jobs.iter_mut());
    // One after the other, as cores that are shared do not all run at one speed.
    let take = |decoder: &mut ChunkDecoder| {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((file, entry, out)) = job else { return Ok(()) };
            decoder.fetch(file, entry, out)?;
        }
    };
    let Some((own, others)) = decoders.split_first_mut() else { return Ok(()) };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = others.iter_mut().map(|decoder| scope.spawn(|| take(decoder))).collect();
        let done = take(own);
        let ended = helpers.into_iter().map(|helper| {
            let panicked = || ChunkError::Io(std::io::Error::other("a thread that reads has panicked"));
            helper.join().unwrap_or_else(|_| Err(panicked()))
        });
        // All are waited for, also where one failed.
        ended.fold(done, std::result::Result::and)
    })
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{shown} and {} more names", names.len() - LISTED) } else { shown }
}
