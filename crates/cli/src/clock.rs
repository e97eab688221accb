//! The time, as messages carry it, and as people read it.

use chrono::{DateTime, Local};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A time of today by how long it is ago, another by its date. `at`: seconds since 1970.
pub(crate) fn ago(at: f64) -> String {
    let Some(time) = DateTime::from_timestamp_millis((at * 1e3) as i64) else { return "?".to_owned() };
    let ago = (Local::now() - time.with_timezone(&Local)).num_seconds();
    match ago {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", ago / 60),
        3600..43_200 => format!("{} h ago", ago / 3600),
        _ => exactly(at),
    }
}

/// A time by its date, in the time zone of this machine.
pub(crate) fn exactly(at: f64) -> String {
    DateTime::from_timestamp_millis((at * 1e3) as i64)
        .map_or_else(|| "?".to_owned(), |time| time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string())
}
