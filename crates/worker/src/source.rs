//! The worker's source.

use std::collections::BTreeMap;

/// What the interpreter is given with `-c`. It reads the rest ([`handoff`]) from its standard input.
pub const BOOTSTRAP: &str = include_str!("../py/bootstrap.py");

const LOADER: &str = include_str!("../py/loader.py");

macro_rules! modules {
    ($($name:literal => $file:literal,)*) => {
        const MODULES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../py/", $file))),)*];
    };
}

modules! {
    "_pyrepl3" => "__init__.py",
    "_pyrepl3.chance" => "chance.py",
    "_pyrepl3.channel" => "channel.py",
    "_pyrepl3.children" => "children.py",
    "_pyrepl3.codec" => "codec.py",
    "_pyrepl3.display" => "display.py",
    "_pyrepl3.effects" => "effects.py",
    "_pyrepl3.execute" => "execute.py",
    "_pyrepl3.failure" => "failure.py",
    "_pyrepl3.freeze" => "freeze.py",
    "_pyrepl3.introspect" => "introspect.py",
    "_pyrepl3.files" => "files.py",
    "_pyrepl3.inventory" => "inventory.py",
    "_pyrepl3.libraries" => "libraries.py",
    "_pyrepl3.loops" => "loops.py",
    "_pyrepl3.pools" => "pools.py",
    "_pyrepl3.present" => "present.py",
    "_pyrepl3.session" => "session.py",
    "_pyrepl3.sharing" => "sharing.py",
    "_pyrepl3.source" => "source.py",
    "_pyrepl3.stop" => "stop.py",
    "_pyrepl3.streams" => "streams.py",
    "_pyrepl3.system" => "system.py",
    "_pyrepl3.tasks" => "tasks.py",
    "_pyrepl3.threads" => "threads.py",
    "_pyrepl3.worker" => "worker.py",
    "_pyrepl3.zygote" => "zygote.py",
}

/// The bytes that the bootstrap reads: the loader, then the modules as JSON, each after its length in ten digits.
pub fn handoff() -> Vec<u8> {
    let modules: BTreeMap<&str, &str> = MODULES.iter().copied().collect();
    // A map of strings always serialises.
    let modules = serde_json::to_vec(&modules).unwrap_or_default();
    let mut bytes = Vec::with_capacity(modules.len() + LOADER.len() + 20);
    for part in [LOADER.as_bytes(), &modules] {
        bytes.extend_from_slice(format!("{:010}", part.len()).as_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_embedded() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/py"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".py") && name != "bootstrap.py" && name != "loader.py")
            .collect();
        files.sort();
        let mut embedded: Vec<String> = MODULES
            .iter()
            .map(|(name, _)| match name.split_once('.') {
                Some((_, module)) => format!("{module}.py"),
                None => "__init__.py".to_owned(),
            })
            .collect();
        embedded.sort();
        assert_eq!(files, embedded);
    }
}
