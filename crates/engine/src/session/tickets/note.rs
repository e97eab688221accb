//! What another supervisor is to know of what is pending. Who asked for operations and questions is gone with this one;
//! executions go on.

use super::keys::{KeyId, KeysNote};
use super::{PendingExecution, Ticket, Tickets};
use crate::clock::Time;
use crate::session::answers::PendingInput;
use crate::session::end_message::EndReport;
use crate::session::life::Token;
use crate::session::request::{ExecuteRequest, Source};
use base64::Engine as _;
use pyrepl3_protocol::JsonText;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of source, answers and reports that are written down in all; characters of a prompt.
const WRITTEN: usize = 256 << 10;
const PROMPT: usize = 200;

/// What is pending.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TicketsNote {
    executions: Vec<ExecutionNote>,
    prompts: Vec<(u64, PendingInput)>,
    keys: KeysNote,
    next: Token,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExecutionNote {
    token: Token,
    id: String,
    /// Its number, once it has begun.
    count: u64,
    started: Option<Time>,
    /// None where it is not needed any more, or too much to be written down.
    source: Option<SourceNote>,
    file: Option<String>,
    timeout: Option<Duration>,
    key: Option<KeyId>,
    salvage: Vec<String>,
    /// Answers that its prompts are still to get; None: they wait for some.
    answers: Option<Vec<JsonText>>,
    report: EndReport,
    repeats: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum SourceNote {
    Text(JsonText),
    Bytes(String),
}

impl SourceNote {
    fn new(source: &Source) -> SourceNote {
        match source {
            Source::Text(text) => SourceNote::Text(text.clone()),
            Source::Bytes(bytes) => SourceNote::Bytes(base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }

    fn source(self) -> Option<Source> {
        Some(match self {
            SourceNote::Text(text) => Source::Text(text),
            SourceNote::Bytes(text) => Source::Bytes(base64::engine::general_purpose::STANDARD.decode(text).ok()?),
        })
    }
}

impl TicketsNote {
    /// The last token that was given.
    pub(crate) fn last_token(&self) -> Token {
        self.next
    }
}

/// What could not be written down of executions: those that cannot run any more, by their tokens.
pub(crate) type Unwritten = Vec<Token>;

impl Tickets {
    pub(crate) fn note(&self) -> TicketsNote {
        let mut left = WRITTEN;
        let mut fits = |bytes: usize| {
            let fits = bytes <= left;
            if fits {
                left -= bytes;
            }
            fits
        };
        let mut executions: Vec<(Token, &PendingExecution)> = self
            .open
            .iter()
            .filter_map(|(token, ticket)| match ticket {
                Ticket::Execute(execution) => Some((*token, &**execution)),
                Ticket::Query(_) | Ticket::Operate(_) => None,
            })
            .collect();
        // Who comes first has room first.
        executions.sort_unstable_by_key(|(token, _)| *token);
        let words = |one: &PendingExecution| {
            let request = &one.request;
            let texts = request.salvage.iter().chain(&request.file);
            texts.map(String::len).sum::<usize>()
        };
        let note = |(token, one): (Token, &PendingExecution)| {
            let is_kept = fits(one.weight + words(one));
            ExecutionNote {
                token,
                id: one.id.clone(),
                count: one.count,
                started: one.started,
                source: is_kept.then(|| SourceNote::new(&one.request.source)),
                file: one.request.file.clone().filter(|_| is_kept),
                timeout: one.request.timeout,
                key: one.key,
                salvage: if is_kept { one.request.salvage.clone() } else { Vec::new() },
                answers: one
                    .answers
                    .as_ref()
                    .map(|answers| answers.iter().take_while(|answer| fits(answer.literal().len())).cloned().collect()),
                report: one.report.to_be_written(&mut fits),
                repeats: one.repeats.clone(),
            }
        };
        TicketsNote {
            executions: executions.into_iter().map(note).collect(),
            prompts: self.prompts.note(PROMPT),
            keys: KeysNote::new(&self.seen, &self.keys),
            next: self.next,
        }
    }

    /// As they were noted. The executions whose source was too much to be written down.
    pub(crate) fn recall(note: TicketsNote) -> (Tickets, Unwritten) {
        let (seen, keys) = note.keys.recall();
        let mut tickets = Tickets { next: note.next, seen, keys, ..Tickets::default() };
        let mut unwritten = Vec::new();
        for one in note.executions {
            let source = one.source.and_then(SourceNote::source);
            if source.is_none() {
                unwritten.push(one.token);
            }
            let request = ExecuteRequest {
                file: one.file,
                timeout: one.timeout,
                salvage: one.salvage,
                inputs: one.answers,
                ..ExecuteRequest::new(source.unwrap_or_else(|| Source::Text("".into())))
            };
            let mut execution = PendingExecution::new(one.id, request, None);
            execution.key = one.key;
            execution.count = one.count;
            execution.started = one.started;
            execution.report = one.report;
            execution.repeats = one.repeats;
            tickets.insert(one.token, Ticket::Execute(Box::new(execution)));
        }
        tickets.prompts.recall(note.prompts);
        (tickets, unwritten)
    }
}
