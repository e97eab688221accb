//! The worker's part of a manifest, as far as it is shown. It was made by a process in which user code ran: it is read as text that may say anything, fields
//! that are unknown are passed over, and those that are missing are empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::manifest::Manifest;
use crate::{Error, Result};

/// What a checkpoint holds, by name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Body {
    /// The interpreter that made it.
    pub python: Python,
    /// Packages that its pickles need, with versions.
    pub packages: BTreeMap<String, Option<String>>,
    /// Names that are saved and restored together.
    pub groups: Vec<Group>,
    /// Every name, with what it was.
    pub variables: Vec<Variable>,
    /// What could not be saved, with the reason.
    pub lost: Vec<Lost>,
    /// Functions and classes made in the session, with their source.
    pub definitions: Vec<Definition>,
    /// Modules and what was imported from them.
    pub imports: Vec<Import>,
    /// Everything that is not a name: working directory, environment, random state. Each in the form of its kind.
    pub context: Vec<Box<RawValue>>,
}

macro_rules! view {
    ($(#[doc = $doc:literal] $name:ident { $($(#[$meta:meta])+ $field:ident: $kind:ty,)* })*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$meta])+ #[serde(deserialize_with = "or_default")] pub $field: $kind,)*
        }
    )*};
}

view! {
    /// The interpreter that made a checkpoint.
    Python {
        /// As in `3.11.7`.
        version: String,
        /// As in `cpython`.
        implementation: String,
        /// The magic number of its byte code, in hexadecimal digits.
        magic: String,
        /// Its path.
        executable: String,
    }
    /// Names that share mutable objects.
    Group {
        /// The names.
        names: Vec<String>,
        /// How it was kept: import, pickle, cloudpickle, source, data.
        tier: String,
        /// The blob with its stream.
        stream: Option<u32>,
        /// The blobs with its buffers.
        buffers: Vec<u32>,
        /// Packages that it needs.
        requires: Vec<String>,
        /// Its size in bytes.
        bytes: u64,
        /// Definitions that it needs.
        definitions: Vec<String>,
    }
    /// One name.
    Variable {
        /// The name.
        name: String,
        /// How it was kept, or `lost`.
        tier: String,
        /// The full name of its type.
        #[serde(rename = "type")] type_name: String,
        /// Its size in bytes, as far as it is known.
        size: Option<u64>,
        /// The number of its group.
        group: Option<u32>,
    }
    /// What could not be saved.
    Lost {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    }
    /// A function or class made in the session.
    Definition {
        /// The name.
        name: String,
        /// As in `class`.
        kind: String,
        /// Its source, where it is known.
        source: Option<String>,
    }
    /// A name that stands for a module, or for something from one.
    Import {
        /// The name.
        name: String,
        /// The module.
        module: String,
        /// What of the module, or the module itself.
        attribute: Option<String>,
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Manifest {
    /// Reads the worker's part.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it has not the form that it should. The blobs may be whole all the same.
    pub fn view(&self) -> Result<Body> {
        serde_json::from_str(&without_surrogates(self.body.get())).map_err(|error| Error::Damaged {
            checkpoint: format!("checkpoint {}", self.id),
            what: format!("its list of names has not the form that it should: {error}"),
            still_good: "The bytes are those that were saved".into(),
        })
    }

    /// The names that need a blob, and the other ones, each sorted: those of variables, not those in angle brackets under
    /// which the context has something to share. Both are empty where the worker's part cannot be read.
    pub(crate) fn names_by(&self, damaged: &[u32]) -> (Vec<String>, Vec<String>) {
        let (mut bad, mut good) = (Vec::new(), Vec::new());
        for group in self.view().map(|body| body.groups).unwrap_or_default() {
            let needs = group.stream.iter().chain(&group.buffers).any(|blob| damaged.contains(blob));
            let names = group.names.into_iter().filter(|name| !name.starts_with('<'));
            if needs { &mut bad } else { &mut good }.extend(names);
        }
        bad.sort_unstable();
        good.sort_unstable();
        (bad, good)
    }
}

/// Python writes halves of surrogate pairs as `\ud800`, which is no character. Each becomes U+FFFD, as this is for reading alone.
fn without_surrogates(json: &str) -> String {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json.to_owned();
    }
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut out, mut at) = (String::with_capacity(json.len()), 0);
    while let Some(slash) = json[at..].find('\\').map(|found| at + found) {
        out.push_str(&json[at..slash]);
        let (length, lone) = match (unit(slash), unit(slash + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => (12, false),
            (Some(0xD800..0xE000), _) => (6, true),
            (Some(_), _) => (6, false),
            // A slash and what it stands before, which is one byte in JSON.
            (None, _) => (2, false),
        };
        let end = (slash + length).min(json.len());
        out.push_str(if lone { "\\ufffd" } else { json.get(slash..end).unwrap_or_default() });
        at = end;
    }
    out.push_str(&json[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_becomes_readable() {
        for (json, text) in [
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""\udead\udead\u00e4\n""#, "\u{fffd}\u{fffd}ä\n"),
        ] {
            assert_eq!(serde_json::from_str::<String>(&without_surrogates(json)).unwrap(), text, "{json}");
        }
    }

    #[test]
    fn fields_that_are_unknown_missing_or_null_do_no_harm() {
        let json = r#"{"format":1,"new":{"a":[1]},"variables":[{"name":"x","type":null,"size":3,"else":1},{"name":"y"}],"packages":{"p":null}}"#;
        let body: Body = serde_json::from_str(json).unwrap();
        assert_eq!(
            (body.variables[0].name.as_str(), body.variables[0].size, body.variables[1].group),
            ("x", Some(3), None)
        );
        assert!(body.lost.is_empty() && body.packages.contains_key("p"));
    }
}
