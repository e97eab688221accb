//! Which server has a data directory: one at a time.
//!
//! ```text
//! <data>/serve/server    {"pid", "started", "url"} of the server that has it, which holds a lock (`flock`) on the file
//! ```
//!
//! The lock ends with its process, however that ends. Another server can ask for the directory: it sends a signal, at which the one that has it leaves its
//! sessions to the next, and ends.

use pyrepl3_engine::{Code, Failure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The signal by which a server is asked to leave its sessions, and the directory, to the next one.
pub const HAND_OVER: i32 = 12;
/// How long the one that is asked may take: it writes down what the next one needs of each session.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// How long others may look at who has it, one after the other.
const LOOKS: Duration = Duration::from_millis(500);
const LARGEST: u64 = 64 << 10;

/// The right to serve a data directory.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Holder {
    pid: i32,
    /// When the process was started, in the clock ticks of `/proc`: another one may have its number by now.
    started: u64,
    url: String,
}

impl Claim {
    /// Takes the directory. `takeover`: from the server that has it, if one has.
    ///
    /// # Errors
    /// `busy` where another server has it, and is not to be replaced or does not go; the file system's.
    pub(crate) async fn take(data: &Path, takeover: bool) -> Result<Claim, Failure> {
        let folder = data.join("serve");
        let path = folder.join("server");
        let failed = |error: io::Error| Failure::os(format!("{} cannot be used", path.display()), &error);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut file = options.open(&path).map_err(failed)?;
        let began = Instant::now();
        let mut asked = None;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let claim = Claim { file, path };
                    claim.tell("")?;
                    return Ok(claim);
                }
                Err(error) if error == rustix::io::Errno::WOULDBLOCK => {}
                Err(error) => return Err(failed(error.into())),
            }
            let holder = read(&mut file);
            if !takeover {
                // It may be going just now.
                if began.elapsed() > LOOKS {
                    return Err(has_it(&holder));
                }
            } else if asked != Some(holder.pid) {
                ask(&mut file, &holder)?;
                asked = Some(holder.pid);
            } else if began.elapsed() > PATIENCE {
                return Err(Failure::new(
                    Code::Busy,
                    format!("the server of process {} was not replaced", holder.pid),
                    format!("it was asked to leave, and did not within {} s", PATIENCE.as_secs()),
                    "see what it does; where it does not answer any more, kill it: its sessions wait for the next one",
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says where the server is.
    pub(crate) fn tell(&self, url: &str) -> Result<(), Failure> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let holder = Holder { pid, started: started(pid).unwrap_or(0), url: url.to_owned() };
        let told = serde_json::to_vec(&holder).map_err(io::Error::from).and_then(|json| {
            self.file.set_len(0)?;
            self.file.write_all_at(&json, 0)
        });
        told.map_err(|error| Failure::os(format!("{} cannot be written", self.path.display()), &error))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        _ = self.file.set_len(0);
        // To close the file is not enough where another thread forks just now. Closing follows, so an error changes nothing.
        _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn read(file: &mut File) -> Holder {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(LARGEST).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Asks a server to go. The process is held by a descriptor before it is looked once more whether it is the one that has the directory.
fn ask(file: &mut File, holder: &Holder) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let how = "where it runs as another user, let that user replace it";
        Failure::new(
            Code::Busy,
            format!("the server of process {} could not be asked to leave", holder.pid),
            error.to_string(),
            how,
        )
    };
    // None is told while one begins or ends.
    let Some(pid) = Some(holder.pid).filter(|pid| *pid > 1).and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(error) if error == rustix::io::Errno::SRCH => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    };
    let free = flock(&*file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if free {
        flock(&*file, FlockOperation::Unlock).map_err(|error| failed(error.into()))?;
        return Ok(());
    }
    // The descriptor is of the process that has this number now.
    if read(file).pid != holder.pid || started(holder.pid) != Some(holder.started) {
        return Ok(());
    }
    match pidfd_send_signal(process, Signal::USR2) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(failed(error.into())),
        _ => Ok(()),
    }
}

/// When a process was started: field 22 of its `stat`, behind the name, which may hold anything.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn has_it(holder: &Holder) -> Failure {
    let whose = match (holder.pid, holder.url.as_str()) {
        (0, _) => "another process".to_owned(),
        (pid, "") => format!("process {pid}"),
        (pid, url) => format!("process {pid}, at {url}"),
    };
    Failure::new(
        Code::Busy,
        "a server has this data directory already",
        format!("it is that of {whose}"),
        "use that one; or replace it with --takeover, which leaves its sessions as they are; or name another directory with --data",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_server_has_it_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let first = Claim::take(data.path(), false).await.unwrap();
        first.tell("http://127.0.0.1:1").unwrap();
        let refused = Claim::take(data.path(), false).await.unwrap_err();
        assert_eq!(refused.code, Code::Busy);
        assert!(refused.why.contains("http://127.0.0.1:1"), "{}", refused.why);
        drop(first);
        // What it told is there still, and says nothing any more.
        drop(Claim::take(data.path(), true).await.unwrap());
    }

    #[tokio::test]
    async fn what_stands_in_the_file_is_not_believed() {
        for text in ["", "{}", "{\"pid\": 1}", "{\"pid\": -5}", "no json", "{\"pid\": 2147483647}"] {
            let data = tempfile::tempdir().unwrap();
            std::fs::create_dir(data.path().join("serve")).unwrap();
            std::fs::write(data.path().join("serve/server"), text).unwrap();
            let mut file = File::open(data.path().join("serve/server")).unwrap();
            let holder = read(&mut file);
            ask(&mut file, &holder).unwrap();
            drop(Claim::take(data.path(), true).await.unwrap());
        }
    }
}
