//! The JSON Schema of the public protocol, from the message definitions.

use crate::{Done, root};
use pyrepl3_protocol::Message;

/// Writes `docs/protocol.schema.json`.
pub(crate) fn write() -> Done {
    let path = root().join("docs/protocol.schema.json");
    let text = pyrepl3_protocol::message::schema_document();
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("wrote {} with {} messages", path.display(), Message::TYPES.len());
    Ok(())
}
