//! What the supervisor knows of a session and puts beside what the saver says.

use pyrepl3_store::{Error, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Where it stands in the saver's description. The saver cannot set it.
const KEY: &str = "session";

/// The session's own count of what it has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SessionMetadata {
    /// Number of the last execution in the state, 0 for none.
    pub(crate) execution_count: u64,
    /// Numbers of the executions whose effects are in the state.
    pub(crate) past: Vec<u64>,
    /// Name of the session, by which it is found when it is started again.
    pub(crate) session_name: Option<String>,
    /// Whether it was made by itself.
    pub(crate) automatic: bool,
}

impl SessionMetadata {
    /// The saver's description, with this in it.
    pub(crate) fn put_into(&self, body: &str) -> Result<Box<RawValue>, Error> {
        let bad = |error: serde_json::Error| Error::Misuse(format!("the saver's description is no object: {error}"));
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body).map_err(bad)?;
        fields.insert(KEY.to_owned(), serde_json::value::to_raw_value(self).map_err(bad)?);
        serde_json::value::to_raw_value(&fields).map_err(bad)
    }

    /// What stands in a checkpoint; nothing where it was made by something else.
    pub(crate) fn of(manifest: &Manifest) -> SessionMetadata {
        #[derive(Deserialize)]
        struct Outer {
            #[serde(default)]
            session: SessionMetadata,
        }
        serde_json::from_str::<Outer>(manifest.body().get()).map(|outer| outer.session).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saver_cannot_speak_for_the_supervisor() {
        let extra = SessionMetadata { execution_count: 7, past: vec![5, 7], ..SessionMetadata::default() };
        let body =
            extra.put_into(r#"{"session":{"execution_count":99},"big":123456789012345678901234567890}"#).unwrap();
        assert!(body.get().contains("123456789012345678901234567890"));
        assert!(!body.get().contains("99}"));
    }
}
