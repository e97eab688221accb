//! Supervisors that die at any moment, one after the other, whatever they are about: what was asked happened, or did not,
//! as a whole and once.

use crate::supervisor::{Supervisor, ends, is_of_type};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Lives, and what happens in each: more of both in the long form of the tests.
const BOUNDED: (u64, usize) = (2, 25);
const LONG: (u64, usize) = (20, 60);

pub(crate) fn lives() -> (u64, usize) {
    if std::env::var_os("PYREPL3_LONG").is_some() { LONG } else { BOUNDED }
}

/// A random number generator that a seed determines (SplitMix64, Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

type State = Vec<u64>;

/// A session, and what is known of it from outside.
pub(crate) struct Life<'a> {
    data: &'a Path,
    chance: Chance,
    supervisor: Supervisor,
    id: String,
    state: State,
    /// Snapshots that are certainly there, and their states, oldest first.
    snapshots: Vec<(String, State)>,
    next: u64,
    /// Whether supervisors keep what the session says, and what those that died had told.
    keeps: bool,
    told: Vec<Value>,
}

impl<'a> Life<'a> {
    pub(crate) async fn begin(data: &'a Path, seed: u64, keeps: bool) -> Life<'a> {
        let mut supervisor = if keeps { Supervisor::keeping(data) } else { Supervisor::new(data) };
        let started = supervisor.ask(json!({"do": "start"})).await;
        let id = started["session"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
        let mut life = Life {
            data,
            chance: Chance(seed),
            supervisor,
            id,
            state: vec![],
            snapshots: vec![],
            next: 1,
            keeps,
            told: vec![],
        };
        life.value("seen = []").await;
        life
    }

    /// The session's id, its last supervisor, and what those before it had told.
    pub(crate) fn end(self) -> (String, Supervisor, Vec<Value>) {
        (self.id, self.supervisor, self.told)
    }

    /// Another supervisor begins, and the present one is killed.
    async fn replace_supervisor(&mut self) {
        let next = if self.keeps { Supervisor::keeping(self.data) } else { Supervisor::new(self.data) };
        self.told.extend(std::mem::replace(&mut self.supervisor, next).kill().await);
    }

    async fn value(&mut self, code: &str) -> Value {
        let answer = self.supervisor.ask(json!({"do": "value", "code": code})).await;
        assert!(answer.get("failure").is_none(), "{code}: {answer}; {:?}", self.supervisor.events);
        answer["value"].clone()
    }

    async fn seen(&mut self) -> State {
        let seen = self.value("seen").await;
        serde_json::from_str(seen.as_str().unwrap()).unwrap()
    }

    /// Another number in the list, as it would be.
    fn appended(&mut self) -> (u64, State) {
        let number = self.next;
        self.next += 1;
        (number, self.state.iter().copied().chain([number]).collect())
    }

    /// The supervisor dies after a moment, and the next takes over.
    async fn die(&mut self) {
        tokio::time::sleep(Duration::from_micros(self.chance.below(15_000))).await;
        self.replace_supervisor().await;
        // Those that take over may die while they do.
        for _ in 0..self.chance.below(4).saturating_sub(1) {
            self.supervisor.tell(json!({"do": "adopt", "id": self.id})).await;
            tokio::time::sleep(Duration::from_micros(4_000 + self.chance.below(30_000))).await;
            self.replace_supervisor().await;
        }
        let taken = self.supervisor.ask(json!({"do": "adopt", "id": self.id})).await;
        assert_eq!(taken["session"], json!(self.id), "{taken}");
    }

    /// The state is one of those that are possible. Returns which.
    async fn is_one_of(&mut self, what: &str, possible: &[State]) -> usize {
        let seen = self.seen().await;
        let at = possible.iter().position(|state| *state == seen);
        let events = &self.supervisor.events;
        let at = at.unwrap_or_else(|| panic!("{what}: it is {seen:?}, and none of {possible:?}: {events:?}"));
        self.state = seen;
        at
    }

    /// Something happens, and the supervisor dies while it does.
    pub(crate) async fn step(&mut self) {
        let kind = self.chance.below(8);
        println!("{kind}, from {:?}", self.state);
        match kind {
            0 => {
                let (number, after) = self.appended();
                self.execute(&format!("seen.append({number})"), None).await;
                self.die().await;
                self.is_one_of("an execution", &[self.state.clone(), after]).await;
            }
            1 => {
                let (number, _) = self.appended();
                self.execute(&format!("seen.append({number}); 1 / 0"), Some("commit_on_success")).await;
                self.die().await;
                self.is_one_of("one that is undone", std::slice::from_ref(&self.state.clone())).await;
            }
            2 => {
                let (number, after) = self.appended();
                self.execute(&format!("seen.append({number}); 'x' * 300_000"), None).await;
                self.die().await;
                self.is_one_of("one with a large result", &[self.state.clone(), after]).await;
            }
            3 => {
                let taken = self.supervisor.ask(json!({"do": "snapshot"})).await;
                let id = taken["answer"]["snapshot_id"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
                self.snapshots.push((id, self.state.clone()));
                self.snapshots.drain(..self.snapshots.len().saturating_sub(5));
                self.die().await;
                self.is_one_of("a snapshot", std::slice::from_ref(&self.state.clone())).await;
            }
            4 if !self.snapshots.is_empty() => {
                let at = self.chance.below(self.snapshots.len() as u64) as usize;
                let (id, state) = self.snapshots[at].clone();
                self.supervisor.tell(json!({"do": "rollback_to", "id": id})).await;
                self.die().await;
                self.is_one_of("a return", &[self.state.clone(), state.clone()]).await;
                let again = self.supervisor.ask(json!({"do": "rollback_to", "id": id})).await;
                assert_eq!(again["answer"]["exact"], true, "the snapshot is still there: {again}");
                self.snapshots.truncate(at + 1);
                self.is_one_of("the same return again", &[state]).await;
            }
            5 => {
                let before = self.state.clone();
                let begun = self.supervisor.ask(json!({"do": "begin"})).await;
                assert!(begun.get("failure").is_none(), "{begun}");
                let (number, after) = self.appended();
                self.value(&format!("seen.append({number})")).await;
                let commits = self.chance.below(2) == 0;
                self.supervisor.tell(json!({"do": if commits { "commit" } else { "rollback" }})).await;
                self.die().await;
                let possible = if commits { vec![after] } else { vec![before.clone(), after] };
                self.is_one_of("a transaction", &possible).await;
                let status = self.supervisor.ask(json!({"do": "status"})).await;
                if !status["answer"]["transaction"].is_null() {
                    let rolled_back = self.supervisor.ask(json!({"do": "rollback"})).await;
                    assert!(rolled_back.get("failure").is_none(), "{rolled_back}");
                    self.is_one_of("a transaction that was open", &[before]).await;
                }
            }
            6 => {
                let (number, after) = self.appended();
                self.execute("seen.append(int(input('? ')))", None).await;
                // One that keeps events tells those of earlier executions first.
                let execution = json!(format!("exe_{}", self.next));
                let is_its = |event: &Value| is_of_type(event, "input") && event["execution_id"] == execution;
                let prompt = self.supervisor.event(is_its).await;
                let answer = json!({"do": "answer", "input": prompt["id"], "value": number.to_string()});
                self.supervisor.tell(answer.clone()).await;
                self.die().await;
                let status = self.supervisor.ask(json!({"do": "status"})).await;
                if !status["answer"]["inputs"].as_array().is_none_or(Vec::is_empty) {
                    // Or it had come, and the end of what asked for it was read meanwhile.
                    let answered = self.supervisor.ask(answer).await.to_string();
                    assert!(!answered.contains("failure") || answered.contains("no prompt"), "{answered}");
                }
                self.is_one_of("a prompt", &[after]).await;
            }
            _ => {
                self.supervisor.tell(json!({"do": "branch", "count": 2})).await;
                self.die().await;
                let orphans = self.supervisor.ask(json!({"do": "end_orphans"})).await;
                assert!(orphans.get("failure").is_none(), "{orphans}");
                self.is_one_of("branches", std::slice::from_ref(&self.state.clone())).await;
            }
        }
    }

    async fn execute(&mut self, code: &str, policy: Option<&str>) {
        let id = format!("exe_{}", self.next);
        self.supervisor.tell(json!({"do": "execute", "id": id, "code": code, "policy": policy})).await;
        // As often as not it has ended before the supervisor dies.
        if policy.is_none() && !code.contains("input") && self.chance.below(3) == 0 {
            self.supervisor.event(|event| ends(event, &id)).await;
        }
    }
}
