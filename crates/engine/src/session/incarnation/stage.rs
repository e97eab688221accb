//! Where one worker of a session is between its fork and its end, as a pure state machine. It knows moments and what was
//! seen, no processes.
//!
//! ```text
//! Starting -- hello ------------> Up -- channel closed --> Hung -- limit: SIGKILL -- limit: breach
//!     |                           ^ |                       |
//!     | refused, limit, exit      | +---- exit -------------+--> Down -- respawn --> Starting
//!     v                           |                                  `- wake -----> Waking
//!  cannot start    Waking -- awake and swept
//!                     `----- limit, exit --> cannot be woken
//!
//! closing:  Up -- may leave --> Leaving -- exit, limit --> Burying -- buried, limit --> Ended
//!           anything else --------------------------------> Burying
//! ```

use super::worker_link::FIRST_WORKER;
use crate::clock::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a worker may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(60);
/// How long a frozen process may take to be back, and session init to end what is younger.
const WAKE_LIMIT: Duration = Duration::from_secs(60);
/// How long session init may take to report the exit of a worker whose channel has closed.
const EXIT_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take once that worker was killed: nobody can keep it alive then, but a loaded machine takes its time.
const REPORT_LIMIT: Duration = Duration::from_secs(30);
/// How long a worker may take to leave by itself when its session is shut down.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How long session init may take to bury what is left.
const BURY_LIMIT: Duration = Duration::from_secs(10);

/// Where the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It was asked for, and has not said hello, or session init has not said which process it is. A branch says that it is
    /// awake instead, and who it is.
    Starting { until: Time, branch: bool, greeted: bool, known: bool },
    /// A frozen process is to be the worker.
    Waking { until: Time, awake: bool, swept: bool },
    /// It takes requests.
    Up,
    /// Its channel has closed, and its exit was not told.
    Hung { until: Time },
    /// There is none.
    Down,
    /// It was asked to leave by itself; without a limit where its threads are waited for.
    Leaving { until: Option<Time> },
    /// Session init is to end all that is left.
    Burying { until: Time },
    /// Nothing is left.
    Ended,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Hello,
    /// Session init says which process it is.
    Known,
    /// Session init could not say so.
    Unknown,
    Awake,
    /// Session init has ended what is younger than the woken process.
    Swept,
    /// It says why it cannot start.
    Refused,
    /// Any other frame.
    Frame,
    /// Its channel is closed, and all that came was taken.
    ChannelClosed,
    /// It has fetched another channel, as one that lingers does.
    ChannelRenewed,
    /// Session init says that the worker has ended.
    Exited,
    /// Nothing of the session is left but session init, which ends.
    Buried,
    /// Session init has ended.
    InitGone,
    /// A moment that [`Incarnation::deadline`] named has come.
    Timer,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is ready for the first time.
    Ready,
    /// The session is back where the woken process was frozen.
    Reverted,
    /// It could not be started.
    CannotStart,
    /// It did not even answer.
    TooSlow,
    /// The frozen process could not be woken, and there is no worker.
    CannotWake,
    /// Its process has ended.
    Died,
    /// What a worker of ours does not do: the session cannot go on.
    Breach(&'static str),
    /// Send it SIGKILL.
    Kill,
    /// Ask it to leave by itself.
    AskToLeave,
    /// Ask session init to end all that is left.
    Bury,
    /// Session init did not, or is gone: what is left is to be ended without it.
    Abandon,
    /// Nothing is left.
    Gone,
}

/// The machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incarnation {
    stage: Stage,
    /// How many workers the session has had with this one.
    number: u64,
    /// Whether SIGKILL was sent to this one.
    killed: bool,
    /// Whether that was because its channel had closed.
    severed: bool,
}

impl Incarnation {
    /// The first one. `branch`: it was forked from the worker of another session.
    pub(crate) fn new(branch: bool, now: Time) -> Self {
        let stage = Stage::Starting { until: now.after(HELLO_LIMIT), branch, greeted: false, known: false };
        Incarnation { stage, number: FIRST_WORKER, killed: false, severed: false }
    }

    #[cfg(test)]
    fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up | Stage::Hung { .. })
    }

    pub(crate) fn is_waking(&self) -> bool {
        matches!(self.stage, Stage::Waking { .. })
    }

    /// It is awake, and what the one before started is not gone yet: what it says more is heard then.
    pub(crate) fn is_sweeping(&self) -> bool {
        matches!(self.stage, Stage::Waking { awake: true, swept: false, .. })
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. } | Stage::Burying { .. } | Stage::Ended)
    }

    #[cfg(test)]
    fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.killed
    }

    /// Something is given to it: how one before it ended has been told.
    pub(crate) fn begin_task(&mut self) {
        self.severed = false;
    }

    /// Whether it, or the one before it, was killed because its channel had closed, since something was given to it.
    pub(crate) fn was_severed(&self) -> bool {
        self.severed
    }

    /// When to tell it [`Seen::Timer`].
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Starting { until, .. }
            | Stage::Waking { until, .. }
            | Stage::Hung { until }
            | Stage::Burying { until } => Some(until),
            Stage::Leaving { until } => until,
            Stage::Up | Stage::Down | Stage::Ended => None,
        }
    }

    /// Another worker was asked for.
    pub(crate) fn respawn(&mut self, now: Time) {
        *self = Incarnation { number: self.number, severed: self.severed, ..Incarnation::new(false, now) };
        self.number = self.number.saturating_add(1);
    }

    /// A frozen process was asked to be the worker.
    pub(crate) fn wake(&mut self, now: Time) {
        let stage = Stage::Waking { until: now.after(WAKE_LIMIT), awake: false, swept: false };
        *self = Incarnation { stage, number: self.number.saturating_add(1), killed: false, severed: self.severed };
    }

    /// Another supervisor goes on. What is waited for may have come while nobody was there to see it: it has its time again.
    pub(crate) fn taken_over(&mut self, now: Time) {
        match &mut self.stage {
            Stage::Starting { until, .. } => *until = now.after(HELLO_LIMIT),
            Stage::Waking { until, .. } => *until = now.after(WAKE_LIMIT),
            Stage::Hung { until } => *until = now.after(if self.killed { REPORT_LIMIT } else { EXIT_LIMIT }),
            Stage::Leaving { until } => *until = until.map(|_| now.after(LEAVE_LIMIT)),
            Stage::Burying { until } => *until = now.after(BURY_LIMIT),
            Stage::Up | Stage::Down | Stage::Ended => {}
        }
    }

    /// A return that another supervisor had begun is begun again: the frozen process was not woken.
    pub(crate) fn undo_wake(&mut self) {
        *self = Incarnation { stage: Stage::Down, number: self.number.saturating_sub(1), ..*self };
    }

    /// What was to be woken could not be.
    pub(crate) fn not_woken(&mut self) {
        self.stage = Stage::Down;
    }

    /// The session was to end when its supervisor died: it is buried now.
    pub(crate) fn close_again(&mut self, now: Time) -> Step {
        self.bury(now)
    }

    /// Whether there is no worker.
    pub(crate) fn is_down(&self) -> bool {
        self.stage == Stage::Down
    }

    /// Whether a worker was asked for, and has not said hello.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Starting { .. })
    }

    /// The stop ladder has come to SIGKILL.
    pub(crate) fn killed(&mut self) {
        self.killed = true;
    }

    /// The session ends. `leave`: it may leave by itself; whether its threads are waited for.
    pub(crate) fn close(&mut self, leave: Option<bool>, now: Time) -> Option<Step> {
        match (self.stage, leave) {
            (Stage::Leaving { .. } | Stage::Burying { .. } | Stage::Ended, _) => None,
            (Stage::Up, Some(join)) => {
                self.stage = Stage::Leaving { until: (!join).then(|| now.after(LEAVE_LIMIT)) };
                Some(Step::AskToLeave)
            }
            _ => Some(self.bury(now)),
        }
    }

    fn bury(&mut self, now: Time) -> Step {
        self.stage = Stage::Burying { until: now.after(BURY_LIMIT) };
        Step::Bury
    }

    /// Takes note of what was seen.
    pub(crate) fn see(&mut self, seen: Seen, now: Time) -> Vec<Step> {
        match seen {
            Seen::Hello => match self.stage {
                Stage::Starting { until, branch: false, greeted: false, known } => self.started(until, true, known),
                _ => self.breach("the worker said hello twice"),
            },
            Seen::Known => match self.stage {
                Stage::Starting { until, branch: false, greeted, known: false } => self.started(until, greeted, true),
                _ => Vec::new(),
            },
            Seen::Unknown => {
                if let Stage::Starting { until, .. } = &mut self.stage {
                    // It could not be forked, which its channel says, or it is gone, and its exit comes.
                    *until = now.after(EXIT_LIMIT).min(*until);
                }
                Vec::new()
            }
            Seen::Awake => match self.stage {
                Stage::Starting { branch: true, .. } => {
                    self.stage = Stage::Up;
                    vec![Step::Ready]
                }
                Stage::Waking { until, awake: false, swept } => self.woken(until, true, swept),
                _ => self.breach("a process woke that nobody had asked to"),
            },
            Seen::Swept => match self.stage {
                Stage::Waking { until, awake, .. } => self.woken(until, awake, true),
                // Of a return that failed meanwhile.
                _ => Vec::new(),
            },
            Seen::Refused => match self.stage {
                Stage::Starting { .. } => self.down(Step::CannotStart),
                _ => self.breach("the worker refused to start after it had started"),
            },
            Seen::Frame => match self.stage {
                Stage::Starting { .. } | Stage::Waking { .. } => self.breach("the worker spoke before it said hello"),
                _ => Vec::new(),
            },
            Seen::ChannelClosed => {
                let soon = now.after(EXIT_LIMIT);
                match &mut self.stage {
                    Stage::Up => self.stage = Stage::Hung { until: soon },
                    Stage::Starting { until, .. } | Stage::Waking { until, .. } => *until = soon.min(*until),
                    _ => {}
                }
                Vec::new()
            }
            Seen::ChannelRenewed => {
                if let Stage::Hung { .. } = self.stage
                    && !self.killed
                {
                    self.stage = Stage::Up;
                }
                Vec::new()
            }
            Seen::Exited => match self.stage {
                Stage::Starting { .. } => self.down(Step::CannotStart),
                Stage::Waking { .. } => self.down(Step::CannotWake),
                Stage::Up | Stage::Hung { .. } => self.down(Step::Died),
                Stage::Leaving { .. } => vec![self.bury(now)],
                Stage::Down | Stage::Burying { .. } | Stage::Ended => Vec::new(),
            },
            Seen::Buried => match self.stage {
                Stage::Burying { .. } => self.end(&[Step::Gone]),
                _ => self.breach("session init ended the session by itself"),
            },
            Seen::InitGone => match self.stage {
                Stage::Burying { .. } | Stage::Leaving { .. } => self.end(&[Step::Abandon, Step::Gone]),
                Stage::Ended => Vec::new(),
                _ => self.breach("session init was killed"),
            },
            Seen::Timer => self.timer(now),
        }
    }

    fn timer(&mut self, now: Time) -> Vec<Step> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.stage {
            Stage::Starting { .. } => self.down(Step::TooSlow),
            Stage::Waking { .. } => {
                self.stage = Stage::Down;
                vec![Step::Kill, Step::CannotWake]
            }
            Stage::Hung { .. } if !self.killed => {
                // Another program has taken its place, say. Its end is told by session init.
                (self.killed, self.severed) = (true, true);
                self.stage = Stage::Hung { until: now.after(REPORT_LIMIT) };
                vec![Step::Kill]
            }
            Stage::Hung { .. } => self.breach("the worker closed its control channel and lived on"),
            Stage::Leaving { .. } => vec![self.bury(now)],
            Stage::Burying { .. } => self.end(&[Step::Abandon, Step::Gone]),
            Stage::Up | Stage::Down | Stage::Ended => Vec::new(),
        }
    }

    fn started(&mut self, until: Time, greeted: bool, known: bool) -> Vec<Step> {
        if greeted && known {
            self.stage = Stage::Up;
            return vec![Step::Ready];
        }
        self.stage = Stage::Starting { until, branch: false, greeted, known };
        Vec::new()
    }

    fn woken(&mut self, until: Time, awake: bool, swept: bool) -> Vec<Step> {
        if awake && swept {
            self.stage = Stage::Up;
            return vec![Step::Reverted];
        }
        self.stage = Stage::Waking { until, awake, swept };
        Vec::new()
    }

    fn down(&mut self, step: Step) -> Vec<Step> {
        self.stage = Stage::Down;
        vec![step]
    }

    fn end(&mut self, steps: &[Step]) -> Vec<Step> {
        self.stage = Stage::Ended;
        steps.to_vec()
    }

    fn breach(&mut self, why: &'static str) -> Vec<Step> {
        // While it is being ended, nothing that it does matters any more.
        if self.is_closing() { Vec::new() } else { vec![Step::Breach(why)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Time = Time::ZERO;

    fn up() -> Incarnation {
        let mut incarnation = Incarnation::new(false, START);
        assert_eq!(incarnation.see(Seen::Hello, START), []);
        assert_eq!(incarnation.see(Seen::Known, START), [Step::Ready]);
        incarnation
    }

    #[test]
    fn a_worker_that_closes_its_channel_is_killed_then_a_breach() {
        let mut incarnation = up();
        assert_eq!(incarnation.see(Seen::ChannelClosed, START), []);
        let first = START.after(EXIT_LIMIT);
        assert_eq!(incarnation.deadline(), Some(first));
        assert_eq!(incarnation.see(Seen::Timer, START), [], "not before its time");
        assert_eq!(incarnation.see(Seen::Timer, first), [Step::Kill]);
        assert!(incarnation.was_severed());
        let mut ended = incarnation;
        assert_eq!(ended.see(Seen::Exited, first), [Step::Died]);
        let last = first.after(REPORT_LIMIT);
        assert!(matches!(incarnation.see(Seen::Timer, last)[..], [Step::Breach(_)]));
    }

    #[test]
    fn a_woken_process_is_there_when_it_says_so_and_all_younger_is_gone() {
        for order in [[Seen::Awake, Seen::Swept], [Seen::Swept, Seen::Awake]] {
            let mut incarnation = up();
            incarnation.wake(START);
            assert!(!incarnation.is_sweeping());
            assert_eq!(incarnation.see(order[0], START), []);
            assert_eq!(incarnation.is_sweeping(), order[0] == Seen::Awake);
            assert_eq!(incarnation.see(order[1], START), [Step::Reverted]);
            assert_eq!(incarnation.number(), 2);
        }
        // That it is awake, and nobody knows yet that it is the worker, outlives the supervisor.
        let mut adopted = up();
        adopted.wake(START);
        assert_eq!(adopted.see(Seen::Awake, START), []);
        let later = START.after(WAKE_LIMIT).after(WAKE_LIMIT);
        adopted.taken_over(later);
        assert!(adopted.is_sweeping());
        assert_eq!(adopted.see(Seen::Timer, later), [], "it has its time again");
        assert_eq!(adopted.see(Seen::Swept, later), [Step::Reverted]);
        let mut late = up();
        late.wake(START);
        assert_eq!(late.see(Seen::Timer, START.after(WAKE_LIMIT)), [Step::Kill, Step::CannotWake]);
        assert_eq!(late.see(Seen::Swept, START), [], "of the one that failed");
    }

    #[test]
    fn closing_ends_whatever_session_init_does() {
        for leave in [None, Some(false), Some(true)] {
            let mut incarnation = up();
            let step = incarnation.close(leave, START);
            assert_eq!(step, Some(if leave.is_some() { Step::AskToLeave } else { Step::Bury }));
            assert_eq!(incarnation.deadline().is_none(), leave == Some(true), "threads are waited for");
            if leave.is_some() {
                assert_eq!(incarnation.see(Seen::Exited, START), [Step::Bury]);
            }
            let mut stuck = incarnation;
            assert_eq!(incarnation.see(Seen::Buried, START), [Step::Gone]);
            assert_eq!(stuck.see(Seen::Timer, START.after(BURY_LIMIT)), [Step::Abandon, Step::Gone]);
            assert_eq!(stuck.close(None, START), None);
        }
    }

    fn seen() -> impl Strategy<Value = Seen> {
        use Seen::*;
        proptest::sample::select(vec![
            Hello,
            Known,
            Unknown,
            Awake,
            Swept,
            Refused,
            Frame,
            ChannelClosed,
            ChannelRenewed,
            Exited,
            Buried,
            InitGone,
            Timer,
        ])
    }

    proptest! {
        /// Whatever is seen, in whatever order: it comes to its end once it is closed, is gone once, waits only with a
        /// limit (unless its threads are waited for), and is the same after it was written down and read back.
        #[test]
        fn it_always_comes_to_its_end(steps in proptest::collection::vec((seen(), 0u64..30, any::<u8>()), 0..60)) {
            let mut now = START;
            let mut incarnation = Incarnation::new(false, now);
            let mut gone = 0;
            for (seen, wait, what) in steps {
                now = now.after(Duration::from_secs(wait));
                if incarnation.stage() == Stage::Down && what % 2 == 0 {
                    if what % 4 == 0 { incarnation.respawn(now) } else { incarnation.wake(now) }
                }
                let ended = incarnation.has_ended();
                let steps = incarnation.see(seen, now);
                prop_assert!(!ended || steps.is_empty());
                gone += steps.iter().filter(|step| **step == Step::Gone).count();
                let written = serde_json::to_string(&incarnation).unwrap();
                prop_assert_eq!(serde_json::from_str::<Incarnation>(&written).unwrap(), incarnation);
                let waits = matches!(incarnation.stage(), Stage::Up | Stage::Down | Stage::Ended);
                prop_assert!(waits || incarnation.deadline().is_some());
            }
            incarnation.close(None, now);
            while let Some(deadline) = incarnation.deadline() {
                gone += incarnation.see(Seen::Timer, deadline).iter().filter(|step| **step == Step::Gone).count();
            }
            prop_assert!(incarnation.has_ended());
            prop_assert_eq!(gone, 1);
        }
    }
}
