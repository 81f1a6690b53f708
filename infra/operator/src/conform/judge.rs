//! The verdicts about a consumer, from the plan and the log of what happened. Pure, and without a clock.

use std::collections::{BTreeMap, BTreeSet};

use onewrite::notification::Status;
use onewrite_event_sources::report::compare_sequence_numbers;

use super::scenario::{Batch, Content, Fault, Plan, Record, Start, Subject};

/// A promise of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    OneEffect,
    NothingLost,
    OneWinner,
    SettledSucceeds,
    OtherStatuses,
    OtherNotification,
    Unreadable,
    LowestNumber,
    Neighbours,
    Refusal,
    NoPayload,
}

impl Promise {
    pub const ALL: [Self; 11] = [
        Self::OneEffect,
        Self::NothingLost,
        Self::OneWinner,
        Self::SettledSucceeds,
        Self::OtherStatuses,
        Self::OtherNotification,
        Self::Unreadable,
        Self::LowestNumber,
        Self::Neighbours,
        Self::Refusal,
        Self::NoPayload,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneEffect => "one_effect",
            Self::NothingLost => "nothing_lost",
            Self::OneWinner => "one_winner",
            Self::SettledSucceeds => "settled_succeeds",
            Self::OtherStatuses => "other_statuses",
            Self::OtherNotification => "other_notification",
            Self::Unreadable => "unreadable",
            Self::LowestNumber => "lowest_number",
            Self::Neighbours => "neighbours",
            Self::Refusal => "refusal",
            Self::NoPayload => "no_payload",
        }
    }

    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::OneEffect => "A notification has at most one effect",
            Self::NothingLost => "Each notification is settled, with its effect",
            Self::OneWinner => "One of several consumers settles a notification",
            Self::SettledSucceeds => "An event of a settled notification succeeds",
            Self::OtherStatuses => "Events of DONE and REFUSED are ignored",
            Self::OtherNotification => {
                "An event of another notification changes nothing, and fails"
            }
            Self::Unreadable => "An unreadable record fails",
            Self::LowestNumber => "The lowest failed number is reported, by value",
            Self::Neighbours => "A failed record does not stop the others",
            Self::Refusal => "A refused notification is REFUSED, without effect",
            Self::NoPayload => "The output has no payload",
        }
    }
}

/// What came of one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    /// With the first counterexample.
    Broken(String),
    NotTried,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The numbers of the failed records. If there are none, all succeeded.
    Failures(Vec<String>),
    /// The invocation failed as a whole, for this reason.
    Failed(String),
}

/// What a write of the consumer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Effect,
    Settled(Status),
}

/// A write of the consumer for one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub id: String,
    pub change: Change,
    /// The client request token of its transaction. DynamoDB commits the writes of a token once.
    pub token: Option<String>,
    pub is_committed: bool,
}

/// One invocation of the consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The index of its batch.
    pub batch: usize,
    pub attempt: usize,
    /// The index of its first record. A retry leaves out the records that succeeded.
    pub first: usize,
    pub answer: Answer,
    pub writes: Vec<Write>,
    /// Whether the consumer printed a payload.
    pub has_payload: bool,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    pub invocations: Vec<Invocation>,
    /// The plays that were left out.
    pub not_played: BTreeSet<&'static str>,
    /// The status of each item that there is at the end.
    pub states: BTreeMap<String, Status>,
}

/// The index of the record from which Lambda retries a batch; `None` if the batch is done.
///
/// The lowest reported number is the new checkpoint (Lambda developer guide, "Configuring partial batch response with
/// Kinesis Data Streams and Lambda").
#[must_use]
pub fn retry_from<'a>(
    records: &[Record],
    first: usize,
    answers: impl IntoIterator<Item = &'a Answer>,
) -> Option<usize> {
    let index = |number: &String| records.iter().position(|record| record.number == *number);
    let answers = answers.into_iter().filter_map(|answer| match answer {
        Answer::Failed(_) => Some(first),
        Answer::Failures(numbers) => numbers.iter().filter_map(index).min(),
    });
    answers.min()
}

/// Judges each promise.
#[must_use]
pub fn judge(plan: &Plan, log: &Log) -> BTreeMap<Promise, Verdict> {
    let evidence = Evidence { plan, log };
    let verdicts = Promise::ALL.map(|promise| {
        let verdict = match evidence.counterexample(promise) {
            _ if promise == Promise::Refusal && !plan.subjects.iter().any(|one| one.is_closed) => {
                Verdict::NotTried
            }
            Some(example) => Verdict::Broken(example),
            None => Verdict::Kept,
        };
        (promise, verdict)
    });
    verdicts.into()
}

struct Evidence<'a> {
    plan: &'a Plan,
    log: &'a Log,
}

impl Evidence<'_> {
    fn counterexample(&self, promise: Promise) -> Option<String> {
        match promise {
            Promise::OneEffect => self.find_subject(Self::second_effect),
            Promise::NothingLost => self.find_subject(|all, one| all.loss(one, false)),
            Promise::OneWinner => self
                .shared_token()
                .or_else(|| self.find_subject(Self::second_winner)),
            Promise::SettledSucceeds => self.find_invocation(Self::settled_that_failed),
            Promise::OtherStatuses => self
                .find_subject(Self::effect_of_other_status)
                .or_else(|| self.find_invocation(Self::other_status_that_failed)),
            Promise::OtherNotification => self.find_subject(Self::wrong_change),
            Promise::Unreadable => self.find_invocation(Self::swallowed_record),
            Promise::LowestNumber => self.find_invocation(Self::skipped_record),
            Promise::Neighbours => self.find_subject(|all, one| all.loss(one, true)),
            Promise::Refusal => self.find_subject(Self::wrong_refusal),
            Promise::NoPayload => self.find_invocation(|_, invocation, _| {
                invocation
                    .has_payload
                    .then(|| "the payload is in the output".to_owned())
            }),
        }
    }

    /// The first subject that is played and breaks a rule, with its play.
    fn find_subject(&self, rule: impl Fn(&Self, usize) -> Option<String>) -> Option<String> {
        (0..self.plan.subjects.len()).find_map(|subject| {
            let play = self.batches(subject).find_map(|(index, batch)| {
                let is_played = self.log.invocations.iter().any(|one| one.batch == index);
                is_played.then_some(batch.play)
            })?;
            let problem = rule(self, subject)?;
            Some(format!(
                "{}: {problem} ({play})",
                self.plan.subjects[subject].id
            ))
        })
    }

    /// The first invocation that breaks a rule, with its play.
    fn find_invocation(
        &self,
        rule: impl Fn(&Self, &Invocation, &Batch) -> Option<String>,
    ) -> Option<String> {
        self.log.invocations.iter().find_map(|invocation| {
            let batch = &self.plan.batches[invocation.batch];
            let problem = rule(self, invocation, batch)?;
            Some(format!("{problem} ({})", batch.play))
        })
    }

    fn batches(&self, subject: usize) -> impl Iterator<Item = (usize, &Batch)> {
        let batches = self.plan.batches.iter().enumerate();
        batches.filter(move |(_, batch)| batch.records.iter().any(|one| one.content.is_of(subject)))
    }

    fn commits(&self, subject: usize) -> impl Iterator<Item = &Write> {
        let id = &self.plan.subjects[subject].id;
        let writes = self.log.invocations.iter().flat_map(|one| &one.writes);
        writes.filter(move |write| write.is_committed && write.id == *id)
    }

    fn count(&self, subject: usize, is_counted: impl Fn(Change) -> bool) -> usize {
        let writes = self
            .commits(subject)
            .filter(|write| is_counted(write.change));
        let mut tokens = BTreeSet::new();
        writes
            .filter(|write| {
                write
                    .token
                    .as_ref()
                    .is_none_or(|token| tokens.insert(token))
            })
            .count()
    }

    fn effects(&self, subject: usize) -> usize {
        self.count(subject, |change| change == Change::Effect)
    }

    fn state(&self, subject: usize) -> Option<Status> {
        self.log
            .states
            .get(&self.plan.subjects[subject].id)
            .copied()
    }

    fn second_effect(&self, subject: usize) -> Option<String> {
        let allowed = match self.plan.subjects[subject].start {
            Start::Open => 1,
            Start::Settled(_) if self.is_delivered(subject) => 0,
            _ => return None,
        };
        let effects = self.effects(subject);
        match allowed {
            0 => (effects > 0).then(|| "an effect, although it was settled before".to_owned()),
            _ => (effects > 1).then(|| format!("{effects} effects")),
        }
    }

    /// Whether an event of INIT was delivered.
    fn is_delivered(&self, subject: usize) -> bool {
        let mut records = self.batches(subject).flat_map(|(_, batch)| &batch.records);
        records.any(|record| record.content.is_init_of(subject))
    }

    /// A notification that is settled without its effect, or not settled. `is_beside` selects those beside a record that always
    /// fails, as long as Lambda still retries them.
    fn loss(&self, subject: usize, is_beside: bool) -> Option<String> {
        let Subject {
            start, is_closed, ..
        } = self.plan.subjects[subject];
        if start != Start::Open || is_closed {
            return None;
        }
        let problem = match self.state(subject) {
            Some(Status::Done) if self.effects(subject) > 0 => return None,
            Some(Status::Done) => "DONE without an effect",
            Some(Status::Refused) => "REFUSED, although it should be accepted",
            _ if self.is_retried(subject) => "still in INIT after all attempts",
            _ => "still in INIT, although its event succeeded",
        };
        let is_stopped = self
            .state(subject)
            .is_none_or(|status| !status.is_settled())
            && self.is_retried(subject)
            && self
                .batches(subject)
                .all(|(_, batch)| self.plan.has_failure(batch));
        (is_stopped == is_beside).then(|| problem.to_owned())
    }

    /// Whether Lambda would retry an event of INIT of this subject after the last invocation of its batch.
    fn is_retried(&self, subject: usize) -> bool {
        self.batches(subject).any(|(index, batch)| {
            let mut place = batch.records.iter();
            let place = place.position(|record| record.content.is_init_of(subject));
            let mut invocations = self.log.invocations.iter();
            let last = invocations.rfind(|invocation| invocation.batch == index);
            let from = last.and_then(|one| retry_from(&batch.records, one.first, [&one.answer]));
            matches!((place, from), (Some(place), Some(from)) if from <= place)
        })
    }

    /// A token that two invocations share. DynamoDB then reports success to both, whoever won.
    fn shared_token(&self) -> Option<String> {
        let mut owners = BTreeMap::new();
        let invocations = self.log.invocations.iter().enumerate();
        let mut tokens = invocations.flat_map(|(index, invocation)| {
            let play = self.plan.batches[invocation.batch].play;
            let writes = invocation.writes.iter();
            writes.filter_map(move |write| Some((index, play, &write.id, write.token.as_ref()?)))
        });
        tokens.find_map(|(index, play, id, token)| {
            let owner = *owners.entry(token).or_insert(index);
            let problem = "two invocations use one client request token";
            (owner != index).then(|| format!("{id}: {problem} ({play})"))
        })
    }

    fn second_winner(&self, subject: usize) -> Option<String> {
        let winners = self.count(subject, |change| matches!(change, Change::Settled(_)));
        let is_own = self.plan.subjects[subject].start == Start::Open;
        (is_own && winners > 1).then(|| format!("settled {winners} times"))
    }

    /// Whether nothing but the consumer itself can make this invocation fail.
    fn is_undisturbed(&self, invocation: &Invocation, batch: &Batch) -> bool {
        invocation.attempt > 0 || batch.fault == Fault::None
    }

    fn settled_that_failed(&self, invocation: &Invocation, batch: &Batch) -> Option<String> {
        if !self.is_undisturbed(invocation, batch) || self.plan.has_failure(batch) {
            return None;
        }
        let records = &batch.records[invocation.first..];
        let inits = records.iter().filter_map(|record| match record.content {
            Content::Event {
                subject,
                status: Status::Init,
            } => Some((record, subject, self.was_settled(subject, invocation))),
            _ => None,
        });
        let mut inits = inits.peekable();
        match &invocation.answer {
            Answer::Failures(numbers) => inits
                .find(|(record, _, was_settled)| *was_settled && numbers.contains(&record.number))
                .map(|(_, subject, _)| {
                    format!("{}: its event failed", self.plan.subjects[subject].id)
                }),
            Answer::Failed(reason) => (inits.peek().is_some()
                && inits.all(|(_, _, was_settled)| was_settled))
            .then(|| format!("the invocation failed: {reason}")),
        }
    }

    /// Whether it was settled before this invocation started.
    fn was_settled(&self, subject: usize, before: &Invocation) -> bool {
        let Subject { id, start, .. } = &self.plan.subjects[subject];
        let mut earlier = self.log.invocations.iter();
        matches!(start, Start::Settled(_))
            || earlier
                .by_ref()
                .take_while(|one| (one.batch, one.attempt) < (before.batch, before.attempt))
                .flat_map(|invocation| &invocation.writes)
                .any(|write| {
                    write.is_committed && write.id == *id && write.change != Change::Effect
                })
    }

    fn effect_of_other_status(&self, subject: usize) -> Option<String> {
        (!self.is_delivered(subject) && self.commits(subject).next().is_some())
            .then(|| "a write, although it was settled before".to_owned())
    }

    fn other_status_that_failed(&self, invocation: &Invocation, batch: &Batch) -> Option<String> {
        let Answer::Failures(numbers) = &invocation.answer else {
            return None;
        };
        batch
            .records
            .iter()
            .find_map(|record| match record.content {
                Content::Event { subject, status } if status != Status::Init => {
                    numbers.contains(&record.number).then(|| {
                        format!(
                            "{}: its event of {status} failed",
                            self.plan.subjects[subject].id
                        )
                    })
                }
                _ => None,
            })
    }

    fn wrong_change(&self, subject: usize) -> Option<String> {
        let start = self.plan.subjects[subject].start;
        let cause = match start {
            Start::Reused => "the id was used again",
            Start::Removed => "the item was removed",
            Start::Edited => "the version was edited",
            Start::Open | Start::Settled(_) => return None,
        };
        let expected = (start != Start::Removed).then_some(Status::Init);
        let problem = if self.effects(subject) > 0 {
            "an effect"
        } else if self.commits(subject).next().is_some() || self.state(subject) != expected {
            "a change"
        } else if !self.is_retried(subject) {
            "its event succeeded"
        } else {
            return None;
        };
        Some(format!("{problem}, although {cause}"))
    }

    fn swallowed_record(&self, invocation: &Invocation, batch: &Batch) -> Option<String> {
        let records = &batch.records[invocation.first..];
        let has_unreadable = records.iter().any(|one| one.content == Content::Unreadable);
        let is_success = matches!(&invocation.answer, Answer::Failures(none) if none.is_empty());
        (has_unreadable && is_success).then(|| "the invocation reported no failure".to_owned())
    }

    fn skipped_record(&self, invocation: &Invocation, batch: &Batch) -> Option<String> {
        let Answer::Failures(numbers) = &invocation.answer else {
            return None;
        };
        let reported = numbers
            .iter()
            .min_by(|a, b| compare_sequence_numbers(a, b))?;
        let mut records = batch.records[invocation.first..].iter();
        let lowest = records.find(|record| record.content == Content::Unreadable)?;
        let is_skipped = compare_sequence_numbers(&lowest.number, reported).is_lt();
        is_skipped.then(|| format!("{reported} was reported, but {} failed too", lowest.number))
    }

    fn wrong_refusal(&self, subject: usize) -> Option<String> {
        if !self.plan.subjects[subject].is_closed {
            return None;
        }
        if self.effects(subject) > 0 {
            return Some("an effect".to_owned());
        }
        match self.state(subject) {
            Some(Status::Refused) => None,
            Some(other) => Some(format!("it is {other}")),
            None => Some("its item is gone".to_owned()),
        }
    }
}

impl Content {
    fn is_of(self, wanted: usize) -> bool {
        matches!(self, Self::Event { subject, .. } if subject == wanted)
    }

    fn is_init_of(self, wanted: usize) -> bool {
        matches!(self, Self::Event { subject, status: Status::Init } if subject == wanted)
    }
}

#[cfg(test)]
mod tests;
