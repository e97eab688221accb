//! How an event looks in a stream.

use axum::http::{HeaderMap, header};
use pyrepl3_engine::Event;

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/event-stream`.
    ServerSent,
    /// `application/x-ndjson`: a line for each.
    Lines,
}

impl Format {
    /// The form that a request asks for, if it asks for either.
    pub(crate) fn asked(headers: &HeaderMap) -> Option<Format> {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut accepted = accepted.flat_map(|value| value.split(','));
        accepted.find_map(|one| match one.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => Some(Format::ServerSent),
            "application/x-ndjson" | "application/jsonl" => Some(Format::Lines),
            _ => None,
        })
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::ServerSent => "text/event-stream",
            Format::Lines => "application/x-ndjson",
        }
    }

    /// Says that the stream lives.
    pub(crate) fn keep_alive(self) -> &'static str {
        match self {
            Format::ServerSent => ": keep-alive\n\n",
            Format::Lines => "\n",
        }
    }

    /// Adds an event. One that cannot be written is left out: there is none.
    pub(crate) fn event(self, event: &Event, out: &mut Vec<u8>) {
        match event.to_json() {
            Ok(json) => self.record(event.seq(), &json, out),
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }

    /// Adds the last record.
    pub(crate) fn end(self, reason: &str, last: u64, out: &mut Vec<u8>) {
        let record = serde_json::json!({ "type": "end_of_stream", "reason": reason, "last": last });
        self.record(None, record.to_string().as_bytes(), out);
    }

    fn record(self, seq: Option<u64>, json: &[u8], out: &mut Vec<u8>) {
        match self {
            Format::ServerSent => {
                if let Some(seq) = seq {
                    out.extend_from_slice(format!("id: {seq}\n").as_bytes());
                }
                out.extend_from_slice(b"data: ");
                // JSON has no newline but between its parts, and there none is written.
                out.extend_from_slice(json);
                out.extend_from_slice(b"\n\n");
            }
            Format::Lines => {
                out.extend_from_slice(json);
                out.push(b'\n');
            }
        }
    }
}
