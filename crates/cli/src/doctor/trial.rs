//! A session on trial: does one start, does it compute, what can it import?

use super::missing::Missing;
use pyrepl3_engine::protocol::message::{PythonInfo, ResultMessage};
use pyrepl3_engine::{Code, Engine, ExecutionError, Failure, Session, SessionOptions};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Trial {
    pub(crate) ok: bool,
    pub(crate) python: Option<PythonInfo>,
    /// Seconds from nothing to a session that is ready, with the look for an interpreter.
    pub(crate) start_seconds: Option<f64>,
    /// Seconds for one more session of the same environment.
    pub(crate) next_start_seconds: Option<f64>,
    /// Seconds for `1+1`, there and back.
    pub(crate) execute_seconds: Option<f64>,
    pub(crate) packages: Vec<Package>,
    pub(crate) failure: Option<Failure>,
}

/// A package that many sessions use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// Why it cannot be imported.
    pub(crate) why: Option<String>,
}

const PACKAGES: &str = r#"
def _versions():
    found = []
    for name in ("numpy", "pandas", "matplotlib"):
        try:
            module = __import__(name)
            found.append({"name": name, "version": str(getattr(module, "__version__", "?")), "why": None})
        except BaseException as error:
            found.append({"name": name, "version": None, "why": f"{type(error).__name__}: {error}"})
    return found
_versions()
"#;

/// Starts a session and has it compute.
pub(crate) async fn run(engine: &Engine, options: SessionOptions) -> Trial {
    let mut trial = Trial {
        ok: false,
        python: None,
        start_seconds: None,
        next_start_seconds: None,
        execute_seconds: None,
        packages: Vec::new(),
        failure: None,
    };
    if let Err(failure) = trial.fill(engine, options).await {
        trial.failure = Some(failure);
    }
    trial
}

impl Trial {
    async fn fill(&mut self, engine: &Engine, options: SessionOptions) -> Result<(), Failure> {
        let started = Instant::now();
        let session = engine.start(options.clone()).await?;
        self.start_seconds = Some(started.elapsed().as_secs_f64());
        self.python = session.python();
        // The first one warms up.
        value(&session, "1+1").await?;
        let asked = Instant::now();
        let two = value(&session, "1+1").await?;
        self.execute_seconds = Some(asked.elapsed().as_secs_f64());
        if two.repr.as_deref() != Some("2") {
            return Err(Failure::new(Code::Internal, "a session computed 1+1 wrongly", format!("{:?}", two.repr), ""));
        }
        let started = Instant::now();
        let another = engine.start(options).await?;
        self.next_start_seconds = Some(started.elapsed().as_secs_f64());
        another.shutdown().await;
        self.ok = true;
        let packages = value(&session, PACKAGES).await?;
        if let Some(list) = packages.value {
            self.packages = serde_json::from_str(list.get()).unwrap_or_default();
        }
        session.shutdown().await;
        Ok(())
    }

    pub(crate) fn missing(&self, missing: &mut Vec<Missing>) {
        let absent: Vec<_> =
            self.packages.iter().filter(|one| one.version.is_none()).map(|one| one.name.as_str()).collect();
        if let (Some(python), false) = (&self.python, absent.is_empty()) {
            missing.push(Missing::new(
                absent.join(", "),
                format!("{} cannot import {}", python.executable, if absent.len() == 1 { "it" } else { "them" }),
                format!("if your code needs it: {} -m pip install {}", python.executable, absent.join(" ")),
            ));
        }
    }
}

async fn value(session: &Session, code: &str) -> Result<ResultMessage, Failure> {
    session.execute(code)?.result().await.map_err(|error| match error {
        ExecutionError::Refused(failure) => failure,
        ExecutionError::Ended(error) => {
            Failure::new(Code::EnvironmentFailed, "a session could not compute", error.traceback.trim(), "")
        }
    })
}
