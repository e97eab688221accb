//! Python sessions that last.
//!
//! ```
//! use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions, protocol::Message};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineConfig::new(SearchPath::from_env()));
//! let session = engine.start(SessionOptions::default()).await?;
//! let mut execution = session.execute("name = input('Name: ')\nprint('Hello,', name)\nlen(name)")?;
//! while let Some(event) = execution.next().await {
//!     match &*event {
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
//! The map: [`Engine`] owns sessions by their ids (`registry`) and zygotes (`zygote`), one per environment. A [`Session`] is
//! a hold on a task (`session::task`) that performs what pure state machines decide. Everything that a session has to say
//! stands in its log (`log`), which any number of readers follow: an [`Execution`] reads one execution, [`Events`] all else or
//! everything. A [`Pool`] keeps warm sessions (`pool`). Only `process` makes the system calls that send descriptors and signals.

mod catalog;
mod checkpoint;
mod clock;
mod config;
mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod history;
mod host;
mod log;
mod messages;
mod oom;
mod pool;
mod process;
mod registry;
mod session;
mod spares;
mod zygote;

pub use catalog::{CheckpointDetails, DefinitionSource, Deleted, ImportedName, Retention, Verification};
pub use config::{EngineConfig, JournalConfig};
pub use engine::Engine;
pub use history::{History, HistoryLine};
pub use log::{Durability, Event};
pub use pool::{Lease, Pool, PoolStats, Quantiles};
pub use pyrepl3_protocol as protocol;
pub use pyrepl3_protocol::message::{Limits, PoolOptions, Reset, SessionOptions};
pub use pyrepl3_protocol::{Code, Failure};
#[doc(hidden)]
pub use pyrepl3_store::faults;
pub use pyrepl3_store::journal::Limits as JournalLimits;
pub use pyrepl3_worker::SearchPath;
pub use session::{
    Answered, CheckpointNote, Checkpointing, Events, ExecuteRequest, Execution, ExecutionError, Lineage, PendingInput,
    Script, Session, Source, Status, StatusState, Submitted,
};
