//! One worker of a session after another: the channels to it, and where it is between its fork and its end. `stage`
//! decides, and is pure; `worker_link` and `init_link` speak to the processes.

mod init_link;
mod stage;
mod worker_link;

pub(crate) use init_link::InitLink;
pub(crate) use stage::{Incarnation, Seen, Step};
pub(crate) use worker_link::{FIRST_WORKER, WorkerFds, WorkerLink};
