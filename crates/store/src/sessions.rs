//! The newest checkpoint of a session's name, found without reading every manifest.
//!
//! What manifests say is remembered in `<data>/checkpoints/sessions`, a line for each checkpoint:
//!
//! ```text
//! ckp_…   16 hexadecimal digits: the beginning of the BLAKE3 of the id and the name   the name as JSON, or null   \n
//! ```
//!
//! The file is a memory and never the truth: it may be missing, old, or cut, and two processes may add to it at once. A line whose digits do not fit is passed
//! over; a checkpoint without a line is looked into, and gets one; the manifest that is answered was read. So nothing is synced here, and a failure to write is none.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Result;
use crate::id::CheckpointId;
use crate::manifest::Manifest;
use crate::rights::{FILE_MODE, own};
use crate::store::Store;

/// The most that is read of the file: some 100 bytes for each of more checkpoints than one directory is good for.
const LARGEST: u64 = 64 << 20;
/// So many lines of checkpoints that are deleted stay, beside one for each that is there.
const STALE: usize = 256;

/// A checkpoint, and the session's name in it; `None` where no session resumes from it by itself.
pub(crate) type Known = HashMap<CheckpointId, Option<String>>;

impl Manifest {
    /// Whether it came from an exported file.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.origin.is_some()
    }

    /// The name of the session, by which it is found when a session of that name is started again. `None` for a session without one, and for a checkpoint that
    /// was imported: it came from somebody else, and whoever wants it asks for it.
    #[must_use]
    pub fn resumed_by(&self) -> Option<String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Session {
            session_name: Option<String>,
        }
        #[derive(Deserialize)]
        struct Outer {
            #[serde(default)]
            session: Session,
        }
        let read = serde_json::from_str::<Outer>(self.body.get());
        read.ok().filter(|_| !self.is_imported()).and_then(|outer| outer.session.session_name)
    }
}

impl Store {
    /// The newest checkpoint that a session of this name would go on from. Imported ones are none.
    ///
    /// Reads one manifest, where the others were looked into before.
    ///
    /// # Errors
    /// [`crate::Error::Unreadable`] where the directory cannot be read. Damaged checkpoints are passed over.
    pub fn newest_of_session(&self, name: &str) -> Result<Option<Manifest>> {
        let (known, all) = (self.known_sessions(), self.everything(None)?);
        let (mut learned, mut newest) = (Known::new(), None);
        for (lineage, id) in &all {
            let remembered = known.get(id);
            if remembered.is_some_and(|session| session.as_deref() != Some(name)) {
                continue;
            }
            // One that is damaged, or was deleted since, has no name.
            let Ok(Some(manifest)) = lineage.read(self.disk(), id) else { continue };
            let session = manifest.resumed_by();
            let found = session.as_deref() == Some(name);
            if remembered.is_none_or(|known| *known != session) {
                learned.insert(id.clone(), session);
            }
            if found {
                newest = Some(manifest);
                break;
            }
        }
        if known.len() > 2 * all.len() + STALE {
            let there = all.into_iter().filter_map(|(_, id)| known.get(&id).map(|name| (id, name.clone())));
            self.replace_sessions(&there.chain(learned).collect());
        } else {
            self.add_sessions(&learned);
        }
        Ok(newest)
    }

    /// Remembers what a checkpoint that was just completed says.
    pub(crate) fn remember_session(&self, manifest: &Manifest) {
        self.add_sessions(&Known::from([(manifest.id.clone(), manifest.resumed_by())]));
    }

    /// No checkpoint is there any more.
    pub(crate) fn forget_sessions(&self) {
        _ = fs::remove_file(self.sessions());
    }

    fn sessions(&self) -> PathBuf {
        self.directory().join("sessions")
    }

    fn known_sessions(&self) -> Known {
        let mut bytes = Vec::new();
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(self.sessions()) {
            _ = file.take(LARGEST).read_to_end(&mut bytes);
        }
        decode(&bytes)
    }

    fn add_sessions(&self, learned: &Known) {
        if learned.is_empty() {
            return;
        }
        let open = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(self.sessions());
        // In one piece, as others may be adding at the same time.
        _ = open.and_then(|mut file| own(&file).and_then(|()| file.write_all(&encode(learned))));
    }

    /// What others add meanwhile is lost by it, and looked into again.
    fn replace_sessions(&self, known: &Known) {
        let passing = self.directory().join(format!("sessions.{}.tmp", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(FILE_MODE).open(&passing)?;
            own(&file)?;
            file.write_all(&encode(known))?;
            fs::rename(&passing, self.sessions())
        };
        if write().is_err() {
            _ = fs::remove_file(&passing);
        }
    }
}

fn encode(known: &Known) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, name) in known {
        let name = serde_json::json!(name).to_string();
        bytes.extend_from_slice(format!("{id} {} {name}\n", digits(id.as_str(), &name)).as_bytes());
    }
    bytes
}

/// Reads the file. Whatever is no whole line says nothing; of two lines for a checkpoint the later one counts.
pub(crate) fn decode(bytes: &[u8]) -> Known {
    let mut known = Known::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut fields = line.splitn(3, ' ');
        let (Some(id), Some(sum), Some(name)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if sum != digits(id, name) {
            continue;
        }
        if let (Ok(id), Ok(name)) = (CheckpointId::parse(id), serde_json::from_str(name)) {
            known.insert(id, name);
        }
    }
    known
}

fn digits(id: &str, name: &str) -> String {
    blake3::Hasher::new().update(id.as_bytes()).update(b" ").update(name.as_bytes()).finalize().to_hex()[..16]
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> CheckpointId {
        CheckpointId::parse(&format!("ckp_{}", digit.to_string().repeat(32))).unwrap()
    }

    #[test]
    fn what_is_no_whole_line_says_nothing_and_costs_no_other() {
        let known = Known::from([(id('a'), Some("a \"b\" c".into())), (id('b'), None), (id('c'), Some("d".into()))]);
        let bytes = encode(&known);
        assert_eq!(decode(&bytes), known);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let read = decode(&flipped);
            assert!(!read.is_empty() && read.iter().all(|(id, name)| known.get(id) == Some(name)), "{at}");
            // A line that was cut, with the next one behind it.
            let read = decode(&[&bytes[..at], &bytes[..]].concat());
            assert!(!read.is_empty() && read.iter().all(|(id, name)| known.get(id) == Some(name)), "{at}");
        }
    }
}
