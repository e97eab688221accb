//! What bounds a session here, and what of the kernel the engine relies on.

use super::missing::Missing;
use super::proc_file::read;
use crate::descriptors;
use rustix::process::{PidfdFlags, Resource, getrlimit};
use serde::Serialize;

/// Numbers. None stands for no limit, or for what this system does not tell.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    pub(crate) kernel: String,
    pub(crate) processors: Option<usize>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_available_bytes: Option<u64>,
    /// What this program was started with, and its sessions begin with.
    pub(crate) open_files: Option<u64>,
    /// What this program has raised its own to; each session costs it some six.
    pub(crate) open_files_engine: Option<u64>,
    pub(crate) open_files_hard: Option<u64>,
    /// Of this user, all together.
    pub(crate) processes: Option<u64>,
    /// Pages of pipe buffers that a user may have before new pipes are small.
    pub(crate) pipe_user_pages_soft: Option<u64>,
    /// Processes can be held on to by descriptor.
    pub(crate) pidfd: bool,
    /// The children of a process are listed, not searched for.
    pub(crate) children_listed: bool,
}

/// Looks at all of them.
pub(crate) fn look() -> Limits {
    let files = getrlimit(Resource::Nofile);
    let memory = read("/proc/meminfo");
    Limits {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        processors: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        memory_bytes: kibibytes(&memory, "MemTotal:"),
        memory_available_bytes: kibibytes(&memory, "MemAvailable:"),
        open_files: descriptors::started_with(),
        open_files_engine: files.current,
        open_files_hard: files.maximum,
        processes: getrlimit(Resource::Nproc).current,
        pipe_user_pages_soft: read("/proc/sys/fs/pipe-user-pages-soft").trim().parse().ok(),
        pidfd: rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok(),
        children_listed: std::fs::metadata("/proc/thread-self/children").is_ok(),
    }
}

fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// Fewer open files than this are soon used up.
const FILES: u64 = 4096;
/// Fewer processes, too: a session is two, and what its code starts.
const PROCESSES: u64 = 256;

impl Limits {
    pub(crate) fn missing(&self, missing: &mut Vec<Missing>) {
        if !self.pidfd {
            missing.push(Missing::new(
                "pidfds",
                "sessions need a kernel that has them: Linux 5.3 or later",
                "use a newer kernel, or, in a container, allow pidfd_open in its seccomp profile",
            ));
        }
        if let Some(files) = self.open_files_engine.filter(|files| *files < FILES) {
            missing.push(Missing::new(
                "open files",
                format!("{files} are allowed, and each session takes some six of them"),
                match self.open_files_hard {
                    Some(hard) if hard <= files => "raise `nofile` in /etc/security/limits.conf".to_owned(),
                    Some(hard) => format!("for many sessions: ulimit -n {hard}"),
                    None => "for many sessions: ulimit -n 65536".to_owned(),
                },
            ));
        }
        if let Some(processes) = self.processes.filter(|processes| *processes < PROCESSES) {
            missing.push(Missing::new(
                "processes",
                format!("{processes} are allowed, and each session takes two and what its code starts"),
                "raise `nproc`: ulimit -u, or /etc/security/limits.conf",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(kibibytes("MemTotal:       24685120 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(24_685_120 * 1024));
        assert_eq!(kibibytes("", "MemTotal:"), None);
    }
}
