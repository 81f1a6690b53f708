//! "Break it in 60 seconds": a guided run that presses the buttons of the lab and ends with a verdict.
//!
//! It sends notifications, arms one fault after another, waits until nothing is on its way, and compares both designs. The seed
//! decides the order of the faults and all numbers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use onewrite_console::lab::{Action, Comparison, Fault, Guided, Lab, Ledger};
use onewrite_console::pipeline::PipelineError;
use onewrite_console::sentence::grouped;
use onewrite_console::view::Count;
use onewrite_event_sources::choices::Mixer;
use tokio::sync::Notify;

/// The times of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// How long each step is shown.
    pub step: Duration,
    /// How often the last but one step reads the state.
    pub poll: Duration,
    /// How long the run waits at most until nothing is on its way.
    pub settle: Duration,
}

impl Default for Pauses {
    /// Eight steps and the wait take about a minute: a batch whose function was killed returns after six seconds.
    fn default() -> Self {
        Self {
            step: Duration::from_secs(6),
            poll: Duration::from_millis(500),
            settle: Duration::from_secs(40),
        }
    }
}

/// A guided run. It stops when it is dropped.
#[derive(Debug)]
pub struct GuidedRun {
    state: Arc<Mutex<Guided>>,
    stop: Arc<Notify>,
}

impl Drop for GuidedRun {
    fn drop(&mut self) {
        self.stop();
    }
}

impl GuidedRun {
    /// Starts a run. It ends with the lab, which it does not keep alive.
    #[must_use]
    pub fn start(lab: &Arc<dyn Lab>, seed: u64, pauses: Pauses) -> Self {
        let plan = plan(seed);
        let state = Arc::new(Mutex::new(Guided {
            seed: Count(seed),
            step: 0,
            // The wait and the verdict are steps too.
            steps: u32::try_from(plan.len() + 2).unwrap_or(u32::MAX),
            text: "Starting.".to_owned(),
            is_finished: false,
        }));
        let stop = Arc::new(Notify::new());
        let run = Run {
            lab: Arc::downgrade(lab),
            state: Arc::clone(&state),
            pauses,
        };
        let stopped = Arc::clone(&stop);
        tokio::spawn(async move {
            let verdict = tokio::select! {
                verdict = run.press(plan) => verdict,
                () = stopped.notified() => Ok("The run was stopped.".to_owned()),
            };
            let verdict = verdict.unwrap_or_else(|error| format!("The run ended early: {error}."));
            // If the lab has ended, there is nothing to disarm.
            let _ = run.disarm().await;
            let mut state = lock(&run.state);
            state.text = verdict;
            state.is_finished = true;
        });
        Self { state, stop }
    }

    /// What happens now.
    #[must_use]
    pub fn state(&self) -> Guided {
        lock(&self.state).clone()
    }

    /// Ends the run and disarms its faults.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

fn lock(state: &Mutex<Guided>) -> MutexGuard<'_, Guided> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step: a sentence, and the buttons that it presses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    text: String,
    actions: Vec<Action>,
}

/// The steps before the wait.
fn plan(seed: u64) -> Vec<Step> {
    let mut mixer = Mixer::new(seed);
    let mut from =
        |least: u32, choices: u64| least + u32::try_from(mixer.next() % choices).unwrap_or(0);
    let (first, copied) = (from(15, 11), from(3, 3));
    let mut steps = vec![
        Step {
            text: format!(
                "Both designs get the same {first} new notifications, and nothing fails."
            ),
            actions: vec![Action::Send { count: first }],
        },
        Step {
            text: format!(
                "{copied} new notifications arrive five times each, as a queue or a sender may repeat them."
            ),
            actions: vec![Action::SendDuplicates; copied as usize],
        },
    ];
    let mut faults = Fault::ALL.to_vec();
    while !faults.is_empty() {
        let chosen = from(0, faults.len() as u64) as usize;
        let (fault, count) = (faults.remove(chosen), from(1, 3));
        let actions = vec![
            Action::SetFault { fault, count },
            Action::Send {
                count: from(10, 11),
            },
        ];
        let text = describe(fault, count);
        steps.push(Step { text, actions });
    }
    steps
}

fn describe(fault: Fault, count: u32) -> String {
    let times = match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    };
    match fault {
        Fault::KillIngestBeforeWrite => {
            format!(
                "A process is killed {times} before it stores a message: the queue delivers the message again."
            )
        }
        Fault::KillIngestAfterWrite => {
            format!(
                "A process is killed {times} after it stores a message: the item exists, and the queue delivers the message again."
            )
        }
        Fault::CutKinesis => {
            format!(
                "The connection is cut {times} after the send: the sender does not know whether the message arrived."
            )
        }
        Fault::FailEntries => {
            format!("A send is reported as failed {times}.")
        }
        Fault::KillCompleteAfterEffect => {
            format!("A process is killed {times} after the effect, before it writes DONE.")
        }
        Fault::ThrottleTable => format!("The table throttles a write {times}."),
    }
}

struct Run {
    lab: Weak<dyn Lab>,
    state: Arc<Mutex<Guided>>,
    pauses: Pauses,
}

type Result<T> = std::result::Result<T, PipelineError>;

impl Run {
    fn lab(&self) -> Result<Arc<dyn Lab>> {
        let ended = || PipelineError::Failed("the stack has ended".to_owned());
        self.lab.upgrade().ok_or_else(ended)
    }

    /// Presses the buttons of all steps, and returns the verdict.
    async fn press(&self, plan: Vec<Step>) -> Result<String> {
        // What was sent before the run must not count as an effect of the run.
        let mut before = self.lab()?.state().await?.comparison;
        if before.onewrite.pending.0 + before.double_write.pending.0 > 0 {
            self.show(
                0,
                "The run waits for messages that were sent before.".to_owned(),
            );
            before = self
                .settled(&Comparison::default(), self.pauses.step * 2)
                .await?;
        }
        for (number, step) in plan.into_iter().enumerate() {
            self.show(number, step.text);
            for action in step.actions {
                self.lab()?.act(action).await?;
            }
            tokio::time::sleep(self.pauses.step).await;
        }
        let steps = lock(&self.state).steps as usize;
        self.show(
            steps - 2,
            "The faults are over. The run waits for messages that are on their way.".to_owned(),
        );
        self.disarm().await?;
        let after = self.settled(&before, self.pauses.settle).await?;
        self.show(steps - 1, String::new());
        Ok(verdict(&before, &after))
    }

    fn show(&self, step: usize, text: String) {
        let mut state = lock(&self.state);
        state.step = u32::try_from(step).unwrap_or(u32::MAX);
        state.text = text;
    }

    async fn disarm(&self) -> Result<()> {
        for fault in Fault::ALL {
            let off = Action::SetFault { fault, count: 0 };
            self.lab()?.act(off).await?;
        }
        Ok(())
    }

    /// Waits until no more notifications are on their way than before, in either design, or until the limit.
    async fn settled(&self, before: &Comparison, limit: Duration) -> Result<Comparison> {
        let began = Instant::now();
        loop {
            tokio::time::sleep(self.pauses.poll).await;
            let state = self.lab()?.state().await?;
            let now = state.comparison;
            let is_settled = pending(&now.onewrite, &before.onewrite) == 0
                && pending(&now.double_write, &before.double_write) == 0;
            if is_settled || began.elapsed() > limit {
                return Ok(now);
            }
        }
    }
}

/// How many more are on their way than before.
fn pending(now: &Ledger, before: &Ledger) -> u64 {
    now.pending.0.saturating_sub(before.pending.0)
}

/// What the run showed. It claims only what was counted since the run began.
fn verdict(before: &Comparison, after: &Comparison) -> String {
    let ids = after.ids.0.saturating_sub(before.ids.0);
    let of = |name: &str, now: &Ledger, before: &Ledger| {
        let more = |now: Count, before: Count| grouped(now.0.saturating_sub(before.0));
        let mut text = format!(
            "{name}: {} effects, {} repeated, {} lost",
            more(now.effects, before.effects),
            more(now.repeated, before.repeated),
            more(now.lost, before.lost),
        );
        match pending(now, before) {
            0 => {}
            moving => text += &format!(", {} not finished", grouped(moving)),
        }
        text
    };
    format!(
        "{} notifications. {}. {}.",
        grouped(ids),
        of("onewrite", &after.onewrite, &before.onewrite),
        of("Double write", &after.double_write, &before.double_write),
    )
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use onewrite_console::lab::LabState;

    use super::*;

    const SHORT: Pauses = Pauses {
        step: Duration::from_millis(1),
        poll: Duration::from_millis(1),
        settle: Duration::from_secs(10),
    };

    /// Counts what is sent as effects, after a while.
    #[derive(Default)]
    struct Model {
        actions: Mutex<Vec<Action>>,
        reads: Mutex<u64>,
        /// Notifications that never arrive.
        stuck: u64,
        refuses: bool,
    }

    impl Model {
        fn actions(&self) -> Vec<Action> {
            self.actions.lock().unwrap().clone()
        }

        fn sent(&self) -> u64 {
            let counts = self.actions().into_iter().map(|action| match action {
                Action::Send { count } => u64::from(count),
                Action::SendDuplicates => 1,
                _ => 0,
            });
            counts.sum()
        }
    }

    #[async_trait]
    impl Lab for Model {
        async fn state(&self) -> Result<LabState> {
            let reads = {
                let mut reads = self.reads.lock().unwrap();
                *reads += 1;
                *reads
            };
            let sent = self.sent();
            let moving = if reads < 4 { sent.min(3) } else { self.stuck };
            // Earlier messages, some of them stuck.
            let ledger = |repeated, lost| Ledger {
                effects: Count(100 + sent - moving + repeated - lost),
                repeated: Count(7 + repeated),
                lost: Count(5 + lost),
                pending: Count(2 + moving),
                examples: Vec::new(),
            };
            let is_over = u64::from(sent > 0);
            let comparison = Comparison {
                ids: Count(100 + sent),
                onewrite: ledger(0, 0),
                double_write: ledger(4 * is_over, 2 * is_over),
            };
            Ok(LabState {
                comparison,
                ..LabState::default()
            })
        }

        async fn act(&self, action: Action) -> Result<String> {
            if self.refuses {
                return Err(PipelineError::Invalid("no".to_owned()));
            }
            self.actions.lock().unwrap().push(action);
            Ok(String::new())
        }
    }

    async fn finished(run: &GuidedRun) -> Guided {
        let wait = async {
            while !run.state().is_finished {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .unwrap();
        run.state()
    }

    fn start(model: &Arc<Model>, pauses: Pauses) -> GuidedRun {
        let lab: Arc<dyn Lab> = model.clone();
        GuidedRun::start(&lab, 7, pauses)
    }

    #[tokio::test]
    async fn ends_with_a_verdict_about_its_own_messages() {
        let model = Arc::new(Model::default());
        let state = finished(&start(&model, SHORT)).await;
        let sent = model.sent();
        let expected = format!(
            "{sent} notifications. onewrite: {sent} effects, 0 repeated, 0 lost. Double write: {} effects, 4 repeated, 2 lost.",
            sent + 2
        );
        assert_eq!(state.text, expected);
        assert_eq!((state.seed, state.step + 1), (Count(7), state.steps));
    }

    #[tokio::test]
    async fn arms_every_fault_and_disarms_it() {
        let model = Arc::new(Model::default());
        finished(&start(&model, SHORT)).await;
        let actions = model.actions();
        for fault in Fault::ALL {
            let counts = actions.iter().filter_map(|action| match action {
                Action::SetFault { fault: set, count } if *set == fault => Some(*count),
                _ => None,
            });
            let counts: Vec<u32> = counts.collect();
            assert!(counts[0] > 0 && counts[1] == 0, "{fault:?} {counts:?}");
        }
    }

    #[tokio::test]
    async fn says_what_is_not_finished_in_time() {
        let model = Arc::new(Model {
            stuck: 3,
            ..Model::default()
        });
        let pauses = Pauses {
            settle: Duration::from_millis(20),
            ..SHORT
        };
        let state = finished(&start(&model, pauses)).await;
        assert!(
            state.text.contains("0 lost, 3 not finished."),
            "{}",
            state.text
        );
    }

    #[tokio::test]
    async fn disarms_the_faults_when_it_is_stopped() {
        let model = Arc::new(Model::default());
        let pauses = Pauses {
            step: Duration::from_secs(3_600),
            ..SHORT
        };
        let run = start(&model, pauses);
        run.stop();
        let state = finished(&run).await;
        assert_eq!(state.text, "The run was stopped.");
        let last = model.actions().pop();
        assert!(
            matches!(last, Some(Action::SetFault { count: 0, .. })),
            "{last:?}"
        );
    }

    #[tokio::test]
    async fn says_why_it_ended_early() {
        let model = Arc::new(Model {
            refuses: true,
            ..Model::default()
        });
        let state = finished(&start(&model, SHORT)).await;
        assert_eq!(state.text, "The run ended early: no.");
    }

    #[tokio::test]
    async fn does_not_keep_the_lab_alive() {
        let model = Arc::new(Model::default());
        let pauses = Pauses {
            step: Duration::from_millis(50),
            ..SHORT
        };
        let run = start(&model, pauses);
        drop(model);
        let state = finished(&run).await;
        assert_eq!(state.text, "The run ended early: the stack has ended.");
    }

    #[test]
    fn the_seed_decides_the_plan() {
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        for seed in 0..50 {
            let plan = plan(seed);
            assert_eq!(plan.len(), 2 + Fault::ALL.len());
            assert!(plan.iter().all(|step| step.text.ends_with('.')), "{plan:?}");
        }
    }

    #[test]
    fn a_run_takes_about_a_minute() {
        let pauses = Pauses::default();
        let steps = u32::try_from(plan(1).len()).unwrap();
        let shortest = pauses.step * steps;
        assert!((40..=60).contains(&shortest.as_secs()), "{shortest:?}");
    }
}
