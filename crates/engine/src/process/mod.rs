//! Descriptors, credentials and signals. Nothing else in the engine touches them.

mod pipe;
mod socket;

pub(crate) use pipe::{Chunk, Output, output_pipe, read_beside};
pub(crate) use socket::{
    FrameWriter, Peer, connect, connected_pair, is_closed, listen, peek, receive, receive_with_peer, send_blocking,
    send_now, send_raw, send_with_fds, stream,
};

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// Threads that are too many to stop each before it ends.
const MANY_THREADS: u64 = 16;

/// A process that the engine may signal: known by a pidfd that session init gave, or that was opened for the peer of the
/// process's own channel.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Takes hold of the process that wrote on a channel.
    pub(crate) fn open(peer: Peer) -> std::io::Result<Process> {
        let pidfd = rustix::process::pidfd_open(peer.pid, PidfdFlags::empty())?;
        Ok(Process { pid: peer.pid, pidfd })
    }

    /// Takes hold of the process that session init handed over.
    pub(crate) fn from_pidfd(pidfd: OwnedFd) -> std::io::Result<Process> {
        // Init's number for it may differ; the kernel tells ours. There is none when it has ended and is forgotten.
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
        let pid: Option<i32> = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
        // It is -1 for one that is gone.
        let pid = pid.filter(|pid| *pid > 0).and_then(Pid::from_raw);
        Ok(Process { pid: pid.ok_or_else(|| std::io::Error::from(Errno::SRCH))?, pidfd })
    }

    /// Another descriptor of it, to hand to session init.
    pub(crate) fn pidfd(&self) -> std::io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(crate) fn is_alive(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A pidfd becomes readable when its process has ended.
        !matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Waits until it has ended.
    pub(crate) async fn end(&self) {
        while self.is_alive() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// SIGINT to the process and the children that it waits for (its group), and SIGCONT in case it was stopped.
    pub(crate) fn interrupt(&self) {
        // The group's number is the pid of a process that is alive, so it cannot be another's by now.
        if !self.is_alive() {
            return;
        }
        if rustix::process::kill_process_group(self.pid, Signal::INT).is_err() {
            // It left its group.
            _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::INT);
        }
        _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::CONT);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::CONT);
    }

    /// From here on it does nothing more, until somebody ends it. One with many threads is ended at once: to stop them all takes as
    /// long.
    pub(crate) fn halt(&self) {
        let links = rustix::fs::stat(format!("/proc/{}/task", self.pid())).map_or(0, |folder| folder.st_nlink);
        let signal = if links > 2 + MANY_THREADS { Signal::KILL } else { Signal::STOP };
        _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// SIGKILL to the process and those of its group.
    pub(crate) fn kill_group(&self) {
        // As above.
        if self.is_alive() {
            _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
        self.kill();
    }

    /// SIGKILL to this one process.
    pub(crate) fn kill(&self) {
        _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_and_forgotten_cannot_be_taken_hold_of() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let again = pidfd.try_clone().unwrap();
        assert_eq!(Process::from_pidfd(again).unwrap().pid(), pid.as_raw_nonzero().get());
        child.wait().unwrap();
        let error = Process::from_pidfd(pidfd).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    }
}
