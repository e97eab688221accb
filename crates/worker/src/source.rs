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
    "_pyrepl3.adoption" => "adoption.py",
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
    "_pyrepl3.keep" => "keep/__init__.py",
    "_pyrepl3.keep.arrays" => "keep/arrays.py",
    "_pyrepl3.keep.assigned" => "keep/assigned.py",
    "_pyrepl3.keep.baseline" => "keep/baseline.py",
    "_pyrepl3.keep.bytecode" => "keep/bytecode.py",
    "_pyrepl3.keep.compare" => "keep/compare.py",
    "_pyrepl3.keep.context" => "keep/context.py",
    "_pyrepl3.keep.databases" => "keep/databases.py",
    "_pyrepl3.keep.definitions" => "keep/definitions.py",
    "_pyrepl3.keep.environment" => "keep/environment.py",
    "_pyrepl3.keep.frames" => "keep/frames.py",
    "_pyrepl3.keep.graph" => "keep/graph.py",
    "_pyrepl3.keep.groups" => "keep/groups.py",
    "_pyrepl3.keep.hooks" => "keep/hooks.py",
    "_pyrepl3.keep.interpreter" => "keep/interpreter.py",
    "_pyrepl3.keep.leftovers" => "keep/leftovers.py",
    "_pyrepl3.keep.libraries_state" => "keep/libraries_state.py",
    "_pyrepl3.keep.limits" => "keep/limits.py",
    "_pyrepl3.keep.load" => "keep/load.py",
    "_pyrepl3.keep.logs" => "keep/logs.py",
    "_pyrepl3.keep.open_files" => "keep/open_files.py",
    "_pyrepl3.keep.patches" => "keep/patches.py",
    "_pyrepl3.keep.pickling" => "keep/pickling.py",
    "_pyrepl3.keep.reducing" => "keep/reducing.py",
    "_pyrepl3.keep.prints" => "keep/prints.py",
    "_pyrepl3.keep.references" => "keep/references.py",
    "_pyrepl3.keep.registries" => "keep/registries.py",
    "_pyrepl3.keep.entries" => "keep/entries.py",
    "_pyrepl3.keep.told_python" => "keep/told_python.py",
    "_pyrepl3.keep.told_packages" => "keep/told_packages.py",
    "_pyrepl3.keep.place" => "keep/place.py",
    "_pyrepl3.keep.registry" => "keep/registry.py",
    "_pyrepl3.keep.remains" => "keep/remains.py",
    "_pyrepl3.keep.save" => "keep/save.py",
    "_pyrepl3.keep.session_modules" => "keep/session_modules.py",
    "_pyrepl3.keep.settings" => "keep/settings.py",
    "_pyrepl3.keep.signals" => "keep/signals.py",
    "_pyrepl3.keep.situation" => "keep/situation.py",
    "_pyrepl3.keep.skeletons" => "keep/skeletons.py",
    "_pyrepl3.keep.tracker" => "keep/tracker.py",
    "_pyrepl3.keep.transport" => "keep/transport.py",
    "_pyrepl3.keep.variables" => "keep/variables.py",
    "_pyrepl3.keep.verify" => "keep/verify.py",
    "_pyrepl3.keep.words" => "keep/words.py",
    "_pyrepl3.keeper" => "keeper.py",
    "_pyrepl3.later" => "later.py",
    "_pyrepl3.launcher" => "launcher.py",
    "_pyrepl3.libraries" => "libraries.py",
    "_pyrepl3.line" => "line.py",
    "_pyrepl3.loops" => "loops.py",
    "_pyrepl3.pools" => "pools.py",
    "_pyrepl3.present" => "present.py",
    "_pyrepl3.restorer" => "restorer.py",
    "_pyrepl3.saver" => "saver.py",
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
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/py");
        let mut files = Vec::new();
        for (folder, prefix) in [(root.to_owned(), ""), (format!("{root}/keep"), "keep/")] {
            let names =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let modules = names.filter(|name| name.ends_with(".py") && name != "bootstrap.py" && name != "loader.py");
            files.extend(modules.map(|name| format!("{prefix}{name}")));
        }
        files.sort();
        let mut embedded: Vec<String> = MODULES
            .iter()
            .map(|(name, _)| match *name {
                "_pyrepl3" => "__init__.py".to_owned(),
                "_pyrepl3.keep" => "keep/__init__.py".to_owned(),
                name => format!("{}.py", name.trim_start_matches("_pyrepl3.").replace('.', "/")),
            })
            .collect();
        embedded.sort();
        assert_eq!(files, embedded);
    }
}
