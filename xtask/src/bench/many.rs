//! Ten thousand sessions in one engine. Their workers are scripted: what the engine has of each is measured, without the
//! processes.

#[path = "../../../crates/engine/tests/scripted/mod.rs"]
mod scripted;

use super::report::Table;
use crate::{Done, root};

pub(super) async fn measure(table: &mut Table) -> Done {
    let wanted = table.times(10_000);
    let cost = scripted::measure(&root().join("crates/engine/tests/scripted/interpreter.py"), wanted).await?;
    if cost.sessions < wanted {
        eprintln!("the hard limit of descriptors lets {} of {wanted} sessions be open at once", cost.sessions);
    }
    table.add("many_sessions", vec![cost.sessions as f64]);
    table.add("many_idle", vec![cost.idle / 1e3]);
    table.add("many_printed", vec![cost.printed / 1e3]);
    table.add("many_descriptors", vec![cost.descriptors]);
    Ok(())
}
