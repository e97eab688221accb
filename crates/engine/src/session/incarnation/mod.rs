//! One worker of a session after another: the channels to it, and where it is between its fork and its end. `stage`
//! decides, and is pure; `worker_link`, with its `control_channel`, and `init_link` speak to the processes.

mod control_channel;
mod init_link;
mod stage;
mod worker_link;

pub(crate) use control_channel::{ControlChannel, Read};
pub(crate) use init_link::InitLink;
pub(crate) use stage::{Incarnation, Seen, Step};
pub(crate) use worker_link::{CONTROL, CONTROL_BEFORE, FIRST_WORKER, STDERR, STDOUT, WorkerFds, WorkerLink};
