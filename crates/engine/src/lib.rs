//! Python sessions that last.
//!
//! ```
//! use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions, protocol::Message};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineConfig::new(SearchPath::from_env()));
//! let session = engine.start(SessionOptions::default()).await?;
//! let mut execution = session.execute("name = input('Name: ')\nprint('Hello,', name)\nlen(name)")?;
//! while let Some(message) = execution.next().await {
//!     match message {
//!         Message::InputMessage(prompt) => session.input_response(&prompt.id, Some("Alice".into())).await?,
//!         Message::OutputMessage(output) => print!("{}", output.data),
//!         Message::ResultMessage(result) => assert_eq!(result.repr.as_deref(), Some("5")),
//!         other => println!("{}", other.type_name()),
//!     }
//! }
//! engine.shutdown().await;
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! The map: [`Engine`] owns zygotes (`zygote`), one per environment; a [`Session`] is a handle to a task
//! (`session::actor`) that performs what a pure state machine (`session::machine`) decides; an [`Execution`] is a stream
//! of the messages of one execution (`session::outbox`); a [`Pool`] keeps warm sessions (`pool`). Only `process` touches
//! descriptors and signals.

mod checkpoint;
mod checkpoints;
mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod pool;
mod process;
mod session;
mod zygote;

pub use checkpoints::{CheckpointDetails, DefinitionSource, Deleted, ImportedName, Retention, Verification};
pub use engine::{Engine, EngineConfig};
pub use pool::{Lease, Pool, PoolStats, Quantiles};
pub use pyrepl3_protocol as protocol;
pub use pyrepl3_protocol::message::{Limits, PoolOptions, Reset, SessionOptions};
pub use pyrepl3_protocol::{Code, Failure};
pub use pyrepl3_worker::SearchPath;
pub use session::{CheckpointNote, Checkpointing};
pub use session::{ExecuteRequest, Script, Source};
pub use session::{Execution, ExecutionError, Lineage, PendingInput, Session, SessionEvents, Status, StatusState};
