//! The public protocol: every message survives encoding, fits the schema, and what fits the schema is understood.

use proptest::prelude::*;
use pyrepl3_protocol::frame::{self, Decoder};
use pyrepl3_protocol::message::*;
use pyrepl3_protocol::{Code, JsonText, Message};
use serde_json::value::{RawValue, to_raw_value};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_0-9]{0,12}", "\\PC{0,20}", any::<String>()]
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), -1e300f64..1e300, 0.0f64..1e10]
}

fn json_text() -> impl Strategy<Value = JsonText> {
    prop_oneof![
        4 => text().prop_map(JsonText::from),
        // Lone surrogates, which no Rust string holds.
        1 => Just(serde_json::from_str::<JsonText>(r#""\ud800x\udfff""#).unwrap()),
    ]
}

fn raw() -> impl Strategy<Value = Box<RawValue>> {
    prop_oneof![
        Just("null"),
        Just("true"),
        Just("-0.0"),
        Just("1e5"),
        Just("123456789012345678901234567890"),
        Just(r#""\ud800""#),
        Just(r#"[1,{"a":[]}]"#),
        Just(r#"{"$int":"0x10"}"#),
    ]
    .prop_map(|json| RawValue::from_string(json.to_owned()).unwrap())
}

fn bundle() -> impl Strategy<Value = Bundle> {
    proptest::collection::btree_map(text(), raw(), 0..3)
}

fn opt<S: Strategy>(inner: S) -> impl Strategy<Value = Option<S::Value>> {
    proptest::option::of(inner)
}

fn changes() -> impl Strategy<Value = Changes> {
    let names = || proptest::collection::vec(text(), 0..3);
    (names(), names(), names()).prop_map(|(added, rebound, removed)| Changes { added, rebound, removed })
}

fn exit() -> impl Strategy<Value = ProcessExit> {
    (opt(any::<i32>()), opt(any::<i32>()), any::<bool>()).prop_map(|(code, signal, out_of_memory)| ProcessExit {
        code,
        signal,
        out_of_memory,
    })
}

fn options() -> impl Strategy<Value = SessionOptions> {
    let env = proptest::collection::btree_map(text(), opt(text()), 0..3);
    let limits = (opt(any::<u64>()), opt(any::<u64>()), opt(0.0f64..100.0), opt(any::<u32>())).prop_map(
        |(memory, open_files, interrupt_grace, queue)| Limits {
            snapshots: queue,
            memory,
            open_files,
            file_size: memory,
            interrupt_grace,
            queue,
        },
    );
    let policy = prop_oneof![
        Just(TransactionPolicy::CommitAlways),
        Just(TransactionPolicy::CommitOnSuccess),
        Just(TransactionPolicy::RollbackOnFailure),
        Just(TransactionPolicy::Explicit),
    ];
    (opt(text()), proptest::collection::vec(text(), 0..3), opt(text()), limits, opt(text()), env, opt(policy)).prop_map(
        |(python, preload, isolation, limits, name, env, default_policy)| SessionOptions {
            undo: 3,
            detached: name.is_some(),
            overflow: if preload.is_empty() { Overflow::Slow } else { Overflow::Shed },
            transaction_timeout: None,
            from_checkpoint: name.clone(),
            autosave: limits.interrupt_grace.map(|seconds| Autosave {
                executions: limits.queue,
                seconds: Some(seconds),
                idle: None,
                keep: None,
                recover: Some(name.is_some()),
            }),
            cwd: python.clone(),
            python,
            preload,
            isolation: isolation.as_deref().map(Isolation::from),
            limits,
            name,
            env,
            default_policy,
        },
    )
}

fn kept() -> impl Strategy<Value = (Vec<Variable>, Vec<Lost>)> {
    (text(), text(), any::<u64>()).prop_map(|(name, reason, size)| {
        let variable = Variable { name: name.clone(), tier: "pickle".into(), type_name: reason.clone(), size };
        (vec![variable], vec![Lost { name, reason }])
    })
}

type Head = (String, f64, Option<String>, Option<String>);

fn head() -> impl Strategy<Value = Head> {
    (text(), finite(), opt(text()), opt(text()))
}

macro_rules! message {
    ($name:ident, $head:expr, { $($field:ident: $value:expr),* $(,)? }) => {{
        let (id, timestamp, session_id, execution_id) = $head;
        Message::from($name { id, timestamp, session_id, execution_id, seq: None, $($field: $value),* })
    }};
}

fn client() -> BoxedStrategy<Message> {
    let execute = (
        head(),
        json_text(),
        opt(finite()),
        opt(proptest::collection::vec(json_text(), 0..3)),
        any::<bool>(),
        opt(text()),
    )
        .prop_map(|(head, code, timeout, inputs, stop_on_error, idempotency_key)| {
            message!(Execute, head, {
                code: code, transaction_policy: None, transaction_id: None, timeout: timeout, inputs: inputs, salvage: vec![],
                stop_on_error: stop_on_error, idempotency_key: idempotency_key,
            })
        });
    let pool = (head(), options(), any::<u32>(), opt(finite()), opt(text())).prop_map(|(head, session, number, seconds, warmup_code)| {
        message!(PoolStart, head, { options: PoolOptions {
            min_idle: number, max_sessions: number, warmup_code, max_idle_seconds: seconds, max_uses: Some(number),
            acquire_timeout: seconds.unwrap_or(1.0), reset: if number % 2 == 0 { Reset::Keep } else { Reset::Pristine }, session,
        } })
    });
    prop_oneof![
        execute,
        pool,
        (head(), options()).prop_map(|(head, options)| message!(Start, head, { options: options })),
        (head(), text(), opt(json_text()))
            .prop_map(|(head, input_id, value)| message!(InputResponse, head, { input_id: input_id, value: value })),
        (head(), opt(text())).prop_map(|(head, name)| message!(CheckpointRequest, head, { name: name })),
        (head(), text()).prop_map(|(head, request)| message!(CancelCheckpoint, head, { request: request })),
        (head(), text(), any::<bool>())
            .prop_map(|(head, id, partial)| message!(RestoreRequest, head, { checkpoint_id: id, partial: partial })),
        head().prop_map(|head| message!(Checkpoints, head, {})),
        (head(), text(), opt(text())).prop_map(|(head, a, b)| message!(DiffRequest, head, { a: a, b: b })),
        (head(), text()).prop_map(|(head, id)| message!(DeleteCheckpoint, head, { checkpoint_id: id })),
        head().prop_map(|head| message!(Interrupt, head, {})),
        head().prop_map(|head| message!(Cancel, head, {})),
        head().prop_map(|head| message!(Variables, head, {})),
        (head(), json_text(), opt(any::<u32>()))
            .prop_map(|(head, code, cursor)| message!(Complete, head, { code: code, cursor: cursor })),
        (head(), text()).prop_map(|(head, name)| message!(Inspect, head, { name: name })),
        (head(), json_text()).prop_map(|(head, code)| message!(IsComplete, head, { code: code })),
        head().prop_map(|head| message!(Status, head, {})),
        (head(), any::<u64>()).prop_map(|(head, bytes)| message!(Ack, head, { bytes: bytes })),
        head().prop_map(|head| message!(Shutdown, head, {})),
        (head(), text(), opt(finite()))
            .prop_map(|(head, pool_id, timeout)| message!(PoolAcquire, head, { pool_id: pool_id, timeout: timeout })),
        (head(), text()).prop_map(|(head, pool_id)| message!(PoolRelease, head, { pool_id: pool_id })),
        (head(), text()).prop_map(|(head, pool_id)| message!(PoolStats, head, { pool_id: pool_id })),
        (head(), text()).prop_map(|(head, pool_id)| message!(PoolShutdown, head, { pool_id: pool_id })),
    ]
    .boxed()
}

fn server() -> BoxedStrategy<Message> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let status = prop_oneof![
        Just(EndStatus::Failed),
        Just(EndStatus::Interrupted),
        Just(EndStatus::TimedOut),
        Just(EndStatus::Crashed),
        Just(EndStatus::Cancelled),
    ];
    let python = (text(), text()).prop_map(|(version, path)| PythonInfo {
        version,
        executable: path.clone(),
        prefix: path,
        implementation: "cpython".into(),
    });
    let traceback = proptest::collection::vec(
        (text(), any::<u32>()).prop_map(|(text, lineno)| Frame {
            filename: text.clone(),
            lineno,
            name: text.clone(),
            line: text,
        }),
        0..3,
    );
    let codes =
        prop_oneof![Just(Code::BadRequest), Just(Code::PoolTimeout), Just(Code::SessionLost), Just(Code::Internal)];
    prop_oneof![
        (head(), opt(text()), opt(python)).prop_map(|(head, reply_to, python)| message!(Ready, head, {
            reply_to: reply_to, protocol_version: 1, server_version: "1".into(), capabilities: vec!["a".into()], python: python, earliest: Some(1), last: None,
        })),
        (head(), stream, text(), opt("[A-Za-z0-9+/]{0,8}"), any::<u64>()).prop_map(|(head, stream, data, bytes, dropped)| {
            message!(OutputMessage, head, { stream: stream, data: data, bytes: bytes, dropped: dropped })
        }),
        (head(), text(), any::<bool>(), any::<bool>()).prop_map(|(head, prompt, password, answered)| {
            message!(InputMessage, head, { prompt: prompt, password: password, answered: answered })
        }),
        (head(), bundle(), bundle(), opt(text()), any::<bool>()).prop_map(|(head, data, metadata, display_id, update)| {
            message!(DisplayMessage, head, { data: data, metadata: metadata, display_id: display_id, update: update })
        }),
        (head(), opt(raw()), opt(text()), bundle(), finite(), any::<i64>(), changes()).prop_map(|(head, value, repr, data, duration, delta, changes)| {
            message!(ResultMessage, head, {
                value: value.filter(|value| value.get() != "null"), value_type: repr.clone(), repr: repr, data: data, duration: duration,
                memory_delta: delta, changes: changes, execution_count: 7, replayed: delta % 2 == 0, shown: delta % 3 == 0,
            })
        }),
        (head(), status, text(), traceback, opt(exit()), changes(), any::<bool>()).prop_map(|(head, status, text, frames, exit, changes, yes)| {
            message!(ErrorMessage, head, {
                status: status, ename: text.clone(), evalue: text.clone(), error: text.clone(), traceback: text.clone(), frames: frames, shown: yes,
                rolled_back: yes, report: yes.then(|| text.clone()), undone: if yes { vec![1, 7] } else { vec![] }, salvaged: if yes { vec![text.clone()] } else { vec![] }, stopped_by: yes.then_some(StopStep::Kill), session_lost: yes,
                exit: exit, exit_code: yes.then_some(3), duration: 0.5, changes: changes, execution_count: 1, replayed: yes,
            })
        }),
        (head(), opt(text()), text(), any::<u64>()).prop_map(|(head, reply_to, name, bytes)| {
            message!(Progress, head, { reply_to: reply_to, bytes: bytes, done: 3, total: bytes, name: name })
        }),
        (head(), opt(text()), kept(), any::<u64>(), finite()).prop_map(|(head, reply_to, (variables, lost), size, pause)| {
            message!(CheckpointCreated, head, {
                checkpoint_id: "ckp_1".into(), name: reply_to.clone(), parent: reply_to.clone(), reply_to: reply_to, variables: variables, lost: lost,
                size_bytes: size, stored_bytes: size / 2, pause: pause, duration: pause, execution_count: 4,
            })
        }),
        (head(), opt(text()), kept(), text(), finite()).prop_map(|(head, reply_to, (variables, lost), text, duration)| {
            message!(Restored, head, {
                checkpoint_id: "ckp_1".into(), name: reply_to.clone(), variables: variables, lost: lost,
                packages: vec![PackageDifference { name: text.clone(), saved: reply_to.clone(), found: None }],
                reply_to: reply_to, reason: text, undone: vec![3], duration: duration, execution_count: 4,
            })
        }),
        (head(), text(), opt(exit()), any::<bool>()).prop_map(|(head, reason, exit, recovered)| {
            message!(SessionLost, head, { reason: reason, exit: exit, recovered: recovered })
        }),
        (head(), text(), opt(raw()), opt(any::<u64>())).prop_map(|(head, reply_to, data, as_of)| {
            message!(Reply, head, { reply_to: reply_to, data: data.filter(|data| data.get() != "null"), as_of: as_of })
        }),
        (head(), opt(text()), codes, text()).prop_map(|(head, reply_to, code, text)| {
            message!(Failed, head, { reply_to: reply_to, code: code, what: text.clone(), why: text.clone(), how: text })
        }),
    ]
    .boxed()
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![client(), server()]
}

const SCHEMA: &str = include_str!("../../../docs/protocol.schema.json");

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

/// JSON with lone surrogates replaced: the validator's strings are Rust's.
fn without_surrogates(json: &[u8]) -> serde_json::Value {
    let text = String::from_utf8(json.to_vec()).unwrap().replace(r"\ud800", "?").replace(r"\udfff", "?");
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #[test]
    fn any_message_survives_encoding_and_fits_the_schema(messages in proptest::collection::vec(any_message(), 1..4), cut in any::<usize>()) {
        thread_local!(static VALIDATOR: jsonschema::Validator = validator());
        let mut stream = Vec::new();
        for message in &messages {
            let json = message.to_json().unwrap();
            VALIDATOR.with(|validator| {
                let value = without_surrogates(&json);
                let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
                prop_assert!(errors.is_empty(), "{value}: {errors:?}");
                Ok(())
            })?;
            stream.extend(frame::encode(&json).unwrap());
        }
        // In two pieces, cut anywhere.
        let (first, second) = stream.split_at(cut % (stream.len() + 1));
        let mut decoder = Decoder::default();
        let mut came = Vec::new();
        for piece in [first, second] {
            decoder.feed(piece);
            while let Some(json) = decoder.next_frame().unwrap() {
                came.push(Message::from_json(json).unwrap());
            }
        }
        prop_assert_eq!(decoder.pending(), 0);
        let before: Vec<_> = messages.iter().map(|message| message.to_json().unwrap()).collect();
        let after: Vec<_> = came.iter().map(|message| message.to_json().unwrap()).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(1 << 16);
        decoder.feed(&bytes);
        while let Ok(Some(json)) = decoder.next_frame() {
            _ = Message::from_json(json);
            _ = pyrepl3_protocol::worker::Event::from_json(json);
        }
    }
}

#[test]
fn the_schema_is_that_of_the_messages() {
    assert_eq!(SCHEMA, schema_document(), "docs/protocol.schema.json is not up to date: run cargo xtask schema");
}

/// The other way round: what the schema asks for at the least is understood, for every type.
#[test]
fn the_least_that_the_schema_asks_for_is_understood() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = validator();
    for tag in Message::TYPES {
        let definition = &schema["$defs"][format!("message:{tag}")];
        let mut least = serde_json::json!({});
        for name in definition["required"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            least[name] = example(&schema, &definition["properties"][name]);
        }
        assert!(validator.is_valid(&least), "{least}");
        let message =
            Message::from_json(least.to_string().as_bytes()).unwrap_or_else(|error| panic!("{least}: {error}"));
        assert_eq!(message.type_name(), *tag);
        // And what is more than it asks for is ignored.
        least["from_the_future"] = serde_json::json!([1]);
        assert!(Message::from_json(least.to_string().as_bytes()).is_ok());
        // What is missing is not.
        for name in definition["required"].as_array().unwrap().iter().filter(|name| *name != "type") {
            let mut without = least.clone();
            without.as_object_mut().unwrap().remove(name.as_str().unwrap());
            assert!(
                !validator.is_valid(&without) && Message::from_json(without.to_string().as_bytes()).is_err(),
                "{without}"
            );
        }
    }
}

fn example(schema: &serde_json::Value, property: &serde_json::Value) -> serde_json::Value {
    if let Some(constant) = property.get("const") {
        return constant.clone();
    }
    if let Some(reference) = property["$ref"].as_str() {
        return example(schema, &schema["$defs"][reference.rsplit('/').next().unwrap()]);
    }
    if let Some(choices) = property.get("oneOf").or(property.get("anyOf")).and_then(|choices| choices.as_array()) {
        return example(schema, &choices[0]);
    }
    if let Some(choices) = property["enum"].as_array() {
        return choices[0].clone();
    }
    let kind = property["type"].as_str().or(property["type"][0].as_str());
    match kind {
        Some("string") => serde_json::json!("x"),
        Some("integer") => serde_json::json!(1),
        Some("number") => serde_json::json!(0.5),
        Some("boolean") => serde_json::json!(true),
        Some("array") => serde_json::json!([]),
        Some("object") => {
            let mut object = serde_json::json!({});
            for name in property["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                object[name] = example(schema, &property["properties"][name]);
            }
            object
        }
        _ => serde_json::Value::Null,
    }
}

#[test]
fn what_is_no_message_is_said_to_be_none() {
    for json in [
        "",
        "null",
        "[]",
        "{}",
        "{\"type\":5}",
        "{\"type\":\"execute\"}",
        "{\"type\":\"nonsense\",\"id\":\"x\"}",
        "\u{1}",
        "{\"type\":\"output\",\"data\":5}",
    ] {
        assert!(Message::from_json(json.as_bytes()).is_err(), "{json}");
    }
    assert_eq!(Message::peek_id(br#"{"type":"nonsense","id":"x"}"#).as_deref(), Some("x"));
    assert!(Message::from_json(&[0xff, 0xfe]).is_err());
    to_raw_value(&1).unwrap();
}
