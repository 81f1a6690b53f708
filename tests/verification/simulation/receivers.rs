//! The receivers of a world, which `complete` calls over its targets. They compare each call with the table, and remember
//! what they decided.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::completion::{Downstream, DownstreamError, Effect};
use onewrite::event::NotificationEvent;
use onewrite::item::attribute;
use onewrite_aws::targets::CALL_TIMEOUT;
use onewrite_complete::settled::NotificationKey;
use onewrite_complete::targets::{Route, Targets};
use onewrite_event_sources::Millis;
use onewrite_testing::InMemoryTable;
use tokio::time::timeout;

use crate::clock;
use crate::effects::{PANIC, refusal, refuses};
use crate::fault_plan::{FaultKind, FaultPlan};
use crate::invariants::{CheckResult, Violation, fingerprint, text, violated};
use crate::messages::{CHARGE, REFUND, kind};

/// The receivers in the order of their targets, with the types that they take. Only the first one refuses.
const ROUTES: [(&str, &[&str]); 3] = [
    ("url", &[]),
    ("refunds", &[REFUND]),
    ("charges", &["charge.*"]),
];
/// The longest time for which a receiver does not work, in milliseconds.
const MAX_OUTAGE: u64 = 8_000;
/// The guarantee of most checks of this file.
const GUARANTEE: &str = "Called while open";

/// A notification: its id and its fingerprint.
type Key = (String, String);

/// All receivers of a world. Clones are the same receivers.
#[derive(Clone)]
pub(crate) struct Receivers(Arc<Mutex<State>>);

struct State {
    table: InMemoryTable,
    fault_plan: FaultPlan,
    max_per_second: Option<NonZeroU32>,
    /// The number of changes of the table that `histories` contains.
    changes: usize,
    /// By id, after which number of changes the item became what.
    histories: HashMap<String, Vec<(usize, Option<Item>)>>,
    /// By receiver, until when it does not work.
    outages: [Option<Outage>; ROUTES.len()],
    /// A receiver that is busy until it is released.
    held: Option<usize>,
    accepted: BTreeSet<(usize, Key)>,
    refused: BTreeSet<Key>,
    busy_answers: u64,
    violation: Option<Violation>,
}

/// What the table has under an id.
#[derive(Clone)]
struct Item {
    fingerprint: Option<String>,
    status: Option<String>,
}

#[derive(Clone, Copy)]
struct Outage {
    until: Millis,
    kind: FaultKind,
}

impl Receivers {
    pub(crate) fn new(
        table: InMemoryTable,
        fault_plan: FaultPlan,
        max_per_second: Option<NonZeroU32>,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            table,
            fault_plan,
            max_per_second,
            changes: 0,
            histories: HashMap::new(),
            outages: [None; ROUTES.len()],
            held: None,
            accepted: BTreeSet::new(),
            refused: BTreeSet::new(),
            busy_answers: 0,
            violation: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The targets of one process, as deployed.
    pub(crate) fn targets(&self, process: &Arc<Process>) -> Targets<Receiver> {
        let max_per_second = self.lock().max_per_second;
        let routes = ROUTES.iter().enumerate().map(|(number, (name, types))| {
            let types = types.iter().map(|pattern| pattern.parse().unwrap());
            let process = Arc::clone(process);
            let receiver = Receiver { number, process };
            Route::new(*name, types.collect(), receiver, max_per_second)
        });
        Targets::new(routes.collect())
    }

    /// The first broken guarantee.
    pub(crate) fn check(&self) -> CheckResult {
        self.lock().violation.take().map_or(Ok(()), Err)
    }

    /// Notes that an operator did what `complete` does for a notification.
    pub(crate) fn settle_by_hand(&self, id: &str, fingerprint: &str) {
        let key = (id.to_owned(), fingerprint.to_owned());
        let mut state = self.lock();
        if refuses(id) {
            state.refused.insert(key);
        } else {
            let all = required(id).map(|number| (number, key.clone()));
            state.accepted.extend(all);
        }
    }

    /// Checks that the receivers decided as the status of a settled notification says.
    pub(crate) fn check_verdict(&self, id: &str, fingerprint: Option<&String>) -> CheckResult {
        let key = (id.to_owned(), fingerprint.cloned().unwrap_or_default());
        let state = self.lock();
        if refuses(id) {
            return match state.refused.contains(&key) {
                true => Ok(()),
                false => violated("Effect", id, "REFUSED, but no receiver refused it"),
            };
        }
        let missing = required(id).find(|number| !state.accepted.contains(&(*number, key.clone())));
        missing.map_or(Ok(()), |number| {
            let what = format!("DONE, but \"{}\" did not accept it", ROUTES[number].0);
            violated("Effect", id, what)
        })
    }

    pub(crate) fn has_accepted(&self, number: usize, event: &NotificationEvent) -> bool {
        self.lock().accepted.contains(&(number, key(event)))
    }

    /// Keeps the receiver busy that takes notifications of the type of `id` only.
    pub(crate) fn hold_for(&self, id: &str) {
        self.lock().held = required(id).last();
    }

    /// Lets all receivers work.
    pub(crate) fn release(&self) {
        self.lock().held = None;
    }

    /// Whether the receivers of a notification work although another one is held.
    pub(crate) fn work_for(&self, id: &str) -> bool {
        let held = self.lock().held;
        held.is_some_and(|held| required(id).all(|number| number != held))
    }

    /// How often any receiver answered that it is busy.
    pub(crate) fn busy_answers(&self) -> u64 {
        self.lock().busy_answers
    }
}

impl State {
    /// Reads the changes of the table since the last call.
    fn catch_up(&mut self) {
        for change in self.table.changes_since(self.changes) {
            self.changes += 1;
            let item = change.new.as_ref().map(|new| Item {
                fingerprint: fingerprint(new),
                status: text(new, attribute::STATUS),
            });
            let history = self.histories.entry(change.id).or_default();
            history.push((self.changes, item));
        }
    }

    /// Why a notification must not be delivered, by what the table had after this number of changes.
    fn reason_not_to_call(
        &self,
        event: &NotificationEvent,
        changes: usize,
    ) -> Option<&'static str> {
        let history = self.histories.get(event.subject.as_str());
        let mut items = history.into_iter().flatten().rev();
        let item = items.find(|(number, _)| *number <= changes);
        let Some((_, Some(item))) = item else {
            return Some("was removed");
        };
        let fingerprint = event.fingerprint.to_string();
        if item
            .fingerprint
            .as_ref()
            .is_some_and(|found| *found != fingerprint)
        {
            return Some("was replaced by another one with its id");
        }
        (item.status.as_deref() != Some("INIT")).then_some("was settled")
    }

    /// The fault of a receiver that does not work for a while.
    fn outage(&mut self, number: usize) -> Option<FaultKind> {
        if self.held == Some(number) {
            return Some(FaultKind::ReceiverBusy);
        }
        let now = clock::now();
        if let Some(outage) = self.outages[number].filter(|outage| now < outage.until) {
            return Some(outage.kind);
        }
        let kinds = [FaultKind::ReceiverBusy, FaultKind::ReceiverForbids];
        let kind = kinds
            .into_iter()
            .find(|kind| self.fault_plan.occurs(*kind))?;
        let until = now + self.fault_plan.draw(kind, MAX_OUTAGE);
        self.outages[number] = Some(Outage { until, kind });
        Some(kind)
    }

    fn report(&mut self, event: &NotificationEvent, what: String) {
        if self.violation.is_none() {
            self.violation = violated(GUARANTEE, event.subject.as_str(), what).err();
        }
    }
}

/// The receivers that take a notification.
fn required(id: &str) -> impl Iterator<Item = usize> {
    let last = match kind(id) {
        CHARGE => 2,
        _ => 1,
    };
    [0, last].into_iter()
}

fn key(event: &NotificationEvent) -> Key {
    (event.subject.to_string(), event.fingerprint.to_string())
}

/// A process of `complete`. It handles one invocation at a time.
pub(crate) struct Process {
    receivers: Receivers,
    state: Mutex<ProcessState>,
}

#[derive(Default)]
struct ProcessState {
    /// The changes of the table before the invocation.
    changes: usize,
    /// The receivers that were busy in the invocation.
    busy: BTreeSet<usize>,
    /// What receivers have accepted in all invocations of the process.
    accepted: HashSet<(usize, NotificationKey)>,
}

impl Process {
    pub(crate) fn new(receivers: Receivers) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { receivers, state })
    }

    pub(crate) fn receivers(&self) -> &Receivers {
        &self.receivers
    }

    /// Begins an invocation.
    pub(crate) fn begin(&self) {
        let mut receivers = self.receivers.lock();
        receivers.catch_up();
        let mut state = self.state.lock().unwrap();
        state.changes = receivers.changes;
        state.busy.clear();
    }

    /// Checks that the receiver may be called for a notification now.
    fn check_call(&self, number: usize, event: &NotificationEvent) {
        let mut receivers = self.receivers.lock();
        receivers.catch_up();
        let state = self.state.lock().unwrap();
        let name = ROUTES[number].0;
        if let Some(reason) = receivers.reason_not_to_call(event, state.changes) {
            let what = format!("\"{name}\" is called, but the notification {reason} before");
            receivers.report(event, what);
        }
        if state.busy.contains(&number) {
            let what = format!("\"{name}\" is called again in the batch in which it was busy");
            receivers.report(event, what);
        }
        if !required(event.subject.as_str()).any(|one| one == number) {
            receivers.report(event, format!("\"{name}\" does not take this type"));
        }
        if state
            .accepted
            .contains(&(number, NotificationKey::from(event)))
        {
            let what = format!("the process calls \"{name}\" again, which has accepted");
            receivers.report(event, what);
        }
    }

    fn accept(&self, number: usize, event: &NotificationEvent) -> Effect<TransactWriteItem> {
        let mut state = self.state.lock().unwrap();
        state
            .accepted
            .insert((number, NotificationKey::from(event)));
        Effect::Happened
    }

    fn busy(&self, number: usize, reason: &str, retry_after: Option<Duration>) -> DownstreamError {
        self.receivers.lock().busy_answers += 1;
        self.state.lock().unwrap().busy.insert(number);
        DownstreamError::retry_later(reason, retry_after)
    }
}

/// One receiver, as one process sees it.
pub(crate) struct Receiver {
    number: usize,
    process: Arc<Process>,
}

impl Downstream<TransactWriteItem> for Receiver {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        self.process.check_call(self.number, event);
        let answer = timeout(CALL_TIMEOUT, self.answer(event)).await;
        answer.unwrap_or_else(|_| Err(self.process.busy(self.number, "no answer", None)))
    }
}

impl Receiver {
    async fn answer(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let fault_plan = self.process.receivers.lock().fault_plan.clone();
        let latency = 1 + fault_plan.draw(FaultKind::ReceiverBusy, 20);
        tokio::time::sleep(Duration::from_millis(latency)).await;
        let outage = self.process.receivers.lock().outage(self.number);
        match outage {
            Some(FaultKind::ReceiverBusy) => {
                let seconds = fault_plan.draw(FaultKind::ReceiverBusy, 4);
                let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
                return Err(self.process.busy(self.number, "429", retry_after));
            }
            Some(_) => return Err(DownstreamError::new("403")),
            None => {}
        }
        if fault_plan.occurs(FaultKind::DownstreamRejects) {
            return Err(DownstreamError::new("500"));
        }
        assert!(!fault_plan.occurs(FaultKind::FunctionPanics), "{PANIC}");
        self.decide(event, &fault_plan).await
    }

    async fn decide(
        &self,
        event: &NotificationEvent,
        fault_plan: &FaultPlan,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let key = key(event);
        let is_refused = self.number == 0 && refuses(&key.0);
        {
            let mut receivers = self.process.receivers.lock();
            if is_refused {
                receivers.refused.insert(key);
            } else {
                receivers.accepted.insert((self.number, key));
            }
        }
        if fault_plan.occurs(FaultKind::ReceiverSilent) {
            pending::<()>().await;
        }
        if fault_plan.occurs(FaultKind::ReceiverAnswerLost) {
            return Err(self.process.busy(self.number, "connection reset", None));
        }
        Ok(if is_refused {
            Effect::Refused(refusal())
        } else {
            self.process.accept(self.number, event)
        })
    }
}
