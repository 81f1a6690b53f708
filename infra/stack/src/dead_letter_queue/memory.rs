//! A model of the dead-letter queue in memory, for tests and benchmarks. It is as unhelpful as SQS may be.
//!
//! - A receive hides what it returns; when the visibility timeout ends, the message is returned again.
//! - A long poll whose caller does not wait for the response goes on, and hides what it finds.
//! - At [`MAX_IN_FLIGHT`] messages in flight, a receive returns nothing and no error.
//! - A standard queue returns messages in any order, and fewer than requested. A FIFO queue returns nothing of a group that
//!   has a message in flight.
//! - The depth can count deleted messages for a while.
//! - Every call takes time, on the clock of tokio, which a test can pause.
//!
//! It keeps a few bytes for each message and makes up the bodies, so that it can hold millions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::port::{BATCH, DeadLetterQueue, LONG_POLL, MAX_IN_FLIGHT};
use crate::{dead_letter::StoredContent, error::StackError, queue::QueueDepth};

/// The time of a call, besides that of a long poll that finds nothing.
const LATENCY: Duration = Duration::from_millis(10);

/// A dead letter of the model.
#[derive(Clone, Debug)]
pub struct Letter {
    pub body: String,
    /// The message group, on a FIFO queue.
    pub group: Option<String>,
    pub sent_at: Timestamp,
}

/// A dead-letter queue in memory. Messages are numbered from zero; the message id is `m-<number>`.
pub struct MemoryQueue<L> {
    letter: L,
    is_fifo: bool,
    stored: HashMap<String, StoredContent>,
    count_delay: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    visible: BTreeSet<u64>,
    /// By the end of the visibility timeout.
    hidden: BTreeSet<(Instant, u64)>,
    /// By number, for messages in flight: the end of the visibility timeout and the valid receipt.
    in_flight: HashMap<u64, (Instant, u64)>,
    receives: HashMap<u64, u32>,
    abandoned: Vec<AbandonedPoll>,
    /// The groups with messages in flight, and their number.
    groups: HashMap<String, usize>,
    sent: BTreeMap<u64, u32>,
    /// When the depth stops counting each deleted message.
    counted_until: VecDeque<Instant>,
    receipts: u64,
    random: u64,
    most_in_flight: usize,
    failing_deletes: usize,
    failing_sends: usize,
    is_unreachable: bool,
}

/// A long poll whose caller does not wait for it.
struct AbandonedPoll {
    until: Instant,
    hide: Duration,
    /// How many messages it can still receive.
    room: usize,
}

impl State {
    fn next_random(&mut self) -> u64 {
        // Knuth's MMIX generator; its high bits are good enough to pick messages.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}

impl<L: Fn(u64) -> Letter + Send + Sync> MemoryQueue<L> {
    /// Creates a queue with `count` messages; `letter` makes up each.
    pub fn new(count: u64, is_fifo: bool, letter: L) -> Self {
        let state = State {
            visible: (0..count).collect(),
            ..State::default()
        };
        Self {
            letter,
            is_fifo,
            stored: HashMap::new(),
            count_delay: Duration::ZERO,
            state: Mutex::new(state),
        }
    }

    /// Stores an item under this id.
    #[must_use]
    pub fn with_stored(mut self, id: &str, content: StoredContent) -> Self {
        self.stored.insert(id.to_owned(), content);
        self
    }

    /// Lets the depth count deleted messages for this long.
    #[must_use]
    pub fn with_count_delay(mut self, delay: Duration) -> Self {
        self.count_delay = delay;
        self
    }

    /// Lets the next calls of these kinds fail.
    pub fn fail_next(&self, sends: usize, deletes: usize) {
        let mut state = self.state();
        (state.failing_sends, state.failing_deletes) = (sends, deletes);
    }

    /// Lets all further calls fail, except those on the table.
    pub fn disconnect(&self) {
        self.state().is_unreachable = true;
    }

    /// How often each message was sent back.
    pub fn sent(&self) -> BTreeMap<u64, u32> {
        self.state().sent.clone()
    }

    /// How often a message was received.
    pub fn receives(&self, number: u64) -> u32 {
        self.state().receives.get(&number).copied().unwrap_or(0)
    }

    /// The number of messages that are visible.
    pub fn count_visible(&self) -> usize {
        self.settled().visible.len()
    }

    /// The most messages that were in flight at the same time.
    pub fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    /// Takes the time of a call.
    async fn call(&self, call: &'static str) -> Result<(), StackError> {
        sleep(LATENCY).await;
        if self.state().is_unreachable {
            return Err(failure(call));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after the visibility timeouts that ended.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while let Some((until, number)) = state.hidden.first().copied()
            && until <= Instant::now()
        {
            self.show(&mut state, number, until);
        }
        state
    }

    /// Makes a message in flight visible at this time. An abandoned long poll receives it.
    fn show(&self, state: &mut State, number: u64, at: Instant) {
        self.end_flight(state, number);
        let mut polls = state.abandoned.iter_mut();
        let poll = polls.find(|poll| poll.until > at && poll.room > 0);
        match poll {
            Some(poll) => {
                poll.room -= 1;
                let until = at + poll.hide;
                self.begin_flight(state, number, until);
            }
            None => {
                state.visible.insert(number);
            }
        }
    }

    /// Hides a message. Returns its new receipt.
    fn begin_flight(&self, state: &mut State, number: u64, until: Instant) -> u64 {
        state.receipts += 1;
        let receipt = state.receipts;
        state.in_flight.insert(number, (until, receipt));
        state.hidden.insert((until, number));
        if let Some(group) = (self.letter)(number).group {
            *state.groups.entry(group).or_default() += 1;
        }
        receipt
    }

    fn end_flight(&self, state: &mut State, number: u64) {
        if let Some((until, _)) = state.in_flight.remove(&number) {
            state.hidden.remove(&(until, number));
            if let Some(group) = (self.letter)(number).group
                && let Some(count) = state.groups.get_mut(&group)
            {
                *count -= 1;
            }
        }
    }

    /// The messages to return.
    fn pick(&self, state: &mut State) -> Vec<u64> {
        if self.is_fifo {
            let is_open = |number: &u64| {
                let group = (self.letter)(*number).group.unwrap_or_default();
                state.groups.get(&group).copied().unwrap_or(0) == 0
            };
            return state
                .visible
                .iter()
                .copied()
                .filter(is_open)
                .take(BATCH)
                .collect();
        }
        let Some(last) = state.visible.last().copied() else {
            return Vec::new();
        };
        let start = state.next_random() % (last + 1);
        let count = 1 + (state.next_random() % BATCH as u64) as usize;
        let behind = state.visible.range(start..);
        let numbers = behind.chain(state.visible.range(..start));
        numbers.copied().take(count).collect()
    }

    fn receive_now(&self, hide: Duration) -> Vec<Message> {
        let mut state = self.settled();
        if state.hidden.len() + BATCH > MAX_IN_FLIGHT {
            return Vec::new();
        }
        let until = Instant::now() + hide;
        let picked = self.pick(&mut state);
        let messages = picked.into_iter().map(|number| {
            let letter = (self.letter)(number);
            state.visible.remove(&number);
            let receipt = self.begin_flight(&mut state, number, until);
            let receives = state.receives.entry(number).or_default();
            *receives += 1;
            message(number, receipt, *receives, letter)
        });
        let messages = messages.collect();
        state.most_in_flight = state.most_in_flight.max(state.hidden.len());
        messages
    }
}

fn message(number: u64, receipt: u64, receives: u32, letter: Letter) -> Message {
    let message = Message::builder()
        .message_id(format!("m-{number}"))
        .receipt_handle(format!("{number}/{receipt}"))
        .attributes(
            Attribute::SentTimestamp,
            letter.sent_at.as_millisecond().to_string(),
        )
        .attributes(Attribute::ApproximateReceiveCount, receives.to_string())
        .body(letter.body);
    match letter.group {
        None => message.build(),
        Some(group) => message.attributes(Attribute::MessageGroupId, group).build(),
    }
}

/// The number and the receipt in a receipt handle.
fn read_handle(handle: &str) -> Option<(u64, u64)> {
    let (number, receipt) = handle.split_once('/')?;
    Some((number.parse().ok()?, receipt.parse().ok()?))
}

fn failure(call: &'static str) -> StackError {
    StackError::Call {
        call,
        reason: "ServiceUnavailable".to_owned(),
    }
}

/// A long poll that waits for messages.
struct OpenPoll<'q, L> {
    queue: &'q MemoryQueue<L>,
    until: Instant,
    hide: Duration,
}

/// The caller dropped the call.
impl<L> Drop for OpenPoll<'_, L> {
    fn drop(&mut self) {
        let state = self.queue.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.abandoned.push(AbandonedPoll {
            until: self.until,
            hide: self.hide,
            room: BATCH,
        });
    }
}

impl<L: Fn(u64) -> Letter + Send + Sync> DeadLetterQueue for MemoryQueue<L> {
    fn is_fifo(&self) -> bool {
        self.is_fifo
    }

    async fn receive(&self, hide: Duration) -> Result<Vec<Message>, StackError> {
        self.call("ReceiveMessage").await?;
        let messages = self.receive_now(hide);
        if messages.is_empty() {
            let poll = OpenPoll {
                queue: self,
                until: Instant::now() + LONG_POLL,
                hide,
            };
            sleep(LONG_POLL).await;
            std::mem::forget(poll);
            return Ok(self.receive_now(hide));
        }
        Ok(messages)
    }

    async fn make_visible(
        &self,
        receipt_handles: &[String],
        after: Duration,
    ) -> Result<(), StackError> {
        self.call("ChangeMessageVisibilityBatch").await?;
        let mut state = self.settled();
        for (number, receipt) in receipt_handles.iter().filter_map(|one| read_handle(one)) {
            let in_flight = state.in_flight.get(&number).copied();
            if let Some((until, valid)) = in_flight
                && valid == receipt
            {
                let at = Instant::now() + after;
                state.hidden.remove(&(until, number));
                state.hidden.insert((at, number));
                state.in_flight.insert(number, (at, receipt));
            }
        }
        Ok(())
    }

    async fn send_back(&self, message: &Message) -> Result<String, StackError> {
        self.call("SendMessage").await?;
        let mut state = self.state();
        if state.failing_sends > 0 {
            state.failing_sends -= 1;
            return Err(failure("SendMessage"));
        }
        let handle = message.receipt_handle().unwrap_or_default();
        let (number, _) = read_handle(handle).ok_or_else(|| failure("SendMessage"))?;
        *state.sent.entry(number).or_default() += 1;
        Ok(format!("n-{number}"))
    }

    async fn delete(&self, receipt_handle: &str) -> Result<(), StackError> {
        self.call("DeleteMessage").await?;
        let mut state = self.settled();
        if state.failing_deletes > 0 {
            state.failing_deletes -= 1;
            return Err(failure("DeleteMessage"));
        }
        if let Some((number, _)) = read_handle(receipt_handle) {
            self.end_flight(&mut state, number);
            state.visible.remove(&number);
            if !self.count_delay.is_zero() {
                let until = Instant::now() + self.count_delay;
                state.counted_until.push_back(until);
            }
        }
        Ok(())
    }

    async fn depth(&self) -> Result<QueueDepth, StackError> {
        self.call("GetQueueAttributes").await?;
        let mut state = self.settled();
        while let Some(until) = state.counted_until.front()
            && *until <= Instant::now()
        {
            state.counted_until.pop_front();
        }
        Ok(QueueDepth {
            waiting: state.visible.len() + state.counted_until.len(),
            hidden: state.hidden.len(),
        })
    }

    async fn fetch_stored(&self, id: &str) -> Result<StoredContent, StackError> {
        sleep(LATENCY).await;
        Ok(self
            .stored
            .get(id)
            .copied()
            .unwrap_or(StoredContent::Nothing))
    }
}
