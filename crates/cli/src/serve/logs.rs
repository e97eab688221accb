//! What the server logs, on standard error: lines for people, or JSON.
//!
//! A thread writes them. Where nobody reads, they are left out, and the next line says how many: a log must not hold up the
//! service.

use crate::args::LogLevel;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written.
const WAITING: usize = 1024;

#[derive(Debug, Clone)]
struct Lines {
    lines: SyncSender<Vec<u8>>,
    left_out: Arc<AtomicU64>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(line.to_vec()).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// Logs from now on. Where that cannot be had, nothing is logged.
pub(crate) fn begin(level: LogLevel, json: bool) {
    let (lines, inbox) = sync_channel::<Vec<u8>>(WAITING);
    let left_out = Arc::new(AtomicU64::new(0));
    let missing = left_out.clone();
    let writing = std::thread::Builder::new().name("log".into()).spawn(move || {
        while let Ok(line) = inbox.recv() {
            let mut out = io::stderr().lock();
            _ = out.write_all(&line);
            let missing = missing.swap(0, Ordering::Relaxed);
            if missing > 0 && !json {
                _ = out.write_all(format!("{missing} lines were left out here\n").as_bytes());
            } else if missing > 0 {
                _ = out.write_all(format!("{{\"level\":\"WARN\",\"lines_left_out\":{missing}}}\n").as_bytes());
            }
        }
    });
    if writing.is_err() {
        return;
    }
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(Lines { lines, left_out });
    // Another one is there only in tests.
    _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
