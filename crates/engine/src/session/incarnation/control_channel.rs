//! The engine's end of a worker's control channel: frames in their order, requests on their way.
//!
//! Where the session lingers, nothing may be lost with this process, nor happen twice (docs/design/adoption.md). A small
//! frame is peeked at, and read when what follows from it is written down; a large one is acknowledged then. Requests are
//! numbered. The channel of a supervisor that is gone is half-closed and read to its end; what is asked meanwhile waits for
//! the next one.

use crate::process::{FrameWriter, Peer, connected_pair, peek, receive_with_peer, stream};
use pyrepl3_protocol::frame::{Decoder, MAX_FRAME};
use pyrepl3_protocol::worker::{Event, LARGE_FRAME, MAX_WORKER_FRAME, Request, numbered};
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use tokio::net::UnixStream;

/// Bytes that a worker may leave unread. One request may be as large as a frame can be, and waits for the worker to
/// come to it; what is small must not pile up behind it without end.
const UNREAD: usize = MAX_FRAME + (16 << 20);
/// Bytes read at a time; where frames are peeked at, a small one whole.
const PIECE: usize = 16 << 10;
const WHOLE: usize = LARGE_FRAME + HEAD;
/// Bytes before a frame's JSON: its length.
const HEAD: usize = 4;

/// What came of an attempt to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Nothing,
    Bytes(usize),
    /// A frame comes that cannot be peeked at: that is to be written down before the next attempt, which begins to read it.
    Large,
}

/// The channel.
#[derive(Debug)]
pub(crate) struct ControlChannel {
    stream: UnixStream,
    decoder: Decoder,
    writer: FrameWriter,
    /// The number of the last frame that was taken.
    seq: u64,
    /// It has closed: nothing more will be said.
    pub(crate) closed: bool,
    /// Who wrote what was read last, as far as that was asked.
    pub(crate) peer: Option<Peer>,
    buffer: Box<[u8]>,
    continuity: Option<Continuity>,
}

/// What a channel has where the session lingers.
#[derive(Debug, Default)]
struct Continuity {
    /// The number of the last request.
    asked: u64,
    /// Bytes of the frame that was peeked at, to be read once it is written down.
    peeked: usize,
    /// Bytes of a large frame that are still to be read; after its end 0, until it is acknowledged.
    large: Option<usize>,
    /// Whether that frame was taken: the next byte begins another.
    taken: bool,
    renewal: Renewal,
    /// What was asked since the channel was half-closed.
    held_back: Vec<HeldBack>,
}

/// A request that waits for a channel.
#[derive(Debug)]
struct HeldBack {
    json: Vec<u8>,
    /// The mark of the process that is to be frozen.
    mark: Option<u64>,
    fds: Vec<OwnedFd>,
    /// The prompt that it answers, by the worker's number.
    answers: Option<u64>,
}

/// How far the worker is with a fresh channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Renewal {
    #[default]
    None,
    /// This one was another supervisor's, and is half-closed: what is still on it counts.
    LastWords,
    /// The same, but it may begin in the middle of a frame: what is on it comes again.
    Discarded,
}

impl ControlChannel {
    /// A channel, and the end of the worker. `lingers`: the session can outlive this process.
    pub(crate) fn new(lingers: bool) -> io::Result<(ControlChannel, OwnedFd)> {
        let (stream, theirs) = connected_pair()?;
        let continuity = lingers.then(Continuity::default);
        Ok((ControlChannel::on(stream, 0, continuity), theirs))
    }

    fn on(stream: UnixStream, seq: u64, continuity: Option<Continuity>) -> ControlChannel {
        ControlChannel {
            stream,
            decoder: Decoder::new(MAX_WORKER_FRAME),
            writer: FrameWriter::new(UNREAD),
            seq,
            closed: false,
            peer: None,
            buffer: vec![0; if continuity.is_some() { WHOLE } else { PIECE }].into(),
            continuity,
        }
    }

    /// The channel of a supervisor that is gone. Nothing can be asked on it any more. `asked`, `seq`: the last request and
    /// the last frame that were written down; `large`: whether a large frame was being read then.
    pub(crate) fn taken_over(channel: OwnedFd, asked: u64, seq: u64, large: bool) -> io::Result<ControlChannel> {
        let stream = stream(channel)?;
        rustix::net::shutdown(&stream, rustix::net::Shutdown::Write)?;
        let renewal = if large { Renewal::Discarded } else { Renewal::LastWords };
        Ok(ControlChannel::on(stream, seq, Some(Continuity { asked, renewal, ..Continuity::default() })))
    }

    /// The place of a channel that the worker has fetched and that has not come yet. The one before is read.
    pub(crate) fn none_yet(asked: u64, seq: u64) -> io::Result<ControlChannel> {
        let (ours, _) = connected_pair()?;
        let renewal = Renewal::LastWords;
        let mut none = ControlChannel::on(ours, seq, Some(Continuity { asked, renewal, ..Continuity::default() }));
        none.closed = true;
        Ok(none)
    }

    /// Another process is the worker from now on. Returns its end of the new channel, and the channel of the one before.
    pub(crate) fn begin_anew(&mut self) -> io::Result<(OwnedFd, ControlChannel)> {
        let (fresh, theirs) = ControlChannel::new(self.continuity.is_some())?;
        Ok((theirs, std::mem::replace(self, fresh)))
    }

    /// Sends a request with its descriptors, now or as soon as the worker reads. `mark`: of the process that is to be frozen.
    ///
    /// # Errors
    /// The channel is broken, or the worker has left too much unread.
    pub(crate) fn send(&mut self, request: &Request<'_>, mark: Option<u64>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        let Some(continuity) = &mut self.continuity else { return self.writer.send(&self.stream, &json, fds) };
        if continuity.renewal == Renewal::None {
            return self.send_numbered(&json, mark, fds);
        }
        // An interrupt names what its signal is for: too late it is of no use. Acknowledged is what comes again.
        if !matches!(request, Request::Interrupt { .. } | Request::Ack { .. }) {
            let waits: usize = continuity.held_back.iter().map(|held| held.json.len()).sum();
            if waits > UNREAD {
                return Err(io::Error::other("the process does not read what it is sent"));
            }
            let answers = if let Request::Answer { input, .. } = request { Some(*input) } else { None };
            continuity.held_back.push(HeldBack { json, mark, fds, answers });
        }
        Ok(())
    }

    fn send_numbered(&mut self, json: &[u8], mark: Option<u64>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let Some(continuity) = &mut self.continuity else { return Ok(()) };
        continuity.asked += 1;
        self.writer.send(&self.stream, &numbered(json, continuity.asked, mark), fds)
    }

    /// The number of the last request, those that wait for a fresh channel included.
    pub(crate) fn asked(&self) -> u64 {
        self.continuity.as_ref().map_or(0, |continuity| continuity.asked + continuity.held_back.len() as u64)
    }

    /// The number of the last request that was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.continuity.as_ref().map_or(0, |continuity| continuity.asked)
    }

    /// The number of the last frame that was taken.
    pub(crate) fn heard(&self) -> u64 {
        self.seq
    }

    /// Frames up to this one were taken from the channel before.
    pub(crate) fn has_heard(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
    }

    /// Whether a large frame has begun to be read, and was not taken: here, or by a supervisor before.
    pub(crate) fn is_in_pieces(&self) -> bool {
        let in_pieces = |one: &Continuity| one.large.is_some() && !one.taken || one.renewal == Renewal::Discarded;
        self.continuity.as_ref().is_some_and(in_pieces)
    }

    /// Whether this is the channel of a supervisor that is gone.
    pub(crate) fn awaits_renewal(&self) -> bool {
        self.continuity.as_ref().is_some_and(|continuity| continuity.renewal != Renewal::None)
    }

    /// The worker has fetched a fresh channel. `request`: the last that it knows. What waits is asked now.
    ///
    /// # Errors
    /// As [`ControlChannel::send`].
    pub(crate) fn renew(&mut self, fresh: OwnedFd, request: u64) -> io::Result<()> {
        let held_back = match &mut self.continuity {
            Some(continuity) => std::mem::take(&mut continuity.held_back),
            None => return Err(io::Error::other("a worker that does not linger has one channel")),
        };
        let continuity = Some(Continuity { asked: request, ..Continuity::default() });
        *self = ControlChannel::on(stream(fresh)?, self.seq, continuity);
        held_back.into_iter().try_for_each(|held| self.send_numbered(&held.json, held.mark, held.fds))
    }

    /// Answers that wait to be sent: the prompts, by the worker's numbers, and the requests as JSON.
    pub(crate) fn held_back_answers(&self) -> Vec<(u64, String)> {
        let held_back = self.continuity.iter().flat_map(|continuity| &continuity.held_back);
        held_back.filter_map(|held| Some((held.answers?, String::from_utf8(held.json.clone()).ok()?))).collect()
    }

    /// Answers that waited when the supervisor before ended wait again.
    pub(crate) fn hold_back(&mut self, answers: Vec<(u64, String)>) {
        if let Some(continuity) = &mut self.continuity {
            continuity.held_back.extend(answers.into_iter().map(|(input, json)| HeldBack {
                json: json.into_bytes(),
                mark: None,
                fds: Vec::new(),
                answers: Some(input),
            }));
        }
    }

    /// A duplicate of this end, for session init to keep.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// Whether [`ControlChannel::flush`] has something to do once the channel is writable.
    pub(crate) fn is_waiting(&self) -> bool {
        self.writer.is_waiting()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush(&self.stream)
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Frames are read from now on without asking who wrote them.
    pub(crate) fn trust_peer(&self) {
        _ = rustix::net::sockopt::set_socket_passcred(&self.stream, false);
    }

    /// Bytes that have come and were not read.
    pub(crate) fn held(&self) -> usize {
        rustix::io::ioctl_fionread(&self.stream).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Reads once without waiting. Notes the end of the channel. `awaited`: it was waited for. `ask_peer`: say who wrote.
    pub(crate) fn read(&mut self, awaited: bool, ask_peer: bool) -> Result<Read, String> {
        if self.closed {
            return Ok(Read::Nothing);
        }
        let Some(continuity) = &mut self.continuity else { return self.read_piece(PIECE, awaited, ask_peer) };
        match (continuity.renewal, continuity.large) {
            (Renewal::Discarded, _) => {
                let read = self.read_piece(PIECE, awaited, false);
                self.decoder = Decoder::new(MAX_WORKER_FRAME);
                read
            }
            (_, Some(left @ 1..)) => {
                let read = self.read_piece(left.min(PIECE), awaited, false)?;
                if let (Some(continuity), Read::Bytes(count)) = (&mut self.continuity, read) {
                    continuity.large = Some(left.saturating_sub(count));
                }
                Ok(read)
            }
            _ => self.look(awaited),
        }
    }

    fn read_piece(&mut self, size: usize, awaited: bool, ask_peer: bool) -> Result<Read, String> {
        let buffer = &mut self.buffer[..size];
        let count = if ask_peer || !awaited {
            match receive_with_peer(&self.stream, buffer, awaited) {
                None => return Ok(Read::Nothing),
                Some(Ok((count, peer))) => {
                    self.peer = peer;
                    count
                }
                Some(Err(error)) => return Err(error.to_string()),
            }
        } else {
            match self.stream.try_read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(error.to_string()),
            }
        };
        if count == 0 {
            self.closed = true;
            return Ok(Read::Nothing);
        }
        self.decoder.feed(&self.buffer[..count]);
        Ok(Read::Bytes(count))
    }

    /// Looks at the next frame, and leaves it where it is.
    fn look(&mut self, awaited: bool) -> Result<Read, String> {
        let size = |bytes: &[u8]| {
            let head = bytes.first_chunk::<HEAD>()?;
            usize::try_from(u32::from_be_bytes(*head)).ok()
        };
        let is_enough = |bytes: &[u8]| size(bytes).is_some_and(|size| size > LARGE_FRAME || bytes.len() >= HEAD + size);
        let (count, peer) = match peek(&self.stream, &mut self.buffer, awaited, is_enough) {
            None => return Ok(Read::Nothing),
            Some(Ok(seen)) => seen,
            Some(Err(error)) => return Err(error.to_string()),
        };
        self.peer = peer;
        let Some(continuity) = &mut self.continuity else { return Ok(Read::Nothing) };
        match size(&self.buffer[..count]) {
            Some(size) if size > LARGE_FRAME => {
                (continuity.large, continuity.taken) = (Some(HEAD + size), false);
                Ok(Read::Large)
            }
            Some(size) if count >= HEAD + size => {
                continuity.peeked = HEAD + size;
                self.decoder.feed(&self.buffer[..HEAD + size]);
                Ok(Read::Bytes(HEAD + size))
            }
            // At the end there may be the start of a frame whose rest does not come.
            _ => {
                self.closed = true;
                Ok(Read::Nothing)
            }
        }
    }

    /// The next frame that has come whole, its order checked. Where the session lingers [`ControlChannel::written_down`]
    /// comes after each.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, String> {
        loop {
            let Some(json) = self.decoder.next_frame().map_err(|error| error.to_string())? else { return Ok(None) };
            let (seq, event) = Event::from_json(json).map_err(|error| error.to_string())?;
            if self.continuity.is_some() && seq <= self.seq {
                // Said again, as nobody could know that it had been read.
                self.written_down().map_err(|error| error.to_string())?;
                continue;
            }
            if seq != self.seq + 1 {
                return Err(format!("frame {seq} came where frame {} was due", self.seq + 1));
            }
            self.seq = seq;
            if let Some(continuity) = &mut self.continuity {
                continuity.taken = true;
            }
            return Ok(Some(event));
        }
    }

    /// What follows from the last frame is written down: it need not come again.
    ///
    /// # Errors
    /// The channel is broken.
    pub(crate) fn written_down(&mut self) -> io::Result<()> {
        let Some(continuity) = &mut self.continuity else { return Ok(()) };
        if continuity.large.take_if(|left| *left == 0).is_some() {
            let seq = self.seq;
            return self.send(&Request::Ack { seq }, None, Vec::new());
        }
        let mut left = std::mem::take(&mut continuity.peeked);
        while left > 0 {
            match rustix::net::recv(&self.stream, &mut self.buffer[..left], rustix::net::RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => left -= count.min(left),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether frames wait to be taken.
    pub(crate) fn has_pending(&self) -> bool {
        self.decoder.pending() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream as Blocking;

    fn frame(seq: u64, size: usize) -> Vec<u8> {
        let text = format!(r#"{{"seq":{seq},"t":"refused","why":"{}"}}"#, "x".repeat(size));
        pyrepl3_protocol::frame::encode(text.as_bytes()).unwrap()
    }

    fn channel() -> (ControlChannel, Blocking) {
        let (channel, theirs) = ControlChannel::new(true).unwrap();
        (channel, Blocking::from(theirs))
    }

    /// Reads until a frame is there.
    async fn next(channel: &mut ControlChannel) -> Option<u64> {
        while !channel.closed {
            channel.readable().await.unwrap();
            channel.read(true, false).unwrap();
            if channel.next_event().unwrap().is_some() {
                return Some(channel.heard());
            }
        }
        None
    }

    #[tokio::test]
    async fn a_small_frame_stays_until_it_is_written_down_and_a_large_one_is_acknowledged() {
        let (mut channel, mut worker) = channel();
        worker.write_all(&[frame(1, 10), frame(2, 20)].concat()).unwrap();
        assert_eq!(next(&mut channel).await, Some(1));
        assert_eq!(channel.held(), frame(1, 10).len() + frame(2, 20).len(), "nothing was read");
        channel.written_down().unwrap();
        assert_eq!(channel.held(), frame(2, 20).len());
        assert_eq!(next(&mut channel).await, Some(2));
        channel.written_down().unwrap();
        let large = frame(3, 2 * LARGE_FRAME);
        let writing = std::thread::spawn(move || {
            worker.write_all(&large).unwrap();
            worker
        });
        while channel.read(false, false).unwrap() != Read::Large {
            tokio::task::yield_now().await;
        }
        assert!(channel.is_in_pieces());
        assert_eq!(next(&mut channel).await, Some(3));
        assert!(!channel.is_in_pieces(), "what comes next begins with a whole frame");
        channel.written_down().unwrap();
        let mut worker = writing.join().unwrap();
        let mut told = [0; 64];
        let count = io::Read::read(&mut worker, &mut told).unwrap();
        assert_eq!(&told[4..count], br#"{"n":1,"op":"ack","seq":3}"#);
    }

    #[tokio::test]
    async fn what_is_said_again_is_not_taken_again_and_what_was_asked_meanwhile_is_asked_then() {
        let (ours, theirs) = rustix_pair();
        let mut worker = Blocking::from(theirs);
        let mut channel = ControlChannel::taken_over(ours, 7, 2, false).unwrap();
        worker.write_all(&[frame(2, 0), frame(3, 0), frame(4, 0)[..9].to_vec()].concat()).unwrap();
        assert_eq!(next(&mut channel).await, Some(3));
        channel.written_down().unwrap();
        channel.send(&Request::Variables { id: 5 }, None, Vec::new()).unwrap();
        assert_eq!(channel.asked(), 8);
        drop(worker);
        // The start of a frame whose rest does not come is its end.
        assert_eq!(next(&mut channel).await, None);
        let (ours, theirs) = rustix_pair();
        let mut worker = Blocking::from(theirs);
        channel.renew(ours, 6).unwrap();
        worker.write_all(&[frame(3, 0), frame(4, 0)].concat()).unwrap();
        assert_eq!(next(&mut channel).await, Some(4));
        let mut told = [0; 64];
        let count = io::Read::read(&mut worker, &mut told).unwrap();
        assert_eq!(&told[4..count], br#"{"n":7,"op":"variables","id":5}"#);
    }

    #[tokio::test]
    async fn what_may_begin_in_the_middle_of_a_frame_is_thrown_away() {
        let (ours, theirs) = rustix_pair();
        let mut worker = Blocking::from(theirs);
        let mut channel = ControlChannel::taken_over(ours, 0, 2, true).unwrap();
        worker.write_all(&frame(3, 90_000)[1000..]).unwrap();
        drop(worker);
        assert_eq!(next(&mut channel).await, None);
    }

    fn rustix_pair() -> (OwnedFd, OwnedFd) {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }
}
