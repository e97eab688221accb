//! Builds the helper's image: the same source as the library, as a shared object without a C library, by the same compiler.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    let image = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it")).join("helper.so");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    if (variable("CARGO_CFG_TARGET_ARCH"), variable("CARGO_CFG_TARGET_OS")) != ("x86_64".to_owned(), "linux".to_owned())
    {
        // There is none, which `doctor` says.
        fs::write(&image, []).expect("the output directory can be written to");
        return;
    }
    let mut rustc = Command::new(env::var_os("RUSTC").expect("Cargo sets it"));
    rustc
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=pyrepl3_helper", "--cap-lints=allow"])
        .args(["--check-cfg=cfg(pyrepl3_image)", "--cfg=pyrepl3_image", "--target", &variable("TARGET")])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Crelocation-model=pic", "-Ccodegen-units=1", "-Cdebuginfo=0"])
        .args(["-Cforce-unwind-tables=no", "-Cstrip=symbols", "-Coverflow-checks=off", "-Cdebug-assertions=off"])
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-Wl,--build-id=none"])
        .args(["-Clink-arg=-Wl,--gc-sections", "-Clink-arg=-Wl,-z,now"])
        // Of this checkout, whichever one this program was compiled in.
        .arg(PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("src/image.rs"))
        .arg("-o")
        .arg(&image);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = std::ffi::OsString::from("-Clinker=");
        argument.push(linker);
        rustc.arg(argument);
    }
    let status = rustc.status().expect("the compiler that builds the rest can be started");
    assert!(status.success(), "the helper could not be built: {status}");
}
