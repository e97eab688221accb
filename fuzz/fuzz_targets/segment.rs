//! `cargo fuzz run segment fuzz/corpus/segment fuzz/seeds/segment`; without cargo-fuzz, it runs over the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pyrepl3_fuzz::targets::segment(bytes));

#[cfg(not(fuzzing))]
fn main() {
    pyrepl3_fuzz::replay(pyrepl3_fuzz::targets::segment);
}
