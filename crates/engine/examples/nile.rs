//! Runs the analysis of `examples/nile.py` step by step in a session, from Rust:
//! `cargo run -p pyrepl3-engine --example nile`

use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let script = std::fs::read_to_string(format!("{root}/examples/nile.py"))?;
    let mut config = EngineConfig::new(SearchPath::from_env());
    config.python = std::env::var_os("PYREPL3_TEST_PYTHON").map(Into::into);
    let engine = Engine::new(config);
    let session = engine.start(SessionOptions { cwd: Some(root.into()), ..SessionOptions::default() }).await?;
    let mut answer = None;
    for (number, step) in script.split("\n# %%").enumerate() {
        let code = if number == 0 { step.to_owned() } else { format!("#{step}") };
        let mut execution = session.execute(code.as_str())?;
        while let Some(message) = execution.next().await {
            match message.into_message() {
                Message::OutputMessage(output) => print!("{}", output.data),
                Message::DisplayMessage(display) => println!("a figure, as {:?}", display.data.keys()),
                Message::ResultMessage(result) => answer = result.value,
                Message::ErrorMessage(error) => return Err(error.traceback.into()),
                _ => {}
            }
        }
    }
    println!("{}", answer.map_or_else(String::new, |value| value.get().to_owned()));
    engine.shutdown().await;
    Ok(())
}
