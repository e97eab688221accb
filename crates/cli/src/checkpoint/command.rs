//! What each subcommand does: prints for people or for programs, and an exit status.

use super::render::{self, called, differences, list};
use crate::args::{CheckpointCommand, Common, PruneArgs};
use crate::table::plain;
use crate::{exit, message, size, start};
use pyrepl3_engine::{Code, Deleted, Engine, Failure, Retention, Verification};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

/// Does it and returns the exit status.
pub(crate) async fn main(command: &CheckpointCommand, common: &Common) -> u8 {
    let runner = Runner { engine: start::engine(common), json: common.json };
    match runner.perform(command).await {
        Ok(status) => status,
        Err(failure) => runner.failed(&failure),
    }
}

struct Runner {
    engine: Engine,
    json: bool,
}

/// The line of a failure, for programs.
#[derive(Serialize)]
struct Failed<'f> {
    error: Code,
    what: &'f str,
    why: &'f str,
    how: &'f str,
}

impl Runner {
    async fn perform(&self, command: &CheckpointCommand) -> Result<u8, Failure> {
        match command {
            CheckpointCommand::List => {
                let known = self.engine.checkpoints().await?;
                self.each(&known)?;
                self.text(|| list(&known).join("\n"));
            }
            CheckpointCommand::Show { checkpoint } => {
                let details = self.engine.checkpoint_details(checkpoint).await?;
                self.each(std::slice::from_ref(&details))?;
                self.text(|| render::details(&details).join("\n"));
            }
            CheckpointCommand::Diff { a, b } => {
                let found = self.engine.diff(a, b).await?;
                self.each(&found)?;
                self.text(|| differences(&found).join("\n"));
            }
            CheckpointCommand::Delete { checkpoints } => return Ok(self.delete(checkpoints).await),
            CheckpointCommand::Export { checkpoint, file } => {
                let (line, bytes) = self.engine.export_checkpoint(checkpoint, file).await?;
                self.each(&[serde_json::json!({
                    "checkpoint_id": line.checkpoint_id, "name": line.name, "file": file, "bytes": bytes,
                })])?;
                self.text(|| {
                    format!(
                        "wrote {} to {} ({})",
                        called(&line.name, &line.checkpoint_id),
                        file.display(),
                        size::bytes(bytes)
                    )
                });
            }
            CheckpointCommand::Import { file, trust } => {
                if !trust {
                    return Err(Failure::new(
                        Code::BadRequest,
                        format!("{} was not imported", file.display()),
                        "a checkpoint holds pickles, which are programs: to restore one that somebody else made runs their code, with all your rights",
                        "if you know who made it and trust them, say so: add --trust",
                    ));
                }
                let line = self.engine.import_trusted_checkpoint(file).await?;
                self.each(std::slice::from_ref(&line))?;
                self.text(|| format!("imported {} as {}", file.display(), called(&line.name, &line.checkpoint_id)));
            }
            CheckpointCommand::Verify { checkpoint } => return self.verify(checkpoint.as_deref()).await,
            CheckpointCommand::Prune(rules) => self.prune(rules).await?,
        }
        Ok(exit::SUCCESS)
    }

    /// Each that can be deleted is, whatever becomes of the others.
    async fn delete(&self, checkpoints: &[String]) -> u8 {
        let mut status = exit::SUCCESS;
        for asked in checkpoints {
            match self.engine.delete_checkpoint(asked).await {
                Ok(deleted) => {
                    if let Err(failure) = self.each(std::slice::from_ref(&deleted)) {
                        status = self.failed(&failure);
                    }
                    self.text(|| format!("deleted {}, {}", plain(asked), freed(&deleted)));
                }
                Err(failure) => status = self.failed(&failure),
            }
        }
        status
    }

    async fn verify(&self, checkpoint: Option<&str>) -> Result<u8, Failure> {
        let asked = match checkpoint {
            Some(one) => vec![one.to_owned()],
            None => self.engine.checkpoints().await?.into_iter().map(|one| one.checkpoint_id).collect(),
        };
        if asked.is_empty() {
            self.text(|| "there are no checkpoints".to_owned());
        }
        let mut status = exit::SUCCESS;
        for one in asked {
            let report = match self.engine.verify_checkpoint(&one).await {
                // Its list of names itself cannot be read: nothing of it can be had.
                Err(failure) if failure.code == Code::CheckpointDamaged => Verification {
                    checkpoint_id: one,
                    name: None,
                    whole: false,
                    damaged: Vec::new(),
                    good: Vec::new(),
                    why: vec![failure.why],
                },
                other => other?,
            };
            if !report.whole {
                status = exit::ENVIRONMENT;
            }
            self.each(std::slice::from_ref(&report))?;
            self.text(|| render::verification(&report).join("\n"));
        }
        Ok(status)
    }

    async fn prune(&self, rules: &PruneArgs) -> Result<(), Failure> {
        let names: HashMap<String, Option<String>> =
            self.engine.checkpoints().await?.into_iter().map(|one| (one.checkpoint_id, one.name)).collect();
        let rule = Retention {
            keep_last: rules.keep_last,
            keep_named: rules.keep_named,
            max_age: rules.older_than.map(|days| Duration::try_from_secs_f64(days * 86_400.0).unwrap_or(Duration::MAX)),
            max_bytes: rules.max_bytes,
        };
        let nothing_asked = rule.keep_last.is_none() && rule.max_age.is_none() && rule.max_bytes.is_none();
        let deleted = self.engine.prune_checkpoints(rule).await?;
        self.each(std::slice::from_ref(&deleted))?;
        self.text(|| {
            let mut lines: Vec<String> = (deleted.checkpoints.iter())
                .map(|id| format!("deleted {}", called(names.get(id).unwrap_or(&None), id)))
                .collect();
            let count = lines.len();
            lines.push(match (count, nothing_asked) {
                (_, true) => format!("no rule was given, so no checkpoint went; {}", freed(&deleted)),
                (0, false) => format!("no checkpoint had to go; {}", freed(&deleted)),
                (1, false) => format!("1 checkpoint went, {}", freed(&deleted)),
                (count, false) => format!("{count} checkpoints went, {}", freed(&deleted)),
            });
            lines.join("\n")
        });
        Ok(())
    }

    /// For programs: a line for each.
    fn each<T: Serialize>(&self, items: &[T]) -> Result<(), Failure> {
        if self.json {
            for item in items {
                let line = serde_json::to_string(item).map_err(|error| {
                    Failure::new(Code::Internal, "the answer could not be written as JSON", error.to_string(), "")
                })?;
                out(&line);
            }
        }
        Ok(())
    }

    fn text(&self, text: impl FnOnce() -> String) {
        if !self.json {
            out(&text());
        }
    }

    fn failed(&self, failure: &Failure) -> u8 {
        if self.json {
            let line = Failed { error: failure.code, what: &failure.what, why: &failure.why, how: &failure.how };
            if let Ok(line) = serde_json::to_string(&line) {
                out(&line);
            }
        }
        message::failure(failure);
        match failure.code {
            // As for a file that is not there.
            Code::CheckpointNotFound => exit::USAGE,
            _ => exit::of_failure(failure),
        }
    }
}

fn freed(deleted: &Deleted) -> String {
    let text = format!("{} freed", size::bytes(deleted.freed_bytes));
    if deleted.postponed { text + "; the rest is in use, and is freed by the next start" } else { text }
}

/// Prints a line. That nobody reads it is no failure.
fn out(text: &str) {
    _ = std::io::stdout().write_all(format!("{text}\n").as_bytes());
}
