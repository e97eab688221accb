//! The engine for a program that embeds it: the wire protocol of `docs/protocol.md` over stdio, or over connections that
//! the program hands to it one by one.

mod checkpoints;
mod connection;
mod flow;
mod held;
mod peer;
mod pools;
mod sessions;

use crate::args::{Common, EngineArgs};
use crate::{exit, message};
use connection::serve;
use pyrepl3_engine::Engine;
use rustix::fd::AsFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Serves until the program that embeds the engine is gone.
pub(crate) async fn main(common: &Common, args: &EngineArgs) -> u8 {
    let engine = crate::start::engine(common);
    // Ctrl-C at a terminal reaches this process too; what to do about it is the embedding program's business.
    let interrupts = signal(SignalKind::interrupt());
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return exit::ENVIRONMENT };
    let served = async {
        if args.handoff {
            handoff(&engine).await
        } else {
            serve(engine.clone(), tokio::io::stdin(), tokio::io::stdout()).await;
            Ok(())
        }
    };
    let code = tokio::select! {
        served = served => match served {
            Ok(()) => 0,
            Err(error) => {
                message::error("the engine could not take connections", &error.to_string(), "standard input must be a Unix stream socket with --handoff");
                exit::ENVIRONMENT
            }
        },
        _ = terminate.recv() => 0,
    };
    engine.shutdown().await;
    drop(interrupts);
    code
}

/// Takes connections: each is one byte with one descriptor.
async fn handoff(engine: &Engine) -> io::Result<()> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = UnixStream::from_std(socket)?;
    let mut connections = JoinSet::new();
    loop {
        // What has ended is let go of.
        while connections.try_join_next().is_some() {}
        socket.readable().await?;
        let received = socket.try_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0; 1];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let message = rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
            let mut fds = Vec::new();
            for ancillary in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = ancillary {
                    fds.extend(received);
                }
            }
            Ok((message.bytes, fds))
        });
        match received {
            Ok((0, _)) => break,
            Ok((_, fds)) => {
                for fd in fds {
                    let stream = std::os::unix::net::UnixStream::from(fd);
                    stream.set_nonblocking(true)?;
                    let (reader, writer) = UnixStream::from_std(stream)?.into_split();
                    connections.spawn(serve(engine.clone(), reader, writer));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    // The embedding program is gone, or done: what it started goes too.
    connections.shutdown().await;
    Ok(())
}
