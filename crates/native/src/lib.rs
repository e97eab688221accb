//! The helper that workers load: a fork that keeps every thread, and what has to be looked at and put right around it.
//!
//! One source, compiled twice: as this library, which is checked, documented and tested like any other, and, by the build script, as
//! [`IMAGE`], a shared object without a C library that workers load into the interpreter. It knows nothing of CPython. What is
//! particular to a processor is in `arch`; on others than x86-64 the image is empty.
//!
//! A frozen process runs nothing but this: see [`wake`] for what is said to it.

#![cfg_attr(not(test), no_std)]

pub mod wake;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod helper;

/// The shared object. Empty where there is none for this processor.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper.so"));
