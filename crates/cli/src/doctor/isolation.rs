//! What the kernel offers to keep code apart. This version uses none of it; a later one will.

use super::missing::Missing;
use super::proc_file::read;
use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreated};
use serde::Serialize;
use std::process::{Command, Stdio};

/// The layers.
#[derive(Debug, Serialize)]
pub(crate) struct Isolation {
    /// What sessions of this version are isolated by.
    pub(crate) in_use: &'static str,
    pub(crate) user_namespaces: Layer,
    pub(crate) landlock: Layer,
    pub(crate) seccomp: Layer,
    pub(crate) cgroups: Cgroups,
}

/// Whether something is there: `None` where it cannot be told.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Layer {
    pub(crate) available: Option<bool>,
    pub(crate) detail: String,
}

impl Layer {
    fn new(available: Option<bool>, detail: impl Into<String>) -> Self {
        Layer { available, detail: detail.into() }
    }
}

/// Control groups.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cgroups {
    /// `v2`, `v1`, `hybrid` or `none`.
    pub(crate) layout: &'static str,
    /// Controllers that version 2 has in this process's group.
    pub(crate) v2_controllers: Vec<String>,
    /// Controllers that are mounted as version 1.
    pub(crate) v1_controllers: Vec<String>,
    /// This process's own group of version 2, as a folder.
    pub(crate) group: Option<String>,
    /// Whether groups can be made below it: it is delegated to this user.
    pub(crate) delegated: bool,
}

impl Isolation {
    pub(crate) fn missing(&self, missing: &mut Vec<Missing>) {
        let layers = [
            (
                "user namespaces",
                &self.user_namespaces,
                "set user.max_user_namespaces above 0, kernel.unprivileged_userns_clone to 1 and \
                 kernel.apparmor_restrict_unprivileged_userns to 0 with sysctl, as far as your system has them",
            ),
            (
                "Landlock",
                &self.landlock,
                "use a kernel with it (Linux 5.13 or later), and name it in the boot option lsm=",
            ),
            ("seccomp", &self.seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"),
        ];
        for (name, layer, how) in layers {
            if layer.available == Some(false) {
                let why = format!("a later version isolates sessions with it; here: {}", layer.detail);
                missing.push(Missing::new(name, why, how));
            }
        }
    }
}

/// Looks at all of them.
pub(crate) fn look() -> Isolation {
    Isolation {
        in_use: "none",
        user_namespaces: user_namespaces(),
        landlock: landlock(),
        seccomp: seccomp(&read("/proc/self/status"), &read("/proc/sys/kernel/seccomp/actions_avail")),
        cgroups: cgroups(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")),
    }
}

fn user_namespaces() -> Layer {
    let number = |path: &str| read(path).trim().parse::<u64>().ok();
    let forbidden = forbidden(
        number("/proc/sys/user/max_user_namespaces"),
        number("/proc/sys/kernel/unprivileged_userns_clone"),
        number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    );
    // The settings say what is meant to be; making one says what is.
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match (tried, forbidden) {
        (Ok(status), _) if status.success() => Layer::new(Some(true), "one was made"),
        (Ok(_), Some(why)) => Layer::new(Some(false), why),
        (Ok(_), None) => Layer::new(Some(false), "none could be made, though the settings allow it"),
        (Err(_), Some(why)) => Layer::new(Some(false), why),
        (Err(_), None) => Layer::new(Some(true), "the settings allow them (none was made to try: no `unshare` here)"),
    }
}

fn forbidden(most: Option<u64>, clone: Option<u64>, apparmor: Option<u64>) -> Option<&'static str> {
    match (most, clone, apparmor) {
        (Some(0), _, _) => Some("forbidden: user.max_user_namespaces is 0"),
        (_, Some(0), _) => Some("forbidden: kernel.unprivileged_userns_clone is 0"),
        (_, _, Some(1..)) => Some("restricted: kernel.apparmor_restrict_unprivileged_userns is 1"),
        (None, _, _) => Some("this kernel has none"),
        _ => None,
    }
}

/// Asks the system call. Which answer is right is only known once a ruleset was applied, so a thread applies one to
/// itself that forbids nothing that it does, and ends.
fn landlock() -> Layer {
    let ask = || {
        Ruleset::default()
            .handle_access(AccessFs::Execute)
            .and_then(Ruleset::create)
            .and_then(RulesetCreated::restrict_self)
    };
    let thread = std::thread::Builder::new().name("landlock".into()).spawn(ask);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(status))) => landlock_layer(status.landlock),
        Ok(Ok(Err(error))) => Layer::new(Some(false), format!("a ruleset could not be applied: {error}")),
        Ok(Err(_)) => Layer::new(None, "the thread that was to try it failed"),
        Err(error) => Layer::new(None, format!("there was no thread to try it on: {error}")),
    }
}

fn landlock_layer(status: LandlockStatus) -> Layer {
    match status {
        LandlockStatus::Available { kernel_abi: Some(abi), .. } => {
            Layer::new(Some(true), format!("version {abi} of its interface"))
        }
        LandlockStatus::Available { effective_abi, .. } => {
            Layer::new(Some(true), format!("version {effective_abi} of its interface"))
        }
        LandlockStatus::NotEnabled => Layer::new(Some(false), "the kernel has it, and it is switched off"),
        LandlockStatus::NotImplemented => {
            Layer::new(Some(false), "the kernel does not know the system call, or a seccomp filter forbids it")
        }
    }
}

fn seccomp(status: &str, actions: &str) -> Layer {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    match mode {
        None => Layer::new(Some(false), "this kernel has none"),
        Some(mode) => {
            let filters = if actions.contains("errno") { "filters available" } else { "available" };
            let own = if mode == "2" { "; this process runs under one" } else { "" };
            Layer::new(Some(true), format!("{filters}{own}"))
        }
    }
}

fn cgroups(mounts: &str, own: &str) -> Cgroups {
    let mut v1 = Vec::new();
    let mut v2 = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let point = left.split(' ').nth(4).unwrap_or_default();
        let mut right = right.split(' ');
        match right.next() {
            Some("cgroup2") => v2 = v2.or(Some(point)),
            Some("cgroup") => {
                let known =
                    ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio", "io", "hugetlb"];
                let options = right.nth(1).unwrap_or_default();
                v1.extend(options.split(',').filter(|option| known.contains(option)).map(str::to_owned));
            }
            _ => {}
        }
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let group = v2.map(|point| format!("{}{}", point, path.trim_end_matches('/')));
    let controllers = group.as_ref().map(|group| read(format!("{group}/cgroup.controllers"))).unwrap_or_default();
    let writable = |path: String| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let layout = match (v2.is_some(), v1.is_empty()) {
        (true, true) => "v2",
        (true, false) => "hybrid",
        (false, false) => "v1",
        (false, true) => "none",
    };
    Cgroups {
        layout,
        v2_controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        v1_controllers: v1,
        delegated: group
            .as_ref()
            .is_some_and(|group| writable(group.clone()) && writable(format!("{group}/cgroup.procs"))),
        group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_forbid_namespaces() {
        assert_eq!(forbidden(Some(9), None, None), None);
        assert_eq!(forbidden(Some(9), Some(1), Some(0)), None);
        assert!(forbidden(Some(0), None, None).is_some());
        assert!(forbidden(Some(9), Some(0), None).is_some());
        assert!(forbidden(Some(9), None, Some(1)).is_some());
        assert!(forbidden(None, None, None).is_some());
    }

    #[test]
    fn the_layout_of_groups_is_seen() {
        let v2 = "31 23 0:28 / /nowhere/cgroup rw - cgroup2 cgroup2 rw\n";
        let v1 = "35 31 0:32 / /nowhere/memory rw - cgroup cgroup rw,memory\n36 31 0:33 / /nowhere/x rw - cgroup cgroup rw,name=systemd\n";
        assert_eq!(cgroups(v2, "0::/user.slice").layout, "v2");
        assert_eq!(cgroups(v2, "0::/user.slice").group.as_deref(), Some("/nowhere/cgroup/user.slice"));
        assert_eq!(cgroups(v1, "").layout, "v1");
        let both = cgroups(&format!("{v2}{v1}"), "0::/");
        assert_eq!((both.layout, both.v1_controllers), ("hybrid", vec!["memory".to_owned()]));
        assert_eq!(both.group.as_deref(), Some("/nowhere/cgroup"));
        assert_eq!(cgroups("", "").layout, "none");
    }

    #[test]
    fn landlock_is_told_from_the_answer_of_the_kernel() {
        let newest = LandlockStatus::Available { effective_abi: landlock::ABI::V5, kernel_abi: Some(99) };
        assert_eq!(landlock_layer(newest), Layer::new(Some(true), "version 99 of its interface"));
        let known = LandlockStatus::Available { effective_abi: landlock::ABI::V5, kernel_abi: None };
        assert_eq!(landlock_layer(known), Layer::new(Some(true), "version 5 of its interface"));
        assert_eq!(landlock_layer(LandlockStatus::NotEnabled).available, Some(false));
        assert_eq!(landlock_layer(LandlockStatus::NotImplemented).available, Some(false));
        // This thread is not restricted by the look.
        assert_ne!(landlock().available, None);
        assert!(Command::new("true").status().unwrap().success());
    }

    #[test]
    fn seccomp_is_read_from_the_status() {
        assert_eq!(seccomp("", "").available, Some(false));
        assert_eq!(seccomp("Seccomp:\t2\n", "kill errno").detail, "filters available; this process runs under one");
    }
}
