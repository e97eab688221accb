//! Taking over a session whose supervisor is gone.

use super::context::{Context, Setup};
use super::handle::Session;
use super::incarnation::InitLink;
use super::linger::{Lingering, remove};
use super::mailbox::{Attachment, Mailbox};
use super::note::{Note, NoteError};
use super::shared::Shared;
use super::task::{Inventory, SessionTask, spawn};
use crate::host::Host;
use crate::session::Origin;
use pyrepl3_protocol::worker::InitEvent;
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{INIT_SOCKET, Lease, kept_sessions, session_directory};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// How long session init may take to connect, and to hand over what it has.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it may take until the worker's last words are read again, where a prompt is among them.
const PROMPTS: Duration = Duration::from_secs(1);

/// Takes over a session.
pub(crate) async fn adopt(host: &Host, id: &str) -> Result<Session, Failure> {
    let origin = host.origin();
    let Some(linger) = origin.linger.clone() else {
        return Err(Failure::new(
            Code::BadRequest,
            "no session can be taken over by this engine",
            "its sessions do not outlive it, and it would not know how long they are to wait",
            "make the engine with `data` and `linger`",
        ));
    };
    let lease = take_lease(linger.data.clone(), id.to_owned()).await.map_err(|error| not_taken(id, &error))?;
    let mut init = match connect(lease.directory()).await {
        Ok(init) => init,
        Err(error) => {
            let why = error.to_string();
            remove_if_ended(lease).await;
            return Err(gone(id, &why));
        }
    };
    init.adopt(lease.epoch()).map_err(|error| gone(id, &error.to_string()))?;
    let handed_over = tokio::time::timeout(LIMIT, inventory(&mut init)).await;
    let why = match handed_over {
        Ok(Ok((note, inventory))) => return go_on(id, origin, lease, init, &note, inventory).await,
        Ok(Err(why)) => why,
        Err(_) => "session init did not hand it over in time".to_owned(),
    };
    drop(init);
    remove_if_ended(lease).await;
    Err(gone(id, &why))
}

/// Goes on with what session init has handed over.
async fn go_on(
    id: &str,
    origin: Origin,
    lease: Lease,
    mut init: InitLink,
    note: &str,
    inventory: Inventory,
) -> Result<Session, Failure> {
    let note = match Note::from_text(note) {
        Ok(note) if note.session == id => note,
        Ok(other) => return Err(gone(id, &format!("what is there calls itself {}", other.session))),
        Err(NoteError::Version(version)) => {
            return Err(Failure::new(
                Code::Unsupported,
                format!("session {id} cannot be taken over"),
                format!("what is known of it was written by another version ({version})"),
                "take it over with the version that has started it",
            ));
        }
        Err(error) => {
            end(&mut init).await;
            remove(lease).await;
            let why = match error {
                NoteError::NotBegun => "its supervisor died before it had begun".to_owned(),
                NoteError::TooLarge => "more was to be known of it than can be kept".to_owned(),
                NoteError::Damaged(why) => format!("what is known of it makes no sense: {why}"),
                NoteError::Version(_) => String::new(),
            };
            return Err(gone(id, &format!("{why}; so it was ended")));
        }
    };
    begin(origin, init, note, inventory, Lingering::with(lease)).await
}

async fn begin(
    origin: Origin,
    init: InitLink,
    note: Note,
    inventory: Inventory,
    lingering: Lingering,
) -> Result<Session, Failure> {
    let setup = Setup { options: note.options.clone(), mode: note.mode.clone(), stdin: None };
    let store = origin.checkpoint_store.clone();
    let journal = origin.open_journal(&note.session, Some(note.told.clone().unwrap_or_default())).await;
    let journal = journal.map_err(|error| gone(&note.session, &format!("its journal cannot be opened: {error}")))?;
    let (options, lineage) = (note.options.clone(), note.lineage.clone());
    let shared = Shared::new(note.session.clone(), options, lineage, store, note.events, journal);
    if let Some(python) = note.python.clone() {
        shared.set_python(python);
    }
    let (mailbox, inbox) = Mailbox::new(shared.clone());
    origin.registry.insert(&mailbox)?;
    let (registry, id, claimed) = (origin.registry.clone(), note.session.clone(), note.family.claimed);
    let gone_events = match shared.log.is_journalled() {
        true => "",
        false => ". Messages that it had read and nobody had got are gone; the session's own state is as it was",
    };
    shared.warn(format!("The supervisor of this session has ended, and another one goes on{gone_events}"));
    let log = shared.log.clone();
    let attachment = Attachment::new(mailbox);
    match SessionTask::take_over(Context { setup, origin, shared }, init, note, inventory, lingering, inbox) {
        Ok(task) => spawn(task, None),
        Err(error) => {
            registry.remove(&id);
            return Err(gone(&id, &error.to_string()));
        }
    }
    let session = Session::new(attachment);
    if claimed {
        // What the worker said last is read at once, as a rule: then a prompt that was told can be answered.
        let began = std::time::Instant::now();
        while log.awaits_prompt(None) && began.elapsed() < PROMPTS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        return Ok(session);
    }
    session.shutdown().await;
    Err(gone(&id, "it was a branch that was being made when its supervisor died; so it was ended"))
}

/// Whether a session is there that nobody has. What is left of one that has ended is removed.
pub(crate) async fn is_orphan(data: &Path, id: &str) -> bool {
    let (place, session) = (data.to_owned(), id.to_owned());
    let looked =
        tokio::task::spawn_blocking(move || (Lease::is_free(&place, &session), session_directory(&place, &session)));
    let Ok((Ok(is_free), Ok(directory))) = looked.await else {
        // One without a lease was left empty: that removes it.
        _ = take_lease(data.to_owned(), id.to_owned()).await;
        return false;
    };
    if !is_free {
        return false;
    }
    if !is_refused(&connect(&directory).await) {
        return true;
    }
    match take_lease(data.to_owned(), id.to_owned()).await {
        Ok(lease) => !remove_if_ended(lease).await,
        Err(_) => false,
    }
}

/// Ends processes that stood ready for sessions, and whose engine is gone. `place`: where they are.
pub(crate) async fn end_spares(place: &Path) {
    let (data, listing) = (place.to_owned(), place.to_owned());
    let found = tokio::task::spawn_blocking(move || kept_sessions(&listing));
    for id in found.await.ok().and_then(Result::ok).unwrap_or_default() {
        // Where another engine has it, it is that one's.
        let Ok(lease) = take_lease(data.clone(), id).await else { continue };
        if let Ok(mut init) = connect(lease.directory()).await
            && init.adopt(lease.epoch()).is_ok()
            && tokio::time::timeout(LIMIT, inventory(&mut init)).await.is_ok()
        {
            end(&mut init).await;
        }
        remove_if_ended(lease).await;
    }
}

/// Whether nobody listens any more.
fn is_refused(connected: &io::Result<InitLink>) -> bool {
    let nobody = |error: &io::Error| matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound);
    connected.as_ref().is_err_and(nobody)
}

/// Removes what is left of a session where nobody listens any more. Whether that is so.
async fn remove_if_ended(lease: Lease) -> bool {
    let has_ended = is_refused(&connect(lease.directory()).await);
    if has_ended {
        remove(lease).await;
    }
    has_ended
}

async fn take_lease(data: std::path::PathBuf, id: String) -> io::Result<Lease> {
    tokio::task::spawn_blocking(move || Lease::take_over(&data, &id)).await.map_err(io::Error::other)?
}

async fn connect(directory: &Path) -> io::Result<InitLink> {
    let socket = directory.join(INIT_SOCKET);
    let connected = tokio::time::timeout(LIMIT, InitLink::connect(&socket)).await;
    connected.map_err(|_| io::Error::new(ErrorKind::TimedOut, "session init does not answer"))?
}

/// What session init says first, and what it has.
async fn inventory(init: &mut InitLink) -> Result<(String, Inventory), String> {
    let (mut note, mut inventory, mut left) = (None, Inventory::default(), 0);
    while let Some((event, fds)) = init.said().await {
        match event {
            InitEvent::Refused { why, .. } => return Err(why),
            InitEvent::Adopted { worker, note: text, held, frozen, channels, exit, .. } => {
                left = held.len() + frozen.len() + channels as usize;
                (inventory.worker, inventory.exit) = (worker, exit);
                note = Some(text);
            }
            InitEvent::Held { name, kept, .. } => {
                left = left.saturating_sub(1);
                inventory.held.extend(fds.into_iter().next().map(|fd| (name, (fd, kept))));
            }
            event => {
                if matches!(event, InitEvent::Frozen { .. } | InitEvent::Channel(_)) {
                    left = left.saturating_sub(1);
                }
                inventory.events.push((event, fds));
            }
        }
        if let Some(text) = note.take_if(|_| left == 0) {
            return Ok((text, inventory));
        }
    }
    Err("session init has ended".to_owned())
}

/// Ends what nobody can go on with.
async fn end(init: &mut InitLink) {
    _ = init.end();
    _ = tokio::time::timeout(LIMIT, async { while init.said().await.is_some() {} }).await;
}

fn not_taken(id: &str, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock => Failure::new(
            Code::Busy,
            format!("session {id} cannot be taken over"),
            "another engine has it",
            "ask that one, or end it first",
        ),
        ErrorKind::NotFound => gone(id, "there is none of this id"),
        ErrorKind::InvalidInput => Failure::new(Code::BadRequest, "no session can have this id", error.to_string(), ""),
        _ => gone(id, &error.to_string()),
    }
}

fn gone(id: &str, why: &str) -> Failure {
    Failure::new(
        Code::SessionClosed,
        format!("session {id} could not be taken over"),
        why,
        "start another session; a checkpoint may have its state",
    )
}
