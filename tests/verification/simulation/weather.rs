//! Decides which faults happen when, drawn from the seed during the storm.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onewrite_event_sources::choices::Mixer;
use onewrite_testing::{EntryFault, Fault, StreamFault};

macro_rules! kinds {
    ($($kind:ident, $one_in:literal, $name:literal;)*) => {
        /// Every kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind { $($kind),* }

        impl Kind {
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
    MessageCopied, 2, "message: sent again by upstream";
    MessageConflicts, 10, "message: another content under its id";
    MessageMalformed, 8, "message: malformed";
    MessageTooLarge, 400, "message: too large for an item";
    QueueRedelivers, 8, "queue: delivers again what it gave out or deleted";
    QueueReceiveFails, 25, "queue: receive fails";
    QueueDeleteFails, 10, "queue: delete fails";
    QueueRedriven, 12, "queue: dead letters are sent again";
    IdentifierMissing, 60, "event: an identifier is missing";
    FunctionThrottled, 25, "function: throttled";
    FunctionInvocationError, 25, "function: invocation error";
    FunctionCrashes, 10, "function: crash at an await";
    FunctionHurried, 15, "function: little time left";
    FunctionAnswerLost, 20, "function: answer lost";
    FunctionAnswerLate, 25, "function: answer later than the visibility timeout";
    FunctionOtherVersion, 4, "function: two versions at once";
    FunctionPanics, 25, "function: panics";
    ClockJumps, 8, "clock: a day ahead or behind";
    TableThrottled, 12, "table: throttled";
    TableRefuses, 40, "table: refuses";
    TableRequestLost, 12, "table: request lost";
    TableAnswerLost, 8, "table: answer lost, written";
    TableSilent, 30, "table: never answers";
    TableSlow, 4, "table: slow";
    KinesisThrottled, 20, "kinesis: call throttled";
    KinesisRefuses, 40, "kinesis: call refused";
    KinesisRequestLost, 12, "kinesis: call fails, nothing stored";
    KinesisAnswerLost, 8, "kinesis: call fails, records stored";
    KinesisSilent, 30, "kinesis: call is never answered";
    KinesisMiscounts, 40, "kinesis: an entry is missing from the answer";
    EntryFails, 6, "kinesis: entries fail";
    EntryStoredButFails, 6, "kinesis: entries fail, though stored";
    KinesisSplits, 15, "kinesis: shards split";
    StreamReadFails, 30, "stream: read or listing fails";
    StreamSplits, 15, "stream: a shard of the table's splits";
    StreamMerges, 15, "stream: two shards of the table's merge";
    StreamTrimmed, 3, "stream: trimmed while forward was disabled";
    PollerLost, 10, "poller: lost";
    MappingDisabled, 12, "mapping: disabled for a while";
    RetriesUsedUp, 3, "mapping: gives up after few attempts";
    ConsumerRefuses, 15, "consumer: refuses";
    ItemRedriven, 20, "item: redriven by hand";
    ItemCompleted, 12, "item: completed by hand";
    ItemEdited, 8, "item: edited by hand";
    ItemUnreadable, 30, "item: made unreadable by hand";
    ItemExpires, 12, "item: removed by its time to live";
}

impl Kind {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

const KINDS: usize = Kind::ALL.len();

struct State {
    is_stormy: bool,
    one_in: [u32; KINDS],
    /// One generator per kind, so that disabling one kind does not change what the others draw.
    mixers: Vec<Mixer>,
    met: [u64; KINDS],
}

#[derive(Clone)]
pub(crate) struct Weather(Arc<Mutex<State>>);

impl Weather {
    /// Creates the weather of a seed without these kinds. Each world has its own climate: some faults are more
    /// frequent, some are absent.
    pub(crate) fn new(seed: u64, without: &[Kind]) -> Self {
        let mut climate = Mixer::new(seed ^ 0x5707_4a11);
        let mut one_in = [0; KINDS];
        for kind in Kind::ALL {
            one_in[*kind as usize] = match climate.next() % 5 {
                _ if without.contains(kind) => 0,
                0 => 0,
                1 => (kind.one_in() / 2).max(2),
                2 => kind.one_in() * 3,
                _ => kind.one_in(),
            };
        }
        Self(Arc::new(Mutex::new(State {
            is_stormy: true,
            one_in,
            mixers: (0..KINDS).map(|_| Mixer::new(climate.next())).collect(),
            met: [0; KINDS],
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn calm_down(&self) {
        self.lock().is_stormy = false;
    }

    /// Draws a number below `bound` for a fault of this kind.
    pub(crate) fn draw(&self, kind: Kind, bound: u64) -> u64 {
        self.lock().mixers[kind as usize].next() % bound.max(1)
    }

    /// Whether the fault happens now. If so, it is counted.
    pub(crate) fn strikes(&self, kind: Kind) -> bool {
        let mut state = self.lock();
        let one_in = state.one_in[kind as usize];
        if !state.is_stormy || one_in == 0 {
            return false;
        }
        let strikes = state.mixers[kind as usize].one_in(one_in);
        state.met[kind as usize] += u64::from(strikes);
        strikes
    }

    /// How often each kind happened.
    pub(crate) fn met(&self) -> Vec<(Kind, u64)> {
        let state = self.lock();
        Kind::ALL.iter().copied().zip(state.met).collect()
    }

    /// The fault of a call to the table. A call of `ingest` may panic, because it works on one message.
    pub(crate) fn of_table(&self, is_completion: bool) -> Fault {
        if !is_completion && self.strikes(Kind::FunctionPanics) {
            return Fault::Panic;
        }
        let faults = [
            (Kind::TableThrottled, Fault::Throttled),
            (Kind::TableRefuses, Fault::Refused),
            (Kind::TableRequestLost, Fault::RequestLost),
            (Kind::TableAnswerLost, Fault::ResponseLost),
            (Kind::TableSilent, Fault::SilentAfter),
        ];
        if let Some(fault) = self.first_of(&faults) {
            return fault;
        }
        if self.strikes(Kind::TableSlow) {
            let delay = 1 + self.draw(Kind::TableSlow, 400);
            return Fault::AnswerDelayed(Duration::from_millis(delay));
        }
        Fault::Delayed(Duration::from_millis(1 + self.draw(Kind::TableSlow, 5)))
    }

    /// The fault of a `PutRecords` call with this many records.
    pub(crate) fn of_stream(&self, records: usize) -> StreamFault {
        let faults = [
            (Kind::KinesisThrottled, Fault::Throttled),
            (Kind::KinesisRefuses, Fault::Refused),
            (Kind::KinesisRequestLost, Fault::RequestLost),
            (Kind::KinesisAnswerLost, Fault::ResponseLost),
            (Kind::KinesisSilent, Fault::SilentBefore),
        ];
        if let Some(fault) = self.first_of(&faults) {
            return fault.into();
        }
        if self.strikes(Kind::KinesisMiscounts) {
            return StreamFault::Miscounted;
        }
        let of_entry = || {
            if self.strikes(Kind::EntryFails) {
                EntryFault::Throttled
            } else if self.strikes(Kind::EntryStoredButFails) {
                EntryFault::StoredButFailed
            } else {
                EntryFault::None
            }
        };
        StreamFault::Entries((0..records).map(|_| of_entry()).collect())
    }

    fn first_of(&self, faults: &[(Kind, Fault)]) -> Option<Fault> {
        let met = faults.iter().find(|(kind, _)| self.strikes(*kind));
        met.map(|(_, fault)| *fault)
    }
}
