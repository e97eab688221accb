//! What a session is asked to be.

use crate::http::problem::Problem;
use pyrepl3_engine::protocol::message::{Autosave, Isolation, Limits, PythonInfo, SessionOptions, TransactionPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Labels of a session, and characters of one's name and value.
const LABELS: usize = 64;
const LABEL: usize = 256;
/// The longest time that a session may be given.
const LONGEST: f64 = 1e9;

/// What a session is made with. All of it may be left out; null counts as left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionSpec {
    /// Path of an interpreter or of a virtual environment; the server's own choice without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) python: Option<String>,
    /// Modules that are imported before the session begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preload: Option<Vec<String>>,
    /// What its code is kept from. This version has `none` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) isolation: Option<Isolation>,
    /// Limits: `memory`, `open_files`, `file_size` (bytes, or a number), `interrupt_grace` (s), `queue`, `snapshots`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) limits: Option<Limits>,
    /// How many executions back `undo` goes; 0 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<u32>,
    /// When it is saved by itself: `executions`, `seconds`, `idle`, at least one of them; `keep`, `recover`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) autosave: Option<Autosave>,
    /// A checkpoint, by id or by name, whose state it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_checkpoint: Option<String>,
    /// Seconds without a request, an event or an open WebSocket, nothing running, after which it ends; never without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_timeout: Option<f64>,
    /// Seconds after which it ends, whatever it does; never without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime: Option<f64>,
    /// Labels, by which sessions can be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Environment variables to set; null removes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// Working directory; the server's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cwd: Option<String>,
    /// A name for people, by which what it saves by itself is found again; the id that a client chose without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Policy of executions that name none: `commit_always`, `commit_on_success`, `rollback_on_failure` or `explicit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) default_policy: Option<TransactionPolicy>,
    /// Seconds after which an explicit transaction in which nothing happens rolls back; 600 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transaction_timeout: Option<f64>,
}

impl SessionSpec {
    /// Refuses what the service itself would not know what to do with; the engine looks at the rest.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        for (name, seconds) in [("idle_timeout", self.idle_timeout), ("lifetime", self.lifetime)] {
            if seconds.is_some_and(|seconds| !(seconds.is_finite() && seconds > 0.0 && seconds <= LONGEST)) {
                let how = "give seconds above 0, or leave it out";
                return Err(Problem::bad_request(format!("{name} cannot be used"), "it is no such time", how));
            }
        }
        let labels = self.labels.iter().flatten();
        let odd = |text: &String| text.len() > LABEL || text.chars().any(char::is_control);
        if labels.clone().count() > LABELS
            || labels.clone().any(|(name, value)| name.is_empty() || name.contains('=') || odd(name) || odd(value))
        {
            return Err(Problem::bad_request(
                "the labels cannot be used",
                format!(
                    "a session has {LABELS} at most; a name has no = in it and is not empty, and names and values have \
                     {LABEL} bytes at most and no control characters"
                ),
                "choose others",
            ));
        }
        Ok(())
    }

    /// What the engine is asked for. `id`: the one that a client chose, if it did.
    pub(crate) fn options(&self, id: Option<&str>) -> SessionOptions {
        SessionOptions {
            python: self.python.clone(),
            preload: self.preload.clone().unwrap_or_default(),
            isolation: self.isolation.clone(),
            limits: self.limits.clone().unwrap_or_default(),
            name: self.name.as_deref().or(id).map(str::to_owned),
            cwd: self.cwd.clone(),
            env: self.env.clone().unwrap_or_default(),
            default_policy: self.default_policy,
            undo: self.undo.unwrap_or(0),
            transaction_timeout: self.transaction_timeout,
            from_checkpoint: self.from_checkpoint.clone(),
            autosave: self.autosave.clone(),
            // Clients of a service come and go.
            detached: true,
            ..SessionOptions::default()
        }
    }

    /// What is known of a session that was made otherwise: branched off, or by a server that left no record.
    pub(crate) fn of_options(options: &SessionOptions) -> SessionSpec {
        SessionSpec {
            python: options.python.clone(),
            preload: Some(options.preload.clone()),
            isolation: options.isolation.clone(),
            limits: Some(options.limits.clone()),
            undo: Some(options.undo),
            autosave: options.autosave.clone(),
            from_checkpoint: options.from_checkpoint.clone(),
            env: Some(options.env.clone()),
            cwd: options.cwd.clone(),
            name: options.name.clone(),
            default_policy: options.default_policy,
            transaction_timeout: options.transaction_timeout,
            ..SessionSpec::default()
        }
    }

    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map(Duration::from_secs_f64)
    }

    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.lifetime.map(Duration::from_secs_f64)
    }

    /// Which of the fields that are given here differ from what a session was made with.
    pub(crate) fn differences(&self, made: &SessionSpec, python: Option<&PythonInfo>) -> Vec<&'static str> {
        fn differs<T: PartialEq>(asked: Option<&T>, made: Option<&T>, without: &T) -> bool {
            asked.is_some_and(|asked| asked != made.unwrap_or(without))
        }
        fn other<T: PartialEq>(asked: Option<&T>, made: Option<&T>) -> bool {
            asked.is_some() && asked != made
        }
        let other_python = self.python.as_ref().is_some_and(|asked| {
            made.python.as_ref() != Some(asked)
                && !python.is_some_and(|found| found.executable == *asked || found.prefix == *asked)
        });
        let fields = [
            ("python", other_python),
            ("preload", differs(self.preload.as_ref(), made.preload.as_ref(), &Vec::new())),
            ("isolation", differs(self.isolation.as_ref(), made.isolation.as_ref(), &Isolation::None)),
            ("limits", differs(self.limits.as_ref(), made.limits.as_ref(), &Limits::default())),
            ("undo", differs(self.undo.as_ref(), made.undo.as_ref(), &0)),
            ("autosave", other(self.autosave.as_ref(), made.autosave.as_ref())),
            ("from_checkpoint", other(self.from_checkpoint.as_ref(), made.from_checkpoint.as_ref())),
            ("idle_timeout", other(self.idle_timeout.as_ref(), made.idle_timeout.as_ref())),
            ("lifetime", other(self.lifetime.as_ref(), made.lifetime.as_ref())),
            ("labels", differs(self.labels.as_ref(), made.labels.as_ref(), &BTreeMap::new())),
            ("env", differs(self.env.as_ref(), made.env.as_ref(), &BTreeMap::new())),
            ("cwd", other(self.cwd.as_ref(), made.cwd.as_ref())),
            ("name", other(self.name.as_ref(), made.name.as_ref())),
            (
                "default_policy",
                differs(self.default_policy.as_ref(), made.default_policy.as_ref(), &TransactionPolicy::default()),
            ),
            (
                "transaction_timeout",
                differs(self.transaction_timeout.as_ref(), made.transaction_timeout.as_ref(), &600.0),
            ),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> SessionSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_what_is_given_is_compared() {
        let made = spec(r#"{"undo": 3, "labels": {"a": "b"}}"#);
        assert!(spec("{}").differences(&made, None).is_empty());
        assert!(spec(r#"{"undo": 3, "preload": [], "isolation": "none"}"#).differences(&made, None).is_empty());
        assert!(spec(r#"{"undo": null, "default_policy": "commit_always"}"#).differences(&made, None).is_empty());
        let others = spec(r#"{"undo": 4, "labels": {}, "cwd": "/", "python": "x"}"#).differences(&made, None);
        assert_eq!(others, ["python", "undo", "labels", "cwd"]);
    }

    #[test]
    fn odd_labels_and_times_are_refused() {
        for json in [
            r#"{"labels": {"": "x"}}"#,
            r#"{"labels": {"a=b": "x"}}"#,
            r#"{"labels": {"a": "x\n"}}"#,
            r#"{"lifetime": 0}"#,
            r#"{"idle_timeout": -1}"#,
            r#"{"idle_timeout": 1e300}"#,
        ] {
            assert!(spec(json).check().is_err(), "{json}");
        }
        assert!(spec(r#"{"labels": {"a": ""}, "lifetime": 0.5}"#).check().is_ok());
        assert!(serde_json::from_str::<SessionSpec>(r#"{"undoo": 3}"#).is_err());
    }
}
