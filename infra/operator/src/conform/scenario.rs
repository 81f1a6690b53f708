//! The plays: a seed gives notifications and the batches that the consumer gets. Pure.

use onewrite::notification::Status;
use onewrite_event_sources::choices::Mixer;

/// How often a batch is invoked, the first time included. Enough for every consumer to settle after one fault.
const ATTEMPTS: usize = 3;

/// The same for a batch with a record that always fails: one retry shows from which record on it is retried.
const ATTEMPTS_WITH_FAILURE: usize = 2;

/// Consumers that get the same batch at the same time.
const COMPETITORS: usize = 3;

/// Sequence numbers of Kinesis have about 56 digits. Those of one shard usually have equally many.
const NUMBER_PREFIX: &str = "49590338271490256608559692538361571095921575989136";

/// A notification of the plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub id: String,
    pub start: Start,
    /// Whether its payload has the account "closed", which the consumer refuses.
    pub is_closed: bool,
}

/// What the table holds before the consumer gets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The item of the event, in INIT.
    Open,
    /// The item of the event, which another consumer has settled.
    Settled(Status),
    /// An item with the same id and another fingerprint.
    Reused,
    /// No item.
    Removed,
    /// The item of the event with another version.
    Edited,
}

/// A record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub number: String,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The event of this status of a subject.
    Event { subject: usize, status: Status },
    /// Data that is not an event.
    Unreadable,
}

/// A fault of the first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The process is killed before its n-th write arrives.
    KillBefore(usize),
    /// The process is killed after its n-th write, before the answer.
    KillAfter(usize),
    /// The first write that settles is applied, and its answer is lost.
    LoseAnswer,
    /// DynamoDB answers every request with an error.
    Unavailable,
}

impl Fault {
    /// Whether it needs a process that can be killed.
    #[must_use]
    pub fn kills(self) -> bool {
        matches!(self, Self::KillBefore(_) | Self::KillAfter(_))
    }
}

/// A batch of one shard, and what happens while the consumer works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The name of the play.
    pub play: &'static str,
    pub records: Vec<Record>,
    pub fault: Fault,
    /// How many consumers get the batch at the same time.
    pub consumers: usize,
}

/// Everything that happens to a consumer, except for its own decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub subjects: Vec<Subject>,
    pub batches: Vec<Batch>,
}

impl Plan {
    /// The plan of a seed. `with_refusals` also plays notifications that the consumer refuses.
    #[must_use]
    pub fn new(seed: u64, with_refusals: bool) -> Self {
        let mut planner = Planner::new(seed);
        planner.play_duplicates();
        planner.play_settled();
        planner.play_crashes();
        planner.play_faults();
        planner.play_competition();
        planner.play_unreadable_records();
        planner.play_other_notifications();
        if with_refusals {
            planner.play_refusals();
        }
        planner.plan
    }

    /// Whether this batch has a record that fails at every attempt.
    #[must_use]
    pub fn has_failure(&self, batch: &Batch) -> bool {
        batch.records.iter().any(|record| match record.content {
            Content::Event { subject, .. } => self.subjects[subject].start.is_wrong(),
            Content::Unreadable => true,
        })
    }

    /// How often a batch may be invoked.
    #[must_use]
    pub fn attempts(&self, batch: &Batch) -> usize {
        if self.has_failure(batch) {
            ATTEMPTS_WITH_FAILURE
        } else {
            ATTEMPTS
        }
    }

    /// A text in every payload of the plan. It must not appear in the output of the consumer.
    #[must_use]
    pub fn canary(&self) -> String {
        format!("payload-{:016x}", Mixer::new(self.seed).next())
    }
}

impl Start {
    /// Whether the item is not that of the event, so that the event fails.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::Reused | Self::Removed | Self::Edited)
    }
}

struct Planner {
    random: Mixer,
    plan: Plan,
    records: usize,
}

impl Planner {
    fn new(seed: u64) -> Self {
        Self {
            random: Mixer::new(seed),
            plan: Plan {
                seed,
                subjects: Vec::new(),
                batches: Vec::new(),
            },
            records: 0,
        }
    }

    fn subject(&mut self, start: Start) -> usize {
        let number = self.plan.subjects.len();
        self.plan.subjects.push(Subject {
            // At most 36 characters: some consumers derive a client request token from it.
            id: format!("conform-{:08x}-{number}", self.plan.seed as u32),
            start,
            is_closed: false,
        });
        number
    }

    fn open(&mut self, count: usize) -> Vec<Content> {
        let subjects = (0..count).map(|_| init(self.subject(Start::Open)));
        subjects.collect()
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let other = self.random.next() % (last as u64 + 1);
            values.swap(last, other as usize);
        }
    }

    fn batch(&mut self, play: &'static str, contents: Vec<Content>, fault: Fault) -> &mut Batch {
        let records = contents.into_iter().map(|content| {
            self.records += 1;
            let number = format!("{NUMBER_PREFIX}{:06}", self.records);
            Record { number, content }
        });
        let batch = Batch {
            play,
            records: records.collect(),
            fault,
            consumers: 1,
        };
        self.plan.batches.push(batch);
        let last = self.plan.batches.len() - 1;
        &mut self.plan.batches[last]
    }

    /// Copies in one batch, and again in a later one in another order.
    fn play_duplicates(&mut self) {
        let once = self.open(3);
        let mut copies = [once.clone(), once.clone()].concat();
        copies.truncate(once.len() + 1 + (self.random.next() % 2) as usize);
        self.shuffle(&mut copies);
        self.batch("duplicates in a batch", copies, Fault::None);
        let mut again = once;
        self.shuffle(&mut again);
        self.batch("duplicates across batches", again, Fault::None);
    }

    /// Events of other statuses, also before the event of INIT.
    fn play_settled(&mut self) {
        let done = self.subject(Start::Settled(Status::Done));
        let refused = self.subject(Start::Settled(Status::Refused));
        let reordered = self.subject(Start::Settled(Status::Done));
        let mut contents = self.open(1);
        contents.extend([(done, Status::Done), (refused, Status::Refused)].map(event));
        contents.push(event((reordered, Status::Done)));
        self.shuffle(&mut contents);
        contents.push(init(reordered));
        self.batch("reordered events", contents, Fault::None);
    }

    fn play_crashes(&mut self) {
        for (play, fault) in [
            ("crash before the first write", Fault::KillBefore(1)),
            ("crash after the first write", Fault::KillAfter(1)),
            ("crash after the second write", Fault::KillAfter(2)),
        ] {
            let contents = self.open(2);
            self.batch(play, contents, fault);
        }
    }

    fn play_faults(&mut self) {
        let contents = self.open(2);
        self.batch("lost answer", contents, Fault::LoseAnswer);
        let contents = self.open(1);
        self.batch("DynamoDB unavailable", contents, Fault::Unavailable);
    }

    fn play_competition(&mut self) {
        let contents = self.open(2);
        let batch = self.batch("competing consumers", contents, Fault::None);
        batch.consumers = COMPETITORS;
    }

    /// Unreadable records between readable ones. As text, "10" is below "9".
    fn play_unreadable_records(&mut self) {
        let neighbours = self.open(2);
        let unreadable = Content::Unreadable;
        let contents = vec![neighbours[0], unreadable, unreadable, neighbours[1]];
        let batch = self.batch("unreadable records", contents, Fault::None);
        for (record, number) in batch.records.iter_mut().zip(8..) {
            record.number = number.to_string();
        }
    }

    fn play_other_notifications(&mut self) {
        let mut contents = self.open(1);
        for start in [Start::Reused, Start::Removed, Start::Edited] {
            contents.push(init(self.subject(start)));
        }
        self.shuffle(&mut contents);
        self.batch("other notifications", contents, Fault::None);
    }

    fn play_refusals(&mut self) {
        let mut contents = self.open(2);
        let closed = self.plan.subjects.len() - 1;
        self.plan.subjects[closed].is_closed = true;
        self.shuffle(&mut contents);
        self.batch("refusals", contents, Fault::None);
    }
}

fn init(subject: usize) -> Content {
    event((subject, Status::Init))
}

fn event((subject, status): (usize, Status)) -> Content {
    Content::Event { subject, status }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_plan() {
        assert_eq!(Plan::new(7, true), Plan::new(7, true));
        assert_ne!(Plan::new(7, true).batches, Plan::new(8, true).batches);
        assert_ne!(Plan::new(7, true).canary(), Plan::new(8, true).canary());
    }

    #[test]
    fn each_fault_and_start_is_played() {
        for seed in 0..50 {
            let plan = Plan::new(seed, true);
            let faults: Vec<_> = plan.batches.iter().map(|batch| batch.fault).collect();
            for fault in [
                Fault::KillBefore(1),
                Fault::KillAfter(1),
                Fault::KillAfter(2),
                Fault::LoseAnswer,
                Fault::Unavailable,
            ] {
                assert!(faults.contains(&fault), "{fault:?}");
            }
            for start in [Start::Reused, Start::Removed, Start::Edited] {
                assert!(plan.subjects.iter().any(|subject| subject.start == start));
            }
            assert!(plan.batches.iter().any(|batch| batch.consumers > 1));
            assert_eq!(plan.subjects.iter().filter(|one| one.is_closed).count(), 1);
        }
        assert!(!Plan::new(1, false).subjects.iter().any(|one| one.is_closed));
    }

    #[test]
    fn each_subject_has_its_own_short_id_and_an_event() {
        let plan = Plan::new(u64::MAX, true);
        let ids: BTreeSet<_> = plan.subjects.iter().map(|subject| &subject.id).collect();
        assert_eq!(ids.len(), plan.subjects.len());
        assert!(ids.iter().all(|id| id.len() <= 36), "{ids:?}");
        let delivered = plan.batches.iter().flat_map(|batch| &batch.records);
        let delivered: BTreeSet<_> = delivered
            .filter_map(|record| match record.content {
                Content::Event { subject, .. } => Some(subject),
                Content::Unreadable => None,
            })
            .collect();
        assert_eq!(delivered.len(), plan.subjects.len());
    }

    /// Otherwise a consumer that compares texts would break more than one promise.
    #[test]
    fn only_unreadable_records_have_numbers_of_different_lengths() {
        for batch in Plan::new(3, true).batches {
            let lengths: BTreeSet<_> = batch.records.iter().map(|one| one.number.len()).collect();
            let is_unreadable = batch
                .records
                .iter()
                .any(|one| one.content == Content::Unreadable);
            assert_eq!(lengths.len() > 1, is_unreadable, "{}", batch.play);
        }
    }

    #[test]
    fn some_record_is_twice_in_one_batch() {
        for seed in 0..50 {
            let batch = &Plan::new(seed, false).batches[0];
            let contents = batch
                .records
                .iter()
                .map(|record| format!("{:?}", record.content));
            let different: BTreeSet<_> = contents.collect();
            assert!(different.len() == 3 && batch.records.len() > 3);
        }
    }
}
