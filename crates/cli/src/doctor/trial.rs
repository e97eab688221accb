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
    pub(crate) snapshots: Snapshots,
    /// Whether the interpreter runs without its global lock.
    pub(crate) free_threaded: bool,
    pub(crate) packages: Vec<Package>,
    pub(crate) failure: Option<Failure>,
}

/// Whether a snapshot can be taken and returned to, by doing so: that needs the native helper.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Snapshots {
    pub(crate) ok: bool,
    /// Seconds to take one, and to return to it.
    pub(crate) take_seconds: Option<f64>,
    pub(crate) return_seconds: Option<f64>,
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
        snapshots: Snapshots::default(),
        free_threaded: false,
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
        self.snapshots.failure = self.snapshots.fill(&session).await.err();
        self.snapshots.ok = self.snapshots.failure.is_none();
        let lock = value(&session, "import sysconfig; sysconfig.get_config_var('Py_GIL_DISABLED') == 1").await?;
        self.free_threaded = lock.repr.as_deref() == Some("True");
        let packages = value(&session, PACKAGES).await?;
        if let Some(list) = packages.value {
            self.packages = serde_json::from_str(list.get()).unwrap_or_default();
        }
        session.shutdown().await;
        Ok(())
    }

    pub(crate) fn missing(&self, missing: &mut Vec<Missing>) {
        if let (true, Some(failure)) = (self.ok, &self.snapshots.failure) {
            missing.push(Missing::new("snapshots", &failure.why, &failure.how));
        }
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

impl Snapshots {
    /// A change, a return, and a thread that goes on over it.
    async fn fill(&mut self, session: &Session) -> Result<(), Failure> {
        const BEFORE: &str = "import threading\n_doctor, _go_on = [1], threading.Event()\n\
                              _thread = threading.Thread(target=lambda: (_go_on.wait(), _doctor.append(2)))\n_thread.start()";
        value(session, BEFORE).await?;
        let began = Instant::now();
        let made = session.snapshot(None).await?;
        self.take_seconds = Some(began.elapsed().as_secs_f64());
        value(session, "_go_on.set(); _thread.join(); _doctor.append(3)").await?;
        let began = Instant::now();
        session.rollback_to(&made.snapshot_id, None).await?;
        self.return_seconds = Some(began.elapsed().as_secs_f64());
        let found = value(session, "_go_on.set(); _thread.join(); _doctor").await?;
        match found.repr.as_deref() {
            Some("[1, 2]") => Ok(()),
            other => Err(Failure::new(
                Code::Internal,
                "a snapshot did not bring the state back",
                format!("a list and a thread were not as they had been: {other:?}"),
                "please report it",
            )),
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
