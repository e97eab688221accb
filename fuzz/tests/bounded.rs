//! Every decoder over its seeds and a number of changes to them, in each run of the tests.

use pyrepl3_fuzz::{search, targets};

fn run(name: &str) {
    let (_, target, rounds) = targets::ALL.into_iter().find(|(target, ..)| *target == name).unwrap();
    let seeds = targets::seeds(name);
    assert!(seeds.len() >= 2, "{name} has {} seeds", seeds.len());
    if let Err(found) = search(target, &seeds, rounds) {
        panic!("{name} panics: {}\nover {:?}", found.why, String::from_utf8_lossy(&found.input));
    }
}

macro_rules! each {
    ($($target:ident)*) => {
        $(#[test] fn $target() { run(stringify!($target)); })*

        #[test]
        fn none_is_left_out() {
            let tested = [$(stringify!($target)),*];
            assert_eq!(targets::ALL.map(|(name, ..)| name), tested);
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            for target in tested {
                assert!(root.join(format!("fuzz_targets/{target}.rs")).is_file(), "{target}");
            }
            assert_eq!(std::fs::read_dir(root.join("fuzz_targets")).unwrap().count(), tested.len());
        }
    };
}
each! { frames messages pack manifest import sessions journal segment wake }
