//! Decides which faults happen when, drawn from the seed during the fault period.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Mixer;
use onewrite_testing::{EntryFault, Fault, SlowPath, StreamFault};

use crate::clock;

macro_rules! kinds {
    ($($kind:ident, $one_in:literal, $name:literal;)*) => {
        /// Every kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum FaultKind { $($kind),* }

        impl FaultKind {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name in summaries and on the command line.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// The fault happens once in this many occasions, in an average world.
            fn one_in(self) -> u32 {
                match self { $(Self::$kind => $one_in),* }
            }
        }
    };
}

kinds! {
    MessageCopied, 2, "message: sent more than once";
    MessageConflicts, 10, "message: same id with different content";
    MessageMalformed, 8, "message: malformed";
    MessageTooLarge, 1_000, "message: exceeds the item size limit";
    QueueRedelivers, 8, "queue: redelivers an in-flight or deleted message";
    QueueReceiveFails, 25, "queue: ReceiveMessage fails";
    QueueDeleteFails, 10, "queue: DeleteMessage fails";
    QueueDeferralFails, 6, "queue: a deferral fails, with or without effect";
    QueueRedriven, 12, "queue: dead-lettered messages are redriven";
    IdentifierMissing, 60, "event: a record has no identifier";
    FunctionThrottled, 25, "function: throttled";
    FunctionInvocationError, 25, "function: invocation error";
    FunctionCrashes, 10, "function: crashes at an await";
    FunctionTimeShort, 15, "function: starts with little time left";
    FunctionResponseLost, 20, "function: response lost";
    FunctionResponseLate, 25, "function: response after the visibility timeout";
    FunctionOtherVersion, 4, "function: two versions run at once";
    FunctionPanics, 25, "function: panics";
    ClockJumps, 8, "clock: wrong by up to a day";
    TableThrottled, 12, "table: throttled";
    TableAccessDenied, 40, "table: call rejected";
    TableRequestLost, 12, "table: request lost";
    TableResponseLost, 8, "table: response lost after the write";
    TableSilent, 30, "table: never responds";
    TableSlow, 4, "table: slow";
    TableReadFails, 10, "table: the current states cannot be read";
    KinesisThrottled, 20, "kinesis: call throttled";
    KinesisAccessDenied, 40, "kinesis: call rejected";
    KinesisRequestLost, 12, "kinesis: request lost, nothing stored";
    KinesisResponseLost, 8, "kinesis: response lost, records stored";
    KinesisSilent, 30, "kinesis: never responds";
    KinesisSlow, 40, "kinesis: slow for a while";
    KinesisMiscounts, 40, "kinesis: an entry is missing from the response";
    EntryFails, 6, "kinesis: entries fail";
    EntryStoredButFails, 6, "kinesis: entries reported as failed but stored";
    KinesisSplits, 15, "kinesis: a shard splits";
    StreamReadFails, 30, "stream: GetRecords or DescribeStream fails";
    StreamSplits, 15, "stream: a shard splits";
    StreamMerges, 15, "stream: two shards merge";
    StreamTrimmed, 3, "stream: records expire while the mapping is disabled";
    PollerLost, 10, "poller: replaced by another poller";
    MappingDisabled, 12, "mapping: disabled temporarily";
    RetriesExhausted, 3, "mapping: discards a batch after few retries";
    DownstreamRejects, 15, "downstream: rejects an event";
    ReceiverBusy, 25, "receiver: busy for a while";
    ReceiverForbids, 40, "receiver: answers 403 for a while";
    ReceiverSilent, 30, "receiver: never answers";
    ReceiverAnswerLost, 12, "receiver: answer lost";
    ItemRedriven, 20, "item: redriven by an operator";
    ItemCompleted, 12, "item: completed by an operator";
    ItemEdited, 8, "item: edited by an operator";
    ItemUnreadable, 30, "item: made unreadable by an operator";
    ItemEarlier, 3, "item: stored by the earlier version";
    ItemExpires, 12, "item: expired by TTL";
}

impl FaultKind {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The longest time for which Kinesis is slow, in milliseconds.
const MAX_SLOW_TIME: u64 = 20_000;
/// The longest time of a call without records while Kinesis is slow, in milliseconds.
const MAX_LATENCY: u64 = 4_000;
/// The bandwidth while Kinesis is slow, in bytes per second: from less than an event to a few of them.
const MIN_BANDWIDTH: u64 = 50;
const MAX_BANDWIDTH: u64 = 2_000;

const KINDS: usize = FaultKind::ALL.len();

struct State {
    is_active: bool,
    /// Whether no call reaches the table.
    is_outage: bool,
    /// Until when Kinesis is slow, and how slow.
    slow: Option<(Millis, SlowPath)>,
    one_in: [u32; KINDS],
    /// One generator per kind, so that disabling one kind does not change what the others draw.
    mixers: Vec<Mixer>,
    occurrences: [u64; KINDS],
}

#[derive(Clone)]
pub(crate) struct FaultPlan(Arc<Mutex<State>>);

impl FaultPlan {
    /// Creates the fault plan of a seed without these kinds. Each world has its own rates: some faults are more
    /// frequent, some are absent.
    pub(crate) fn new(seed: u64, without: &[FaultKind]) -> Self {
        let mut rates = Mixer::new(seed ^ 0x5707_4a11);
        let mut one_in = [0; KINDS];
        for kind in FaultKind::ALL {
            one_in[*kind as usize] = match rates.next() % 5 {
                _ if without.contains(kind) => 0,
                0 => 0,
                1 => (kind.one_in() / 2).max(2),
                2 => kind.one_in() * 3,
                _ => kind.one_in(),
            };
        }
        Self(Arc::new(Mutex::new(State {
            is_active: true,
            is_outage: false,
            slow: None,
            one_in,
            mixers: (0..KINDS).map(|_| Mixer::new(rates.next())).collect(),
            occurrences: [0; KINDS],
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_active = false;
        state.slow = None;
    }

    /// Makes Kinesis slow, or lets it work again.
    pub(crate) fn set_slow(&self, path: Option<SlowPath>) {
        self.lock().slow = path.map(|path| (Millis::MAX, path));
    }

    /// How slow Kinesis is now.
    fn slow_path(&self) -> Option<SlowPath> {
        let now = clock::now();
        if let Some((until, path)) = self.lock().slow
            && now < until
        {
            return Some(path);
        }
        if !self.occurs(FaultKind::KinesisSlow) {
            return None;
        }
        let draw = |bound| self.draw(FaultKind::KinesisSlow, bound);
        let path = SlowPath {
            latency: Duration::from_millis(draw(MAX_LATENCY)),
            bytes_per_second: u32::try_from(MIN_BANDWIDTH + draw(MAX_BANDWIDTH)).unwrap(),
        };
        let until = now + draw(MAX_SLOW_TIME);
        self.lock().slow = Some((until, path));
        Some(path)
    }

    /// Draws a number below `bound` for a fault of this kind.
    pub(crate) fn draw(&self, kind: FaultKind, bound: u64) -> u64 {
        self.lock().mixers[kind as usize].next() % bound.max(1)
    }

    /// Whether the fault happens now. If so, it is counted.
    pub(crate) fn occurs(&self, kind: FaultKind) -> bool {
        let mut state = self.lock();
        let one_in = state.one_in[kind as usize];
        if !state.is_active || one_in == 0 {
            return false;
        }
        let occurs = state.mixers[kind as usize].one_in(one_in);
        state.occurrences[kind as usize] += u64::from(occurs);
        occurs
    }

    /// How often each kind happened.
    pub(crate) fn occurrences(&self) -> Vec<(FaultKind, u64)> {
        let state = self.lock();
        FaultKind::ALL
            .iter()
            .copied()
            .zip(state.occurrences)
            .collect()
    }

    /// The fault of a call to a table in an outage.
    fn of_outage(&self) -> Option<Fault> {
        if !self.lock().is_outage {
            return None;
        }
        let faults = [Fault::Throttled, Fault::RequestLost, Fault::SilentBefore];
        Some(faults[self.draw(FaultKind::TableThrottled, 3) as usize])
    }

    /// The fault of a call to the table. A call of `ingest` may panic, because it works on one message.
    pub(crate) fn table_fault(&self, is_completion: bool) -> Fault {
        if let Some(fault) = self.of_outage() {
            return fault;
        }
        if !is_completion && self.occurs(FaultKind::FunctionPanics) {
            return Fault::Panic;
        }
        let faults = [
            (FaultKind::TableThrottled, Fault::Throttled),
            (FaultKind::TableAccessDenied, Fault::Refused),
            (FaultKind::TableRequestLost, Fault::RequestLost),
            (FaultKind::TableResponseLost, Fault::ResponseLost),
            (FaultKind::TableSilent, Fault::SilentAfter),
        ];
        if let Some(fault) = self.first_occurring(&faults) {
            return fault;
        }
        if self.occurs(FaultKind::TableSlow) {
            let delay = 1 + self.draw(FaultKind::TableSlow, 400);
            return Fault::AnswerDelayed(Duration::from_millis(delay));
        }
        Fault::Delayed(Duration::from_millis(
            1 + self.draw(FaultKind::TableSlow, 5),
        ))
    }

    /// The fault of a read of current states.
    pub(crate) fn read_fault(&self) -> Fault {
        if let Some(fault) = self.of_outage() {
            return fault;
        }
        if self.occurs(FaultKind::TableReadFails) {
            let faults = [
                Fault::Throttled,
                Fault::Refused,
                Fault::ResponseLost,
                Fault::SilentBefore,
            ];
            return faults[self.draw(FaultKind::TableReadFails, 4) as usize];
        }
        let slowest = if self.occurs(FaultKind::TableSlow) {
            400
        } else {
            5
        };
        let delay = 1 + self.draw(FaultKind::TableSlow, slowest);
        Fault::AnswerDelayed(Duration::from_millis(delay))
    }

    /// The fault of a `PutRecords` call with this many records.
    pub(crate) fn stream_fault(&self, records: usize) -> StreamFault {
        let faults = [
            (FaultKind::KinesisThrottled, Fault::Throttled),
            (FaultKind::KinesisAccessDenied, Fault::Refused),
            (FaultKind::KinesisRequestLost, Fault::RequestLost),
            (FaultKind::KinesisResponseLost, Fault::ResponseLost),
            (FaultKind::KinesisSilent, Fault::SilentBefore),
        ];
        if let Some(fault) = self.first_occurring(&faults) {
            return fault.into();
        }
        if let Some(path) = self.slow_path() {
            return StreamFault::Slow(path);
        }
        if self.occurs(FaultKind::KinesisMiscounts) {
            return StreamFault::Miscounted;
        }
        let of_entry = || {
            if self.occurs(FaultKind::EntryFails) {
                EntryFault::Throttled
            } else if self.occurs(FaultKind::EntryStoredButFails) {
                EntryFault::StoredButFailed
            } else {
                EntryFault::None
            }
        };
        StreamFault::Entries((0..records).map(|_| of_entry()).collect())
    }

    #[cfg(test)]
    pub(crate) fn begin_outage(&self) {
        let mut state = self.lock();
        state.is_active = false;
        state.is_outage = true;
    }

    #[cfg(test)]
    pub(crate) fn end_outage(&self) {
        self.lock().is_outage = false;
    }

    fn first_occurring(&self, faults: &[(FaultKind, Fault)]) -> Option<Fault> {
        let occurring = faults.iter().find(|(kind, _)| self.occurs(*kind));
        occurring.map(|(_, fault)| *fault)
    }
}
