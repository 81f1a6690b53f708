//! The switches of the model, and its double write.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::{
    model::Model,
    motion,
    state::{State, text},
};
use crate::{
    lab::{Action, Fault, Guided, Lab, LabState, Ledger},
    pipeline::PipelineError,
    sentence::grouped,
    view::{Count, Entry},
};

/// Lines of the log.
const LOG_LINES: usize = 50;

/// Ids that a ledger names.
const EXAMPLES: usize = 10;

/// What the guided run says, one sentence for each step.
const GUIDED: [&str; 6] = [
    "Twenty messages are sent.",
    "The next write of ingest reaches the table, and ingest is killed before it learns of it.",
    "The connection to Kinesis is cut, so the answer is lost.",
    "Five copies of one message arrive at the same time.",
    "Both sides finish what is on its way.",
    "onewrite: every id has one effect. The double write has lost some and repeated others.",
];

/// How many advances of the model a step of the guided run takes.
const ADVANCES_PER_STEP: u64 = 10;

impl State {
    fn note(&mut self, line: String) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// Sends new notifications to both sides, with the faults that are armed.
    fn send_to_both(&mut self, count: u32) {
        for id in self.send(count) {
            self.comparison.ids.0 += 1;
            self.comparison.onewrite.effects.0 += 1;
            self.double_write(id);
        }
    }

    fn double_write(&mut self, id: String) {
        let armed = self.faults.iter_mut().find(|(_, left)| **left > 0);
        let fault = armed.map(|(fault, left)| {
            *left -= 1;
            *fault
        });
        self.faults.retain(|_, left| *left > 0);
        let ledger = &mut self.comparison.double_write;
        match fault {
            // The item exists, so the next delivery is taken for a duplicate: nobody sends the message.
            Some(Fault::KillIngestAfterWrite) => {
                ledger.lost.0 += 1;
                add_example(ledger, id);
            }
            // The answer is lost, so the message is sent again.
            Some(Fault::CutKinesis) => {
                ledger.effects.0 += 2;
                ledger.repeated.0 += 1;
                add_example(ledger, id);
            }
            _ => ledger.effects.0 += 1,
        }
    }

    fn send_duplicates(&mut self) {
        let ids = self.send(1);
        let Some(id) = ids.into_iter().next() else {
            return;
        };
        for _ in 0..4 {
            self.counts.sent += 1;
            self.waiting.push_back(id.clone());
        }
        self.comparison.ids.0 += 1;
        self.comparison.onewrite.effects.0 += 1;
        let ledger = &mut self.comparison.double_write;
        ledger.effects.0 += 3;
        ledger.repeated.0 += 1;
        add_example(ledger, id);
    }

    fn add_letter(&mut self, reason: &str, id: Option<String>, detail: &str) {
        self.counts.sent += 1;
        let number = self.dead_letters.len() + 1;
        self.dead_letters.push(Entry {
            key: format!("lab-message-{number}"),
            notification_id: id,
            notification_type: Some("sample".to_owned()),
            reason: reason.to_owned(),
            since: Some(text(jiff::Timestamp::now())),
            is_redrivable: false,
            detail: detail.to_owned(),
        });
    }

    fn set_fault(&mut self, fault: Fault, count: u32) -> String {
        if count == 0 {
            self.faults.remove(&fault);
            return "Turned the fault off.".to_owned();
        }
        self.faults.insert(fault, count);
        format!("The fault hits the next {count} times.")
    }

    fn start_guided(&mut self, seed: u64) {
        self.guided = Some(Guided {
            seed: Count(seed),
            step: 0,
            steps: u32::try_from(GUIDED.len()).unwrap_or(u32::MAX),
            text: GUIDED[0].to_owned(),
            is_finished: false,
        });
        self.guided_advances = 0;
        self.send_to_both(20);
    }

    /// Goes on with the guided run.
    pub(super) fn guide(&mut self) {
        let Some(guided) = self.guided.as_mut().filter(|guided| !guided.is_finished) else {
            return;
        };
        self.guided_advances += 1;
        if !self.guided_advances.is_multiple_of(ADVANCES_PER_STEP) {
            return;
        }
        guided.step += 1;
        guided.is_finished = guided.step + 1 == guided.steps;
        GUIDED[guided.step as usize].clone_into(&mut guided.text);
        match guided.step {
            1 => drop(self.set_fault(Fault::KillIngestAfterWrite, 2)),
            2 => drop(self.set_fault(Fault::CutKinesis, 2)),
            3 => self.send_duplicates(),
            _ => return,
        }
        self.send_to_both(4);
    }

    fn act(&mut self, action: Action) -> Result<String, PipelineError> {
        Ok(match action {
            Action::Send { count } => {
                check(count, 1..=10_000, "the number of messages")?;
                self.send_to_both(count);
                format!("Sent {count} messages.")
            }
            Action::SendLines { lines } => {
                let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
                check(count, 1..=1_000, "the number of lines")?;
                self.send_to_both(count);
                format!("Sent {count} lines.")
            }
            Action::SendDuplicates => {
                self.send_duplicates();
                "Sent one notification five times.".to_owned()
            }
            Action::SendConflict => {
                self.counts.conflicts += 1;
                let id = self.items.keys().next().cloned();
                self.add_letter("Conflict", id, "conflict: different content is stored");
                "Sent a stored id with other content.".to_owned()
            }
            Action::SendPoison => {
                self.counts.rejected += 1;
                let detail = "rejected: InvalidJson: the body is not valid JSON";
                self.add_letter("InvalidJson", None, detail);
                "Sent a malformed message.".to_owned()
            }
            Action::SetFault { fault, count } => self.set_fault(fault, count),
            Action::Pause => self.pause(true),
            Action::Resume => self.pause(false),
            Action::StartGuided { seed } => {
                let seed = seed.unwrap_or_else(rand::random);
                self.start_guided(seed);
                format!("Started the guided run with seed {seed}.")
            }
            Action::StopGuided => {
                self.guided = None;
                "Stopped the guided run.".to_owned()
            }
        })
    }

    fn pause(&mut self, is_paused: bool) -> String {
        self.is_lab_paused = is_paused;
        let done = if is_paused { "Paused" } else { "Resumed" };
        format!("{done} the event sources.")
    }

    fn lab_state(&self, model: &Model) -> LabState {
        let faults = self.faults.iter();
        let totals = self.totals(&model.about);
        LabState {
            sentence: totals.sentence(),
            totals,
            stages: motion::stages(self),
            charts: motion::charts(self),
            faults: faults
                .map(|(fault, left)| (*fault, Count(u64::from(*left))))
                .collect(),
            is_paused: self.is_lab_paused,
            comparison: self.comparison.clone(),
            guided: self.guided.clone(),
            log: self.log.iter().cloned().collect(),
        }
    }
}

fn check(number: u32, range: RangeInclusive<u32>, name: &str) -> Result<(), PipelineError> {
    if range.contains(&number) {
        return Ok(());
    }
    let (least, most) = (range.start(), grouped(u64::from(*range.end())));
    let text = format!("{name} must be from {least} to {most}");
    Err(PipelineError::Invalid(text))
}

fn add_example(ledger: &mut Ledger, id: String) {
    if ledger.examples.len() < EXAMPLES {
        ledger.examples.push(id);
    }
}

#[async_trait]
impl Lab for Model {
    async fn state(&self) -> Result<LabState, PipelineError> {
        Ok(self.read()?.lab_state(self))
    }

    async fn act(&self, action: Action) -> Result<String, PipelineError> {
        let mut state = self.read()?;
        let line = state.act(action)?;
        state.note(line.clone());
        Ok(line)
    }
}
