//! The helper as workers load it: no C library, no unwinding, four functions that the linker would look for elsewhere.

#![no_std]

mod helper;
mod wake;

pub use helper::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // There is nobody to tell: the process ends as one does that has aborted.
    helper::exit(134)
}

// What the compiler calls by name. Hidden: nobody else's calls may come here.
core::arch::global_asm!(
    ".macro pyrepl3_hidden name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    "\\name:",
    ".endm",
    // Of the core library's unwinding tables, which nothing here uses.
    "pyrepl3_hidden rust_eh_personality",
    "ud2",
    "pyrepl3_hidden memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "pyrepl3_hidden memmove",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    "2:",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "pyrepl3_hidden memset",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "pyrepl3_hidden bcmp",
    "pyrepl3_hidden memcmp",
    "xor eax, eax",
    "xor ecx, ecx",
    "3:",
    "cmp rcx, rdx",
    "je 4f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "je 3b",
    "4:",
    "ret",
);
