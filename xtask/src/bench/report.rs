//! Samples, and the table that they make.

use crate::{Done, root};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What is measured: a name, what is to be reached, and in what unit.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    name: &'static str,
    target: &'static str,
    unit: Unit,
    /// The keys of what stands beside it, with the ratio to reach.
    peers: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy)]
enum Unit {
    /// Seconds, shown in µs, ms or s.
    Time,
    /// MB/s: more is better.
    Rate,
    /// MB.
    Megabytes,
    /// KB.
    Kilobytes,
    /// A number.
    Count,
    /// A number each second: more is better.
    PerSecond,
}

impl Unit {
    /// Whether more is better.
    fn is_rate(self) -> bool {
        matches!(self, Unit::Rate | Unit::PerSecond)
    }
}

const ROWS: &[Row] = &[
    row("start_bare", "bare session, start to ready", "≤ 5 ms", Unit::Time, &[("peer_start", "≥ 50×")]),
    row("start_pandas", "session with numpy and pandas preloaded", "≤ 12 ms", Unit::Time, &[]),
    row("acquire_rust", "acquire from a warm pool, Rust API", "p50 ≤ 50 µs", Unit::Time, &[]),
    row("acquire_python", "acquire from a warm pool, Python client", "p50 ≤ 500 µs", Unit::Time, &[]),
    row("pool_100", "100 pooled sessions with pandas, all ready", "≤ 600 ms", Unit::Time, &[]),
    row("pool_100_pss", "PSS of each of them", "≤ 8 MB", Unit::Megabytes, &[]),
    row("execute_rust", "`1+1`, Rust API", "p50 ≤ 80 µs", Unit::Time, &[("peer_execute", "")]),
    row("execute_python", "`1+1`, Python client", "p50 ≤ 400 µs", Unit::Time, &[("peer_execute", "≥ 8×")]),
    row(
        "execute_lingering",
        "`1+1`, Rust API, in a session that can outlive its engine",
        "",
        Unit::Time,
        &[("execute_rust", "")],
    ),
    row("take_over", "a session taken over, until its first `1+1` has ended", "", Unit::Time, &[("start_bare", "")]),
    row("print", "print to client, Rust API", "p50 ≤ 1 ms", Unit::Time, &[("peer_print", "")]),
    row("print_python", "print to client, Python client", "", Unit::Time, &[("peer_print", "")]),
    row("output", "1 GB of output, Rust API", "≥ 500 MB/s", Unit::Rate, &[("peer_output", "≥ 5×")]),
    row("output_python", "100 MB of output, Python client", "", Unit::Rate, &[("peer_output", "")]),
    row("prints", "a million `print(i)`, Rust API", "≤ 1.5 s", Unit::Time, &[("peer_prints", "≥ 3×")]),
    row(
        "sixteen_readers",
        "1 GB of output to 16 readers: processor time for each GB that a reader got",
        "≤ 1.7 times one reader's",
        Unit::Time,
        &[("one_reader", "≥ 0.6×")],
    ),
    row("sixteen_memory", "… the supervisor's growth meanwhile", "", Unit::Megabytes, &[("one_memory", "")]),
    row(
        "idle_pss",
        "idle bare session, PSS of its processes, 100 open",
        "≤ 4 MB",
        Unit::Megabytes,
        &[("peer_memory", "")],
    ),
    row("supervisor", "supervisor's memory for each session", "≤ 0.1 MB", Unit::Megabytes, &[]),
    row("buffered_first", "first line, output streamed (as built)", "", Unit::Time, &[]),
    row("buffered_whole", "first line, output buffered to the end", "", Unit::Time, &[]),
];

const MANY: &[Row] = &[
    row("many_sessions", "sessions, as many as the limit of descriptors allows", "10,000", Unit::Count, &[]),
    row("many_idle", "supervisor's memory for each, idle after `1+1`", "≤ 100 KB", Unit::Kilobytes, &[]),
    row("many_printed", "… after 16 KiB of output, which its log keeps", "", Unit::Kilobytes, &[]),
    row("many_descriptors", "supervisor's descriptors for each", "", Unit::Count, &[]),
];

const TRAVEL: &[Row] = &[
    row("pause_bare", "snapshot, pause of a bare session", "≤ 1.5 × + 0.4 ms", Unit::Time, &[("floor_bare", "")]),
    row(
        "pause_pandas",
        "… with numpy and pandas",
        "≤ 1.5 × + 0.4 ms",
        Unit::Time,
        &[("floor_pandas", ""), ("copy_pandas", ""), ("dump_pandas", "")],
    ),
    row(
        "pause_gib",
        "… and an array of 1 GiB",
        "≤ 1.5 × + 0.4 ms",
        Unit::Time,
        &[("floor_gib", ""), ("copy_gib", ""), ("dump_gib", "")],
    ),
    row(
        "pause_dicts",
        "… and a million dicts",
        "≤ 1.5 × + 0.4 ms",
        Unit::Time,
        &[("floor_dicts", ""), ("copy_dicts", ""), ("dump_dicts", "")],
    ),
    row("back_bare", "return to a snapshot that is kept, bare session", "", Unit::Time, &[]),
    row("back_pandas", "… with numpy and pandas", "", Unit::Time, &[("load_pandas", ""), ("again_pandas", "")]),
    row("back_gib", "… and an array of 1 GiB", "", Unit::Time, &[("load_gib", ""), ("again_gib", "")]),
    row("back_dicts", "… and a million dicts", "", Unit::Time, &[("load_dicts", ""), ("again_dicts", "")]),
    row("snapshot_memory", "memory that a snapshot holds alone, bare session", "≤ 1.5 MB", Unit::Megabytes, &[]),
    row("threads_pause", "snapshot, pause with 100 threads that wait", "", Unit::Time, &[("pause_bare", "")]),
    row("threads_back", "return to it", "≤ 10 ms", Unit::Time, &[("back_bare", "")]),
    row("rollback_bare", "rollback of a transaction, bare session", "p50 ≤ 1 ms, p99 ≤ 3 ms", Unit::Time, &[]),
    row("rollback_gib", "… with an array of 1 GiB", "p50 ≤ 1 ms, p99 ≤ 3 ms", Unit::Time, &[("load_gib", "")]),
    row("rollback_4gib", "… with an array of 4 GiB", "p50 ≤ 1 ms, p99 ≤ 3 ms", Unit::Time, &[]),
    row(
        "failed_bare",
        "from `raise` until the session is usable as before, bare",
        "≤ 2 × + 1.2 ms",
        Unit::Time,
        &[("floor_bare", "")],
    ),
    row(
        "failed_gib",
        "… with an array of 1 GiB",
        "≤ 2 × + 1.2 ms",
        Unit::Time,
        &[("floor_gib", ""), ("again_gib", "")],
    ),
    row("failed_4gib", "… with an array of 4 GiB", "", Unit::Time, &[]),
    row(
        "small_guarded",
        "`x = 1` under rollback_on_failure, numpy and pandas",
        "≤ 1.5 × + 0.6 ms more",
        Unit::Time,
        &[("small_kept", ""), ("floor_pandas", "")],
    ),
    row(
        "branch_huge",
        "16 branches of 1.4 GB in huge pages, all ready",
        "≤ 1.3 × + 40 ms",
        Unit::Time,
        &[("floor_huge", "")],
    ),
    row("branch_huge_memory", "memory that each holds alone", "", Unit::Megabytes, &[]),
    row(
        "branch_small",
        "16 branches of 1.4 GB in 4 KiB pages, all ready",
        "≤ 1.3 × + 40 ms",
        Unit::Time,
        &[("floor_small", "")],
    ),
    row("branch_small_memory", "memory that each holds alone", "", Unit::Megabytes, &[]),
    row("branch_memory", "memory that a branch of a bare session holds alone", "≤ 4 MB", Unit::Megabytes, &[]),
];

const CHECKPOINTS: &[Row] = &[
    row("pause_4gib", "pause of the session, 4 GiB in numpy arrays", "≤ 10 ms", Unit::Time, &[]),
    row("blocked_4gib", "… until an execution that is asked for at once has ended", "", Unit::Time, &[]),
    row(
        "first_disk",
        "first checkpoint of 1 GiB random float64, on disk, the session executing",
        "≥ 80 % of `dd`",
        Unit::Rate,
        &[("dd_disk", "≥ 0.8×")],
    ),
    row("meanwhile_disk", "… an execution meanwhile", "", Unit::Time, &[]),
    row("first_tmpfs", "… on tmpfs", "≥ 700 MB/s", Unit::Rate, &[("dd_tmpfs", "")]),
    row("meanwhile_tmpfs", "… an execution meanwhile", "", Unit::Time, &[]),
    row("increment_first", "second checkpoint after 1 MB changed in 4 GiB", "≤ 1 s", Unit::Time, &[]),
    row("increment_later", "a later one", "≤ 1 s", Unit::Time, &[]),
    row("increment_stored", "… added to the store, without the manifest", "≤ 1.2 MB", Unit::Megabytes, &[]),
    row("increment_written", "… with it", "", Unit::Megabytes, &[]),
    row(
        "steps_bytes",
        "20 steps with pandas and scikit-learn, saved after each: bytes",
        "",
        Unit::Megabytes,
        &[("dill_steps_bytes", "≥ 10×"), ("cloudpickle_steps_bytes", ""), ("kishu_steps_bytes", "≥ 2×")],
    ),
    row(
        "steps_pause",
        "… time in which the session is blocked",
        "",
        Unit::Time,
        &[("dill_steps_blocked", "≥ 20×"), ("cloudpickle_steps_blocked", ""), ("kishu_steps_blocked", "≥ 20×")],
    ),
    row("steps_blocked", "… until executions that are asked for at once have ended", "", Unit::Time, &[]),
    row("steps_all", "… until all are on disk", "", Unit::Time, &[]),
    row("restore_mapped", "restore of 1 GiB of arrays, to the first use of one: mapped", "≤ 150 ms", Unit::Time, &[]),
    row("restore_packed", "… compressed", "≤ 1,000 ms", Unit::Time, &[]),
    row("small_first_disk", "a session of 1 MB, on disk: its first checkpoint", "≤ 15 ms", Unit::Time, &[]),
    row("small_again_disk", "… a later one", "≤ 15 ms", Unit::Time, &[]),
    row("small_restore_disk", "… restore", "≤ 15 ms", Unit::Time, &[]),
    row("small_first_tmpfs", "a session of 1 MB, on tmpfs: its first checkpoint", "≤ 15 ms", Unit::Time, &[]),
    row("small_again_tmpfs", "… a later one", "≤ 15 ms", Unit::Time, &[]),
    row("small_restore_tmpfs", "… restore", "≤ 15 ms", Unit::Time, &[]),
];

const SERVICE: &[Row] = &[
    row(
        "service_create",
        "session made over HTTP, zygote warm",
        "≤ 15 ms",
        Unit::Time,
        &[("peer_service_create", "≥ 50×")],
    ),
    row(
        "service_execute",
        "`1+1` over the WebSocket, journalled",
        "p50 ≤ 300 µs, p99 ≤ 1.5 ms",
        Unit::Time,
        &[("peer_service_execute", "≥ 10×")],
    ),
    row("service_rate", "executions a second, 64 sessions, journalled (process)", "≥ 6,000", Unit::PerSecond, &[]),
    row("service_latency", "… each of them", "", Unit::Time, &[]),
    row("service_rate_machine", "… on the disk in groups (machine)", "≥ 2,000", Unit::PerSecond, &[]),
    row("service_latency_machine", "… each of them", "", Unit::Time, &[]),
    row(
        "service_output",
        "output through the WebSocket, journalled",
        "",
        Unit::Rate,
        &[("peer_service_output", "≥ 5×"), ("dd_service", "≥ 0.5×")],
    ),
    row("service_replay", "events a second to a new reader, of a million", "≥ 300,000", Unit::PerSecond, &[]),
    row(
        "service_adoption",
        "200 live sessions, from SIGKILL to the next server's ready line",
        "≤ 1 s",
        Unit::Time,
        &[],
    ),
    row("service_idle", "memory of the server with 1,000 idle sessions", "≤ 100 MB", Unit::Megabytes, &[]),
];

const fn row(
    key: &'static str,
    name: &'static str,
    target: &'static str,
    unit: Unit,
    peers: &'static [(&'static str, &'static str)],
) -> Row {
    Row { key, name, target, unit, peers }
}

pub(crate) struct Table {
    samples: BTreeMap<String, Vec<f64>>,
    /// Fewer repetitions.
    pub(crate) quick: bool,
}

impl Table {
    pub(crate) fn new(quick: bool) -> Self {
        Table { samples: BTreeMap::new(), quick }
    }

    /// Repetitions: a tenth when it has to be quick.
    pub(crate) fn times(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }

    pub(crate) fn add(&mut self, key: &str, samples: Vec<f64>) {
        self.samples.entry(key.to_owned()).or_default().extend(samples);
    }

    /// One sample of what takes long: it is shown at once, so that whoever waits sees how far it is.
    pub(crate) fn note(&mut self, key: &str, sample: f64) {
        match CHECKPOINTS.iter().find(|row| row.key == key) {
            Some(row) => eprintln!("{key}: {}", show(sample, row.unit)),
            None => eprintln!("{key}: {sample:.1}"),
        }
        self.add(key, vec![sample]);
    }

    fn quantile(&self, key: &str, share: f64) -> Option<f64> {
        let mut sorted = self.samples.get(key)?.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().checked_sub(1)?)).copied()
    }

    /// The tables, of what was measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (title, last, rows) in [
            ("Sessions", "ipykernel, median | ratio (to reach)", ROWS),
            ("Many sessions with scripted workers", "beside it, median | ratio", MANY),
            ("Snapshots, returns, branches", "instead of it, median | ratio", TRAVEL),
            ("Checkpoints", "beside it, median | ratio (to reach)", CHECKPOINTS),
            ("The service", "jupyter_server, median | ratio (to reach)", SERVICE),
        ] {
            let lines: String = rows.iter().filter_map(|row| self.line(row)).collect();
            if !lines.is_empty() {
                let rule = "| --- | --- | --- | --- | --- | --- | --- |";
                _ = writeln!(
                    text,
                    "### {title}\n\n| measure | to reach | median | p99 | n | {last} |\n{rule}\n{lines}"
                );
            }
        }
        text
    }

    fn line(&self, row: &Row) -> Option<String> {
        let median = self.quantile(row.key, 0.5)?;
        let count = self.samples.get(row.key).map_or(0, Vec::len);
        let tail = self.quantile(row.key, if row.unit.is_rate() { 0.01 } else { 0.99 }).unwrap_or(median);
        let (mut peers, mut ratios) = (Vec::new(), Vec::new());
        for (key, wanted) in row.peers {
            let Some(peer) = self.quantile(key, 0.5) else { continue };
            let ratio = if row.unit.is_rate() { median / peer } else { peer / median };
            let label = match key.split_once('_') {
                Some(("floor", _)) => "bare fork ",
                Some(("copy", _)) => "deep copy ",
                Some(("dump", _)) => "dill, dump ",
                Some(("load", _)) => "dill, load ",
                Some(("again", _)) => "run again ",
                Some(("small", _)) => "unguarded ",
                Some(("dd", _)) => "dd ",
                Some(("one", _)) => "one reader ",
                Some(("dill", _)) => "dill ",
                Some(("cloudpickle", _)) => "cloudpickle ",
                Some(("kishu", _)) => "Kishu ",
                _ => "",
            };
            let wanted = if wanted.is_empty() { String::new() } else { format!(" ({wanted})") };
            peers.push(format!("{label}{}", show(peer, row.unit)));
            let digits = usize::from(ratio < 100.0);
            ratios.push(format!("{ratio:.digits$}×{wanted}"));
        }
        let joined = |parts: Vec<String>| if parts.is_empty() { "–".to_owned() } else { parts.join("; ") };
        Some(format!(
            "| {} | {} | {} | {} | {count} | {} | {} |\n",
            row.name,
            if row.target.is_empty() { "–" } else { row.target },
            show(median, row.unit),
            if count < 2 { "–".to_owned() } else { show(tail, row.unit) },
            joined(peers),
            joined(ratios),
        ))
    }

    /// Puts the table into BENCHMARKS.md, between its markers.
    pub(crate) fn write(&self, interpreter: &Path) -> Done {
        let path = root().join("BENCHMARKS.md");
        let old = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (before, rest) = old.split_once(BEGIN).ok_or("BENCHMARKS.md has no begin marker")?;
        let (_, after) = rest.split_once(END).ok_or("BENCHMARKS.md has no end marker")?;
        let new = format!("{before}{BEGIN}\n\n{}\n{}\n{END}{after}", self.markdown(), machine(interpreter));
        std::fs::write(&path, new).map_err(|error| format!("{}: {error}", path.display()))
    }
}

const BEGIN: &str = "<!-- begin: cargo xtask bench --write -->";
const END: &str = "<!-- end -->";

fn machine(interpreter: &Path) -> String {
    let output = |command: &mut Command| {
        command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Measured on {cores} cores, Linux {}, {}, in one run.",
        output(Command::new("uname").arg("-r")),
        output(Command::new(interpreter).arg("--version")),
    )
}

fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Time if value < 0.001 => format!("{:.0} µs", value * 1e6),
        Unit::Time if value < 1.0 => format!("{:.1} ms", value * 1e3),
        Unit::Time => format!("{value:.2} s"),
        Unit::Rate => format!("{value:.0} MB/s"),
        Unit::Megabytes => format!("{value:.2} MB"),
        Unit::Kilobytes => format!("{value:.1} KB"),
        Unit::Count => format!("{value:.0}"),
        Unit::PerSecond => format!("{value:.0}/s"),
    }
}
