//! What comes through the worker's pipes.

use super::state::SessionTask;
use crate::clock::Time;
use crate::messages;
use crate::process::Chunk;
use crate::session::life::Phase;
use pyrepl3_protocol::message::{Message, Stream};
use rustix::fd::BorrowedFd;
use std::time::Duration;

/// After a small piece of output, how long to wait for more before reading again. The first piece is told at once, and
/// so is everything before a frame; a program that prints line by line costs one message a pause, not one a line.
const PACE: Duration = Duration::from_micros(500);
/// The most that a supervisor takes out of a pipe before it tells it, and more.
const UNTOLD: u64 = 64 << 20;
/// A piece of output above this is no trickle: the pipe fills faster than a pause lasts.
const TRICKLE: usize = 16 << 10;

fn stream(stdout: bool) -> Stream {
    if stdout { Stream::Stdout } else { Stream::Stderr }
}

impl SessionTask {
    /// Whether what the worker says and writes is to be read now: not while whoever reads it here is behind, but always
    /// while what runs is being stopped.
    pub(super) fn is_listening(&self) -> bool {
        if self.machine.is_stopping() || self.machine.phase() == Phase::Closing || self.incarnation.is_waking() {
            return true;
        }
        !self.log().is_full(self.running().map(|execution| execution.id.as_str()))
    }

    pub(super) fn read_output(&mut self, stdout: bool) {
        let (log, stream) = (self.log().clone(), stream(stdout));
        if let Some(chunk) = self.pipe(stdout).read(|pipe, limit, into| log.take_output(pipe, stream, limit, into)) {
            if chunk.text.len() < TRICKLE {
                self.pace = Some(Time::now().after(PACE));
                self.worker.stdout.unwatch();
                self.worker.stderr.unwatch();
            }
            self.tell_output(stdout, chunk, true);
        }
    }

    /// Takes out of both pipes exactly what they hold.
    pub(super) fn drain(&mut self) {
        self.drain_to(true);
    }

    /// What was written until now belongs to the session, not to what starts.
    pub(super) fn drain_as_session(&mut self) {
        self.drain_to(false);
    }

    fn drain_to(&mut self, running: bool) {
        for stdout in [true, false] {
            let (log, stream) = (self.log().clone(), stream(stdout));
            let mut chunks = Vec::new();
            let take = |pipe: BorrowedFd<'_>, limit, into: &mut Vec<u8>| log.take_output(pipe, stream, limit, into);
            self.pipe(stdout).drain(take, |chunk| chunks.push(chunk));
            for chunk in chunks {
                self.tell_output(stdout, chunk, running);
            }
        }
    }

    /// What another supervisor has taken out of the pipes and not told.
    pub(super) fn tell_untold_output(&mut self) {
        for stdout in [true, false] {
            match self.log().untold_output(stream(stdout), UNTOLD) {
                None => {}
                Some(Ok(taken)) => {
                    if let Some(chunk) = self.pipe(stdout).resume(taken) {
                        self.tell_output(stdout, chunk, true);
                    }
                }
                Some(Err(error)) => self.warn_session(format!(
                    "output that the supervisor before had taken, and not told, cannot be read: {error}"
                )),
            }
        }
    }

    /// What is left of a character that was never finished belongs to the execution that ends.
    pub(super) fn finish_output(&mut self) {
        for stdout in [true, false] {
            if let Some(chunk) = self.pipe(stdout).finish() {
                self.tell_output(stdout, chunk, true);
            }
        }
    }

    fn pipe(&mut self, stdout: bool) -> &mut crate::process::Output {
        if stdout { &mut self.worker.stdout } else { &mut self.worker.stderr }
    }

    fn tell_output(&self, stdout: bool, chunk: Chunk, running: bool) {
        let stream = stream(stdout);
        let message = Message::OutputMessage(messages::output(stream, chunk.text, chunk.bytes));
        if running { self.tell_running(message) } else { self.tell_session(message) }
    }
}
