//! What readers of a log get: everything, once, in order; what was left out is said.

use super::cursor::{Filter, Origin};
use super::event_log::{EventLog, WINDOW};
use super::journal::{Durability, Journal, Told};
use super::reader::Reader;
use super::retained::Retention;
use crate::messages;
use crate::messages::warning;
use proptest::prelude::*;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::message::{EndStatus, Overflow, Stream};
use pyrepl3_store::journal::{Limits, Writer};
use std::sync::Arc;

fn log(overflow: Overflow) -> Arc<EventLog> {
    EventLog::new("ses_1", overflow, Retention::default(), 0, None)
}

fn output(execution: Option<&str>, bytes: usize) -> Message {
    let mut message = Message::OutputMessage(messages::output(Stream::Stdout, "x".repeat(bytes), None));
    message.address("ses_1", execution);
    message
}

fn end(execution: &str) -> Message {
    let mut message = Message::ErrorMessage(messages::error(EndStatus::Failed, "E", "no".into()));
    message.address("ses_1", Some(execution));
    message
}

fn control(bytes: usize) -> Message {
    Message::Warning(warning("ses_1", "w".repeat(bytes)))
}

fn all(reader: &Reader) -> Vec<Message> {
    std::iter::from_fn(|| reader.try_next().flatten()).map(super::Event::into_message).collect()
}

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().filter_map(Message::seq).collect()
}

fn dropped(messages: &[Message]) -> u64 {
    let of = |message: &Message| if let Message::OutputMessage(output) = message { output.dropped } else { 0 };
    messages.iter().map(of).sum()
}

fn written(messages: &[Message]) -> u64 {
    let of =
        |message: &Message| if let Message::OutputMessage(output) = message { output.data.len() as u64 } else { 0 };
    messages.iter().map(of).sum()
}

#[test]
fn every_reader_gets_all_of_it_at_its_own_pace() {
    let log = log(Overflow::Slow);
    let (early, one) =
        (Reader::new(&log, Filter::All, Origin::Now), Reader::new(&log, Filter::Execution("a".into()), Origin::Now));
    log.append(control(1));
    log.append(output(Some("a"), 3));
    let late = Reader::new(&log, Filter::All, Origin::After(1));
    log.append(output(Some("b"), 3));
    log.append(end("a"));
    log.append(output(None, 3));
    assert_eq!(numbers(&all(&early)), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&all(&late)), [2, 3, 4, 5]);
    assert_eq!(numbers(&all(&one)), [2, 4]);
    assert!(one.try_next().is_some_and(|next| next.is_none()), "its execution has ended");
    assert!(early.try_next().is_none(), "the session has not");
    let session = Reader::new(&log, Filter::Session, Origin::Earliest);
    assert_eq!(numbers(&all(&session)), [1, 5]);
    log.close(None);
    assert!(early.try_next().is_some_and(|next| next.is_none()));
}

#[test]
fn only_who_reads_what_runs_holds_it_up() {
    let log = log(Overflow::Slow);
    let left_behind = Reader::new(&log, Filter::Execution("a".into()), Origin::Now);
    while !log.is_full(Some("a")) {
        log.append(output(Some("a"), 100_000));
    }
    log.append(end("a"));
    assert!(!log.is_full(Some("b")) && !log.is_full(None), "what nobody reads any more holds nobody up");
    let slow = Reader::new(&log, Filter::All, Origin::Now);
    while !log.is_full(Some("b")) {
        log.append(output(Some("b"), 100_000));
    }
    drop(slow);
    assert!(!log.is_full(Some("b")));
    assert!(matches!(all(&left_behind).last(), Some(Message::ErrorMessage(_))));
}

#[test]
fn output_that_is_shed_is_counted_and_control_events_are_not_shed() {
    let log = log(Overflow::Shed);
    let reader = Reader::new(&log, Filter::All, Origin::Now);
    let mut wrote = 0;
    for _ in 0..100 {
        log.append(output(Some("a"), 100_000));
        log.append(control(10));
        wrote += 100_000;
    }
    assert!(!log.is_full(Some("a")), "who sheds goes on");
    let before = all(&reader);
    assert!(written(&before) <= WINDOW as u64);
    assert_eq!(before.iter().filter(|message| matches!(message, Message::Warning(_))).count(), 100);
    log.append(output(Some("a"), 7));
    log.append(end("a"));
    let after = all(&reader);
    assert_eq!(written(&before) + written(&after) + dropped(&before) + dropped(&after), wrote + 7);
    let seen: Vec<u64> = numbers(&before).into_iter().chain(numbers(&after)).collect();
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "numbers have no gaps: {seen:?}");
}

#[test]
fn a_reader_that_takes_nothing_has_a_bound_and_the_end_comes_all_the_same() {
    let log = log(Overflow::Slow);
    let reader = Reader::new(&log, Filter::Execution("a".into()), Origin::Now);
    let mut wrote = 0;
    // As while it is being stopped: nobody waits.
    for _ in 0..1000 {
        log.append(output(Some("a"), 100_000));
        wrote += 100_000;
    }
    for _ in 0..1000 {
        let mut message = control(100_000);
        message.address("ses_1", Some("a"));
        log.append(message);
    }
    log.append(end("a"));
    let got = all(&reader);
    let held: usize = got.iter().map(Message::weight).sum();
    assert!(held < 24 << 20, "{held} bytes waited");
    assert!(matches!(got.last(), Some(Message::ErrorMessage(_))));
    let told = |message: &Message| matches!(message, Message::Warning(one) if one.text.contains("were left out here"));
    assert!(got.iter().any(told), "that something is missing is said");
    assert!(written(&got) + dropped(&got) <= wrote);
}

#[test]
fn what_is_left_out_at_last_is_told_before_the_end() {
    let log = log(Overflow::Slow);
    let reader = Reader::new(&log, Filter::Execution("a".into()), Origin::Now);
    for _ in 0..200 {
        log.append(output(Some("a"), 100_000));
    }
    log.append(end("a"));
    let got = all(&reader);
    assert_eq!(written(&got) + dropped(&got), 20_000_000);
}

#[test]
fn another_borrower_reads_nothing_of_the_last() {
    let log = log(Overflow::Slow);
    let last = Reader::new(&log, Filter::Session, Origin::Earliest);
    log.append(control(1));
    log.append(output(None, 5));
    log.begin_anew();
    let next = Reader::new(&log, Filter::Session, Origin::Earliest);
    log.append(control(2));
    assert_eq!(numbers(&all(&next)), [1]);
    assert_eq!(all(&last).len(), 2, "what was there before, and no more");
    assert!(last.try_next().is_some_and(|next| next.is_none()));
    drop(last);
    log.append(control(2));
    assert_eq!(numbers(&all(&next)), [2], "that the other goes takes nothing away");
}

// ---- with a journal ----

fn journalled(directory: &std::path::Path, durability: Durability) -> Arc<EventLog> {
    let limits = Limits { file: 64 << 10, ..Limits::default() };
    let (writer, _) = Writer::open(directory, limits).unwrap();
    let journal = Journal::new(writer, durability);
    EventLog::new(
        "ses_1",
        Overflow::Shed,
        Retention { output: 40_000, control: 10_000, whole: false },
        0,
        Some(journal),
    )
}

fn texts(messages: &[Message]) -> Vec<String> {
    let of = |message: &Message| match message {
        Message::OutputMessage(output) => output.data.clone(),
        Message::Warning(warning) => warning.text.clone(),
        other => other.type_name().to_owned(),
    };
    messages.iter().map(of).collect()
}

#[test]
fn who_is_behind_reads_the_journal_and_misses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = journalled(directory.path(), Durability::Process);
    let slow = Reader::new(&log, Filter::All, Origin::Now);
    let one = Reader::new(&log, Filter::Execution("a".into()), Origin::Now);
    for number in 0..2000 {
        let mut message =
            Message::OutputMessage(messages::output(Stream::Stdout, format!("{number};").repeat(400), None));
        message.address("ses_1", Some("a"));
        log.append(message);
        log.append(control(5));
    }
    assert!(!log.is_full(Some("a")));
    log.append(end("a"));
    log.append(control(7));
    let got = all(&slow);
    assert!(numbers(&got).into_iter().eq(1..=4002), "{} events", got.len());
    assert_eq!(dropped(&got), 0);
    assert_eq!(texts(&got)[2000], "1000;".repeat(400));
    let of_it = all(&one);
    assert_eq!((of_it.len(), of_it.last().unwrap().type_name()), (2001, "error"));
    assert!(one.try_next().is_some_and(|next| next.is_none()), "its execution has ended");
    // Who has caught up goes on without the journal.
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        std::fs::write(entry.unwrap().path(), b"").unwrap();
    }
    log.append(control(9));
    assert_eq!(numbers(&all(&slow)), [4003]);
}

#[test]
fn events_of_an_earlier_supervisor_are_read_and_gone_on_from() {
    let directory = tempfile::tempdir().unwrap();
    let log = journalled(directory.path(), Durability::Process);
    for number in 1..=50 {
        log.append(control(number));
    }
    drop(log);
    let log = journalled(directory.path(), Durability::Process);
    assert_eq!(log.bounds(), (1, 50));
    let (early, late) =
        (Reader::new(&log, Filter::All, Origin::After(10)), Reader::new(&log, Filter::All, Origin::Now));
    log.append(control(51));
    assert!(numbers(&all(&early)).into_iter().eq(11..=51));
    assert_eq!(numbers(&all(&late)), [51]);
}

#[test]
fn what_was_told_before_is_not_told_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = journalled(directory.path(), Durability::Process);
    log.append(control(1));
    log.append(Message::InputMessage(messages::input("Name: ".into(), false)));
    log.append(end("a"));
    let told = all(&Reader::new(&log, Filter::All, Origin::Earliest));
    drop(log);
    let (writer, _) = Writer::open(directory.path(), Limits::default()).unwrap();
    let mut journal = Journal::new(writer, Durability::Process);
    journal.remember(&Told { last: 1, unexplained: vec![] }).unwrap();
    let log = EventLog::new("ses_1", Overflow::Slow, Retention::default(), 0, Some(journal));
    // The prompt has the id that clients know.
    let mut again = Message::InputMessage(messages::input("Name: ".into(), false));
    assert!(log.recall(&mut again));
    assert_eq!(again.id(), told[1].id());
    log.append(end("a"));
    log.append(end("a"));
    log.append(control(1));
    assert_eq!(log.bounds(), (1, 5), "the second end, and what was noted, are new");
}

#[tokio::test]
async fn with_machine_durability_an_end_is_told_when_it_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let log = journalled(directory.path(), Durability::Machine);
    let reader = Reader::new(&log, Filter::All, Origin::Now);
    log.append(control(1));
    assert_eq!(numbers(&all(&reader)), [1], "nobody relies on it");
    log.append(end("a"));
    log.append(control(2));
    // The thread that syncs needs this one's lock, or the runtime's turn, or is done already.
    let (second, third) = (reader.next().await.unwrap(), reader.next().await.unwrap());
    assert_eq!((second.seq(), third.seq()), (Some(2), Some(3)));
}

#[test]
fn what_cannot_be_written_down_is_told_to_nobody_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let log = journalled(directory.path(), Durability::Process);
    let reader = Reader::new(&log, Filter::All, Origin::Now);
    log.append(control(1));
    // The next segment cannot be made.
    let moved = directory.path().with_extension("moved");
    std::fs::rename(directory.path(), &moved).unwrap();
    for _ in 0..100 {
        log.append(control(1000));
    }
    let before = numbers(&all(&reader)).len();
    assert!(before < 101 && log.is_full(None) && !log.is_written());
    std::fs::rename(&moved, directory.path()).unwrap();
    assert!(log.is_written() && !log.is_full(None));
    assert!(numbers(&all(&reader)).into_iter().eq(before as u64 + 1..=101));
}

proptest! {
    /// Whatever is appended, and whoever reads when: each gets all that is for it, once, in order, exactly.
    #[test]
    fn with_a_journal_nothing_is_ever_missing(
        pieces in proptest::collection::vec((0usize..60_000, 0u8..5), 1..80), reads in any::<u64>(), after in 0u64..80,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let log = journalled(directory.path(), Durability::Process);
        let readers = [
            Reader::new(&log, Filter::All, Origin::Now),
            Reader::new(&log, Filter::Session, Origin::Now),
            Reader::new(&log, Filter::Execution("a".into()), Origin::Now),
        ];
        let mut got: [Vec<Message>; 3] = Default::default();
        let mut expected: [Vec<(u64, String)>; 3] = Default::default();
        for (index, (size, kind)) in pieces.iter().enumerate() {
            let (message, text, of) = match kind {
                0 => (control(size / 50), "w".repeat(size / 50), None),
                1 => (output(None, *size), "x".repeat(*size), None),
                _ => (output(Some("a"), *size), "x".repeat(*size), Some("a")),
            };
            log.append(message);
            let seq = index as u64 + 1;
            expected[0].push((seq, text.clone()));
            expected[if of.is_some() { 2 } else { 1 }].push((seq, text));
            for (at, reader) in readers.iter().enumerate() {
                if reads >> ((index * 3 + at) % 64) & 1 == 1 { got[at].extend(all(reader)); }
            }
        }
        for (at, reader) in readers.iter().enumerate() {
            got[at].extend(all(reader));
            let seen: Vec<(u64, String)> = numbers(&got[at]).into_iter().zip(texts(&got[at])).collect();
            prop_assert_eq!(&seen, &expected[at]);
        }
        let late = Reader::new(&log, Filter::All, Origin::After(after));
        let last = log.bounds().1;
        prop_assert!(numbers(&all(&late)).into_iter().eq(after + 1..=last));
    }
}

proptest! {
    /// Whatever is appended: a reader that was there from the beginning gets numbers without gaps and, with what is said
    /// to be missing, every byte; one that comes later gets from its number on, or what is kept, in order.
    #[test]
    fn nothing_is_lost_without_being_counted(
        sizes in proptest::collection::vec((0usize..300_000, 0u8..4), 1..60), reads in any::<u64>(), after in 0u64..60,
    ) {
        let log = log(Overflow::Shed);
        let reader = Reader::new(&log, Filter::All, Origin::Now);
        let (mut got, mut wrote) = (Vec::new(), 0u64);
        for (index, (size, kind)) in sizes.iter().enumerate() {
            match kind {
                0 => log.append(control(size / 100)),
                1 => { log.append(output(None, *size)); wrote += *size as u64; }
                _ => { log.append(output(Some("a"), *size)); wrote += *size as u64; }
            }
            if reads >> (index % 64) & 1 == 1 { got.extend(all(&reader)); }
        }
        log.append(end("a"));
        got.extend(all(&reader));
        let seen = numbers(&got);
        prop_assert!(seen.iter().copied().eq(1..=seen.len() as u64), "{:?}", seen);
        prop_assert_eq!(written(&got) + dropped(&got), wrote);
        let (earliest, last) = log.bounds();
        prop_assert_eq!(last, seen.len() as u64);
        let late = all(&Reader::new(&log, Filter::All, Origin::After(after)));
        prop_assert!(numbers(&late).windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(numbers(&late).first().is_none_or(|first| *first > after.max(earliest - 1)));
        if after < last { prop_assert_eq!(numbers(&late).last().copied(), Some(last)); }
    }
}
