//! A JSON string kept as it stands.
//!
//! Python strings may hold lone surrogates; Rust strings cannot. Code and answers to prompts therefore pass through
//! the engine as the JSON text that came, and only the worker decodes them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::RawValue;

/// A JSON string literal, with quotes and escapes, unchanged.
#[derive(Debug, Clone)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The literal for a Rust string.
    pub fn new(text: &str) -> Self {
        // A string always serialises.
        JsonText(serde_json::value::to_raw_value(text).unwrap_or_default())
    }

    /// The literal, quotes included.
    pub fn literal(&self) -> &str {
        self.0.get()
    }

    /// The text, if it holds no lone surrogate.
    pub fn decode(&self) -> Option<String> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl From<&str> for JsonText {
    fn from(text: &str) -> Self {
        JsonText::new(text)
    }
}

impl From<String> for JsonText {
    fn from(text: String) -> Self {
        JsonText::new(&text)
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.literal() == other.literal()
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') { Ok(JsonText(raw)) } else { Err(D::Error::custom("expected a string")) }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for JsonText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonText".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_pass_unchanged() {
        let text: JsonText = serde_json::from_str(r#""a\ud800b""#).unwrap();
        assert_eq!(serde_json::to_string(&text).unwrap(), r#""a\ud800b""#);
        assert_eq!(text.decode(), None);
        assert_eq!(JsonText::new("é\n").decode().as_deref(), Some("é\n"));
        assert!(serde_json::from_str::<JsonText>("12").is_err());
    }
}
