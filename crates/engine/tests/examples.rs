//! The example analysis, and the packages that data people use, where the environment has them.

mod common;

use common::{run, session_with};
use pyrepl3_engine::SessionOptions;

/// An interpreter with numpy, pandas and matplotlib: `cargo xtask test` names it.
fn equipped() -> Option<SessionOptions> {
    let python = std::env::var("PYREPL3_TEST_PYTHON").ok()?;
    Some(SessionOptions { python: Some(python), ..SessionOptions::default() })
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[tokio::test]
async fn the_nile_step_by_step() {
    let options = equipped().unwrap_or_default();
    let (engine, session) = session_with(SessionOptions { cwd: Some(ROOT.into()), ..options }).await;
    let script = std::fs::read_to_string(format!("{ROOT}/examples/nile.py")).unwrap();
    let (mut stdout, mut answer, mut figures) = (String::new(), String::new(), 0);
    for (number, step) in script.split("\n# %%").enumerate() {
        // The first step is the docstring; each other one begins within a comment.
        let code = if number == 0 { step.to_owned() } else { format!("#{step}") };
        let ran = run(&session, code.as_str()).await;
        stdout.push_str(&ran.stdout);
        figures += ran.displays.iter().filter(|display| display.data.contains_key("image/png")).count();
        answer = ran.value().to_owned();
    }
    assert!(stdout.contains("100 years, 1871 to 1970; mean 919.4"), "{stdout}");
    assert!(stdout.contains("the flow changed after 1898: 1098 before, 850 after"), "{stdout}");
    assert_eq!(answer, r#"{"changed_after":1898,"t":8.41}"#, "{stdout}");
    if std::env::var_os("PYREPL3_TEST_PYTHON").is_some() {
        assert_eq!(figures, 1);
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn numpy_pandas_and_matplotlib() {
    let Some(options) = equipped() else {
        eprintln!("no PYREPL3_TEST_PYTHON: the environment's packages are tested by cargo xtask test");
        return;
    };
    let preload = vec!["numpy".to_owned(), "pandas".to_owned()];
    let (engine, session) = session_with(SessionOptions { preload, ..options }).await;
    let other = engine.start(session.options().clone()).await.unwrap();
    run(&session, "import numpy as np, pandas as pd").await;
    let frame = run(&session, "df = pd.DataFrame({'a': [1, 2]}); df").await;
    assert!(frame.ok().data["text/html"].get().contains("<table") && frame.repr().contains("a\n0  1"));
    assert!(
        frame.ok().value_type.as_deref().is_some_and(|name| name.starts_with("pandas.") && name.ends_with("DataFrame"))
    );
    assert_eq!(run(&session, "np.float64(1.5)").await.value(), "null");
    assert!(run(&session, "np.zeros(10**7)").await.repr().len() < 200);
    // Random state is fresh in every session.
    let draw = "import numpy; float(numpy.random.rand())";
    assert_ne!(run(&session, draw).await.value(), run(&other, draw).await.value());
    // Figures: at show, at the end, and as a value, each once.
    run(&session, "import matplotlib.pyplot as plt").await;
    let shown = run(&session, "plt.plot([1, 2]); plt.show(); print('after')").await;
    assert_eq!((shown.displays.len(), shown.stdout.as_str(), shown.stderr.as_str()), (1, "after\n", ""));
    assert!(shown.displays[0].data["image/png"].get().len() > 1000);
    assert_eq!(run(&session, "plt.plot([1, 2]); plt.figure(); plt.plot([2, 1]); None").await.displays.len(), 2);
    let value = run(&session, "f, ax = plt.subplots(); ax.plot([1]); f").await;
    assert_eq!((value.displays.len(), value.ok().data.contains_key("image/png")), (0, true));
    assert_eq!(run(&session, "1").await.displays.len(), 0);
    let variables = session.variables().await.unwrap();
    let df = variables.iter().find(|variable| variable.name == "df").unwrap();
    assert_eq!(df.shape, Some(vec![2, 1]));
    // Threads of the maths libraries work in forked sessions.
    assert_eq!(run(&session, "float((np.ones((500, 500)) @ np.ones((500, 500))).sum())").await.value(), "125000000.0");
    engine.shutdown().await;
}
