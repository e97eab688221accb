//! What is told of a namespace: variables, completions, a closer look at one name. User code shapes some of it (an
//! object's own `nbytes`, say), so numbers that fit nowhere are left out rather than refused.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A variable of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VariableInfo {
    /// Its name.
    pub name: String,
    /// The name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its `repr`, 200 characters at most.
    pub repr: String,
    /// Bytes, as far as the object itself says; not what it refers to.
    #[serde(default, deserialize_with = "plain")]
    pub size: Option<u64>,
    /// Its shape, or its length.
    #[serde(default, deserialize_with = "plain")]
    pub shape: Option<Vec<u64>>,
    /// The module that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// What could be written at a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Completions {
    /// What could stand there, 500 at most.
    pub matches: Vec<Completion>,
    /// Where what it replaces begins, in code points.
    pub start: u64,
    /// Where that ends.
    pub end: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Completion {
    /// The text.
    pub text: String,
    /// `function`, `class`, `module`, `instance` or `keyword`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Inspection {
    /// Whether there is something of this name.
    pub found: bool,
    /// The name.
    pub name: String,
    /// Why it was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The name of its type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Its `repr`, 200 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repr: Option<String>,
    /// How it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    /// The file that it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line there, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Whether code is complete, as an interactive interpreter sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Completeness {
    /// Whether it is.
    pub status: CompletenessStatus,
    /// Spaces that the next line begins with, where it goes on.
    pub indent: u64,
}

/// Whether code is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CompletenessStatus {
    /// It can be run.
    Complete,
    /// It goes on.
    Incomplete,
    /// Nothing that follows makes it right.
    Invalid,
}

/// A value if it is of the plain kind that is expected.
fn plain<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_fit_nowhere_are_left_out() {
        let json = r#"{"name":"a","type":"A","repr":"A()","size":-1,"shape":[1e300,2]}"#;
        let variable: VariableInfo = serde_json::from_str(json).unwrap();
        assert_eq!((variable.size, variable.shape), (None, None));
        let json = r#"{"name":"a","type":"A","repr":"A()","size":8,"shape":[3,2]}"#;
        let variable: VariableInfo = serde_json::from_str(json).unwrap();
        assert_eq!((variable.size, variable.shape), (Some(8), Some(vec![3, 2])));
    }
}
