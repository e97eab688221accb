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
    "_pyrepl3.answerer" => "answerer.py",
    "_pyrepl3.channel" => "channel.py",
    "_pyrepl3.children" => "children.py",
    "_pyrepl3.codec" => "codec.py",
    "_pyrepl3.display" => "display.py",
    "_pyrepl3.effects" => "effects.py",
    "_pyrepl3.execute" => "execute.py",
    "_pyrepl3.failure" => "failure.py",
    "_pyrepl3.freeze" => "freeze.py",
    "_pyrepl3.handlers" => "handlers.py",
    "_pyrepl3.holdings" => "holdings.py",
    "_pyrepl3.introspect" => "introspect.py",
    "_pyrepl3.in_process_saver" => "in_process_saver.py",
    "_pyrepl3.inventory" => "inventory.py",
    "_pyrepl3.serializer" => "serializer/__init__.py",
    "_pyrepl3.serializer.annotations" => "serializer/annotations.py",
    "_pyrepl3.serializer.arrays" => "serializer/arrays.py",
    "_pyrepl3.serializer.assigned" => "serializer/assigned.py",
    "_pyrepl3.serializer.baseline" => "serializer/baseline.py",
    "_pyrepl3.serializer.bytecode" => "serializer/bytecode.py",
    "_pyrepl3.serializer.compare" => "serializer/compare.py",
    "_pyrepl3.serializer.context" => "serializer/context.py",
    "_pyrepl3.serializer.databases" => "serializer/databases.py",
    "_pyrepl3.serializer.definitions" => "serializer/definitions.py",
    "_pyrepl3.serializer.environment" => "serializer/environment.py",
    "_pyrepl3.serializer.frames" => "serializer/frames.py",
    "_pyrepl3.serializer.graph" => "serializer/graph.py",
    "_pyrepl3.serializer.groups" => "serializer/groups.py",
    "_pyrepl3.serializer.hooks" => "serializer/hooks.py",
    "_pyrepl3.serializer.interpreter" => "serializer/interpreter.py",
    "_pyrepl3.serializer.iterators" => "serializer/iterators.py",
    "_pyrepl3.serializer.leftovers" => "serializer/leftovers.py",
    "_pyrepl3.serializer.libraries_state" => "serializer/libraries_state.py",
    "_pyrepl3.serializer.library_settings" => "serializer/library_settings.py",
    "_pyrepl3.serializer.limits" => "serializer/limits.py",
    "_pyrepl3.serializer.load" => "serializer/load.py",
    "_pyrepl3.serializer.logs" => "serializer/logs.py",
    "_pyrepl3.serializer.open_files" => "serializer/open_files.py",
    "_pyrepl3.serializer.patches" => "serializer/patches.py",
    "_pyrepl3.serializer.pickling" => "serializer/pickling.py",
    "_pyrepl3.serializer.reducing" => "serializer/reducing.py",
    "_pyrepl3.serializer.prints" => "serializer/prints.py",
    "_pyrepl3.serializer.references" => "serializer/references.py",
    "_pyrepl3.serializer.registries" => "serializer/registries.py",
    "_pyrepl3.serializer.entries" => "serializer/entries.py",
    "_pyrepl3.serializer.python_state" => "serializer/python_state.py",
    "_pyrepl3.serializer.package_state" => "serializer/package_state.py",
    "_pyrepl3.serializer.place" => "serializer/place.py",
    "_pyrepl3.serializer.registry" => "serializer/registry.py",
    "_pyrepl3.serializer.remains" => "serializer/remains.py",
    "_pyrepl3.serializer.save" => "serializer/save.py",
    "_pyrepl3.serializer.exceptions" => "serializer/exceptions.py",
    "_pyrepl3.serializer.module_state" => "serializer/module_state.py",
    "_pyrepl3.serializer.session_modules" => "serializer/session_modules.py",
    "_pyrepl3.serializer.settings" => "serializer/settings.py",
    "_pyrepl3.serializer.signals" => "serializer/signals.py",
    "_pyrepl3.serializer.situation" => "serializer/situation.py",
    "_pyrepl3.serializer.skeletons" => "serializer/skeletons.py",
    "_pyrepl3.serializer.statements" => "serializer/statements.py",
    "_pyrepl3.serializer.tracker" => "serializer/tracker.py",
    "_pyrepl3.serializer.transport" => "serializer/transport.py",
    "_pyrepl3.serializer.variables" => "serializer/variables.py",
    "_pyrepl3.serializer.verify" => "serializer/verify.py",
    "_pyrepl3.serializer.words" => "serializer/words.py",
    "_pyrepl3.keeper" => "keeper.py",
    "_pyrepl3.later" => "later.py",
    "_pyrepl3.launcher" => "launcher.py",
    "_pyrepl3.libraries" => "libraries.py",
    "_pyrepl3.line" => "line.py",
    "_pyrepl3.native" => "native.py",
    "_pyrepl3.own_frames" => "own_frames.py",
    "_pyrepl3.pools" => "pools.py",
    "_pyrepl3.present" => "present.py",
    "_pyrepl3.random_state" => "random_state.py",
    "_pyrepl3.restorer" => "restorer.py",
    "_pyrepl3.saver" => "saver.py",
    "_pyrepl3.session" => "session.py",
    "_pyrepl3.source" => "source.py",
    "_pyrepl3.spawned" => "spawned.py",
    "_pyrepl3.stop" => "stop.py",
    "_pyrepl3.streams" => "streams.py",
    "_pyrepl3.system" => "system.py",
    "_pyrepl3.tasks" => "tasks.py",
    "_pyrepl3.worker" => "worker.py",
    "_pyrepl3.writers" => "writers.py",
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
        for (folder, prefix) in [(root.to_owned(), ""), (format!("{root}/serializer"), "serializer/")] {
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
                "_pyrepl3.serializer" => "serializer/__init__.py".to_owned(),
                name => format!("{}.py", name.trim_start_matches("_pyrepl3.").replace('.', "/")),
            })
            .collect();
        embedded.sort();
        assert_eq!(files, embedded);
    }
}
