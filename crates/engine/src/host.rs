//! What the sessions and pools of an engine share.

use crate::checkpoint::CheckpointStore;
use crate::config::{EngineConfig, JournalConfig};
use crate::log::Journalling;
use crate::oom::OomWatch;
use crate::registry::Registry;
use crate::session::{Linger, Origin};
use crate::spares::Spares;
use crate::zygote::{Environment, Zygotes};
use pyrepl3_protocol::message::SessionOptions;
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_worker::FindError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of options, as JSON, that the next supervisor of a session is told.
const LARGEST_OPTIONS: usize = 128 << 10;
/// The longest time that a session may wait for another supervisor.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Zygotes, the sessions by their ids, the store.
#[derive(Debug)]
pub(crate) struct Host {
    config: EngineConfig,
    found: tokio::sync::Mutex<Option<PathBuf>>,
    pub(crate) zygotes: Zygotes,
    pub(crate) registry: Arc<Registry>,
    pub(crate) checkpoint_store: Arc<CheckpointStore>,
    pub(crate) spares: Arc<Spares>,
    oom: Arc<OomWatch>,
}

impl Host {
    pub(crate) fn new(config: EngineConfig, registry: Registry, checkpoint_store: Arc<CheckpointStore>) -> Host {
        let data = config.data.clone().unwrap_or_else(|| PathBuf::from("/tmp"));
        Host {
            spares: Spares::new(config.spares, linger(&config)),
            config,
            found: tokio::sync::Mutex::default(),
            zygotes: Zygotes::new(data),
            registry: Arc::new(registry),
            checkpoint_store,
            oom: Arc::default(),
        }
    }

    /// Where a session comes from, but for the process that it is forked from.
    pub(crate) fn origin(&self) -> Origin {
        let journal = self.config.journal.zip(self.config.data.clone());
        Origin {
            journalling: journal.map(|(JournalConfig { durability, limits }, data)| Journalling {
                data,
                durability,
                limits,
            }),
            server: None,
            linger: linger(&self.config),
            registry: self.registry.clone(),
            checkpoint_store: self.checkpoint_store.clone(),
            oom: self.oom.clone(),
            family: Arc::new(()),
        }
    }

    /// # Errors
    /// Sessions are to outlive the engine, and there is no data directory where another could find them.
    pub(crate) fn check_linger(&self, options: &SessionOptions) -> Result<(), Failure> {
        let Some(grace) = self.config.linger else { return Ok(()) };
        let refuse = |why: String, how: &str| {
            Err(Failure::new(Code::BadRequest, "sessions cannot outlive this engine", why, how.to_owned()))
        };
        if self.config.data.is_none() {
            return refuse("it has no data directory, where another engine could find them".into(), "give it one");
        }
        let size = serde_json::to_vec(options).map_or(0, |json| json.len());
        if size > LARGEST_OPTIONS {
            let why = format!("a session's options have {size} bytes; another engine gets {LARGEST_OPTIONS} at most");
            return refuse(why, "set fewer or shorter environment variables; set the others in the session");
        }
        if grace.is_zero() || grace > LONGEST_GRACE {
            let how = "give a time above 0, and up to 30 days";
            return refuse(format!("they would wait for {} s", grace.as_secs_f64()), how);
        }
        Ok(())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.config.data.as_deref()
    }

    /// The environment that options ask for.
    pub(crate) async fn environment(&self, options: &SessionOptions) -> Result<Environment, Failure> {
        let asked = options.python.as_deref().map(Path::new).or(self.config.python.as_deref());
        let python = match asked {
            Some(path) if path.components().count() > 1 => {
                pyrepl3_worker::find::program(path).map_err(|error| not_found(&error))?
            }
            asked => {
                let mut found = self.found.lock().await;
                match (&*found, asked) {
                    (Some(found), None) => found.clone(),
                    _ => {
                        let search = self.config.search.clone();
                        let asked = asked.map(Path::to_path_buf);
                        let bare = asked.is_some();
                        // Interpreters are run to ask what they are.
                        let one = tokio::task::spawn_blocking(move || pyrepl3_worker::find(asked.as_deref(), &search))
                            .await
                            .map_err(|error| {
                                Failure::new(
                                    Code::Internal,
                                    "the look for an interpreter failed",
                                    error.to_string(),
                                    "",
                                )
                            })?
                            .map_err(|error| not_found(&error))?;
                        let path =
                            if one.info.executable.is_empty() { one.path } else { PathBuf::from(one.info.executable) };
                        if !bare {
                            *found = Some(path.clone());
                        }
                        path
                    }
                }
            }
        };
        Ok(Environment { python, preload: options.preload.clone(), open_files: self.config.open_files })
    }
}

/// How its sessions outlive an engine, if they do.
fn linger(config: &EngineConfig) -> Option<Linger> {
    config.linger.zip(config.data.clone()).map(|(grace, data)| Linger { data, grace })
}

fn not_found(error: &FindError) -> Failure {
    Failure::new(
        Code::PythonNotFound,
        "no suitable Python interpreter",
        error.to_string(),
        "install CPython 3.10 or later, or name one (or a virtual environment) with --python; `pyrepl3 doctor` lists what is there",
    )
}
