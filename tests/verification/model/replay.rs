//! Replays traces of the model through the real handlers. The model drives the queue, the event sources and the
//! faults. The handlers run over an in-memory table and stream. After each action, both sides must be in the same
//! state.

use std::{
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use onewrite::{
    completion::{Completer, Downstream, DownstreamError, Effect},
    event::{EventSource, NotificationEvent},
    item::{Enrichment, NotificationItem},
    notification::{self, MessagePointers, Refusal},
    stream::EventStream as _,
    table::{Completions as _, NewNotifications as _, Verdict},
};
use onewrite_complete::handler::Complete;
use onewrite_forward::handler::Forward;
use onewrite_ingest::handler::Ingest;
use onewrite_runtime::{budget::Budget, observer::Observer};
use onewrite_testing::{InMemoryStream, InMemoryTable, StoredRecord, contract, lambda_event};
use serde_json::json;
use stateright::Model as _;

use crate::{
    actions::{Action, Fate},
    bounds::Pipeline,
    call_gate::{Call, CallGate, GatedPort},
    state::{Answer, Change, Content, Event, Id, Item, Place, Request, State, Status},
};

/// Time budget of a `forward` invocation. The other invocations must outlast any number of these.
const BUDGET: Duration = Duration::from_secs(60);
const LONG_BUDGET: Duration = Duration::from_secs(10_000_000);
const LEDGER: &str = "ledger";

/// The step at which the code diverges from the model.
#[derive(Debug)]
pub struct Divergence {
    step: usize,
    action: Action,
    what: String,
}

impl Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, action, what } = self;
        write!(f, "step {step}, {action:?}: {what}")
    }
}

/// Runs the code through all actions. Returns the number of states, or the first divergence from the model.
pub async fn replay(pipeline: &Pipeline, actions: &[Action]) -> Result<Vec<State>, Divergence> {
    let mut code = CodeUnderTest::new(pipeline);
    let mut states = pipeline.init_states();
    for (step, action) in actions.iter().enumerate() {
        let before = states[step].clone();
        let Some(after) = pipeline.next_state(&before, action.clone()) else {
            return Ok(states);
        };
        let result = code.step(&before, action, &after).await;
        result.map_err(|what| Divergence {
            step,
            action: action.clone(),
            what,
        })?;
        states.push(after);
    }
    Ok(states)
}

/// The state that is visible in both the model and the code.
#[derive(Debug, PartialEq, Eq)]
struct VisibleState {
    items: Vec<Option<Event>>,
    effects: Vec<u8>,
    changes: Vec<Change>,
    records: Vec<Vec<Event>>,
}

impl VisibleState {
    fn from_model(state: &State) -> Self {
        let items = state.items.iter();
        Self {
            items: items.clone().map(|item| item.event).collect(),
            effects: items.map(|item: &Item| item.effects).collect(),
            changes: state.changes.to_vec(),
            records: state
                .records
                .iter()
                .map(|records| records.to_vec())
                .collect(),
        }
    }
}

/// An invocation of a real handler. Dropping it simulates a crash of its process.
struct Invocation<A> {
    future: Pin<Box<dyn Future<Output = A>>>,
    gate: CallGate,
    answer: Option<A>,
}

impl<A> Invocation<A> {
    /// Starts a handler whose calls to `port` wait at a gate.
    fn start<P: Clone, F: Future<Output = A> + 'static>(
        port: &P,
        handle: impl FnOnce(GatedPort<P>) -> F,
    ) -> Self {
        let gate = CallGate::default();
        let port = GatedPort {
            port: port.clone(),
            gate: gate.clone(),
        };
        // The model's steps decide how often the handler is polled, so tokio must not limit it.
        let future = tokio::task::unconstrained(handle(port));
        let mut invocation = Self {
            future: Box::pin(future),
            gate,
            answer: None,
        };
        invocation.run_to_next_call();
        invocation
    }

    /// Runs until the response or the next call.
    fn run_to_next_call(&mut self) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self
                .future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        {
            self.answer = Some(answer);
        }
    }

    fn release(&mut self, fates: &[Fate]) {
        self.gate.release(fates);
        self.run_to_next_call();
    }
}

/// The code under test and the data it works on.
struct CodeUnderTest<'a> {
    pipeline: &'a Pipeline,
    table: InMemoryTable,
    stream: InMemoryStream,
    /// The invocation of each worker. Its response names the messages that failed.
    workers: Vec<Option<Invocation<Vec<String>>>>,
    /// Its response is the sequence number of the first change to retry.
    forward: Option<Invocation<Option<String>>>,
    /// The end of the batch that `forward` processes.
    batch_end: usize,
    /// Number of `complete` invocations. It makes the effect of each invocation distinct.
    calls: usize,
    delayed: Vec<(Request, Call)>,
}

impl<'a> CodeUnderTest<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        let workers = (0..pipeline.bounds.workers).map(|_| None);
        Self {
            pipeline,
            table: InMemoryTable::default().with_other_table(LEDGER, "entry_id"),
            stream: InMemoryStream::new(1),
            workers: workers.collect(),
            forward: None,
            batch_end: 0,
            calls: 0,
            delayed: Vec::new(),
        }
    }

    async fn step(&mut self, before: &State, action: &Action, after: &State) -> Result<(), String> {
        let deleted = self.execute(before, action, after).await?;
        let is_deleted = |state: &State, n: usize| state.messages[n].place == Place::Deleted;
        for n in 0..before.messages.len() {
            if is_deleted(after, n) && !is_deleted(before, n) && deleted != Some(n as u8) {
                return Err(format!("message {n} is deleted, but was not acknowledged"));
            }
        }
        same("state", &VisibleState::from_model(after), &self.observe())
    }

    /// Executes an action. Returns the message that the code acknowledges by it.
    async fn execute(
        &mut self,
        before: &State,
        action: &Action,
        after: &State,
    ) -> Result<Option<u8>, String> {
        match action {
            // The queue and the event sources do these without the code.
            Action::Duplicate { .. } | Action::DeadLetter { .. } => {}
            Action::Advance { .. } | Action::CrashComplete { .. } => {}
            Action::Receive { worker, message } => {
                self.workers[usize::from(*worker)] = Some(self.ingest(before, *message));
            }
            Action::Insert { worker, fate } => self.insert(before, *worker, *fate, after)?,
            Action::Respond { worker, .. } => {
                let acknowledged = before.workers[usize::from(*worker)].map(|job| job.message);
                let invocation = self.workers[usize::from(*worker)].take();
                let failed = invocation.and_then(|invocation| invocation.answer);
                return Ok(acknowledged.filter(|_| failed.is_some_and(|failed| failed.is_empty())));
            }
            Action::CrashIngest { worker } => self.workers[usize::from(*worker)] = None,
            Action::Publish { fates } => self.publish(before, fates)?,
            Action::Checkpoint => self.checkpoint(after).await?,
            Action::CrashForward => self.forward = None,
            Action::Complete { consumer, id, fate } => {
                self.complete(before, *consumer, *id, *fate, after)?;
            }
            Action::CompleteElsewhere { id } => {
                let id = name(*id);
                let item = self.table.item(&id).ok_or("no item in the code")?;
                let item = NotificationItem::from_item(&item).map_err(|error| error.to_string())?;
                let mut completion = contract::completion_of(&item);
                let mut writes = vec![ledger_entry(&id, "elsewhere")];
                if event_of(&item).content.verdict() == Status::Refused {
                    completion.verdict = Verdict::Refused(refusal());
                    writes.clear();
                }
                let completed = self.table.complete(&completion, writes).await;
                completed.map_err(|error| error.to_string())?;
            }
            Action::Land(request) => self.land(request).await?,
        }
        Ok(None)
    }

    fn ingest(&self, before: &State, message: u8) -> Invocation<Vec<String>> {
        let sent = before.messages[usize::from(message)];
        let body = json!({"notification_id": name(sent.id), "payload": payload(sent.content)});
        let event = json!({"Records": [{
            "messageId": format!("message-{message}"),
            "body": body.to_string(),
            "eventSource": "aws:sqs",
            "attributes": {},
        }]});
        let event = lambda_event::parse(&event);
        Invocation::start(&self.table, |table| async move {
            let ingest = Ingest::new(table, MessagePointers::default(), 1, |_| {
                Enrichment::default()
            });
            let ingest = ingest.with_observer(Observer::default().with_metrics(|_| {}));
            let response = ingest.handle(event, budget(LONG_BUDGET)).await.unwrap();
            let failures = response.batch_item_failures.into_iter();
            failures.map(|failure| failure.item_identifier).collect()
        })
    }

    fn insert(
        &mut self,
        before: &State,
        worker: u8,
        fate: Fate,
        after: &State,
    ) -> Result<(), String> {
        let worker = usize::from(worker);
        let job = before.workers[worker].ok_or("no invocation in the model")?;
        let message = before.messages[usize::from(job.message)];
        let invocation = self.workers[worker].as_mut().ok_or("no invocation")?;
        let Some(Call::Insert(item)) = invocation.gate.call() else {
            return Err("the code does not write".to_owned());
        };
        let (id, content) = (message.id, message.content);
        let written = (item.notification.id.as_str(), event_of(&item).content);
        same("write", &(name(id).as_str(), content), &written)?;
        if fate == Fate::Late {
            let request = Request::Insert { id, content };
            self.delayed.push((request, Call::Insert(item)));
        }
        invocation.release(&[fate]);
        let failed = invocation.answer.as_ref().ok_or("no answer")?;
        let answer = after.workers[worker].and_then(|job| job.answer);
        let expected = match answer {
            Some(Answer::Stored) => Vec::new(),
            Some(Answer::Conflict) | None => vec![format!("message-{}", job.message)],
        };
        same("batch item failures", &expected, failed)?;
        if answer.is_none() {
            self.workers[worker] = None;
        }
        Ok(())
    }

    fn publish(&mut self, before: &State, fates: &[Fate]) -> Result<(), String> {
        let batch = self.pipeline.batch(before).ok_or("nothing to publish")?;
        let call = self.pipeline.call(before, &batch);
        let changes = call.iter().map(|n| before.changes[usize::from(*n)]);
        let changes: Vec<Change> = changes.collect();
        let forward = match self.forward.take() {
            Some(invocation) => invocation,
            None => self.invoke_forward(before),
        };
        let forward = self.forward.insert(forward);
        let records = match forward.gate.call() {
            Some(Call::Put(records)) => records,
            _ => Vec::new(),
        };
        let put: Vec<Change> = records.iter().map(|record| change(&record.data)).collect();
        same("PutRecords call", &changes, &put)?;
        for ((fate, change), record) in fates.iter().zip(changes).zip(records) {
            if *fate == Fate::Late {
                self.delayed
                    .push((Request::Put(change), Call::Put(vec![record])));
            }
        }
        forward.release(fates);
        Ok(())
    }

    fn invoke_forward(&mut self, before: &State) -> Invocation<Option<String>> {
        let changes = self.table.changes();
        self.batch_end = changes.len();
        let event = lambda_event::dynamodb(&changes[usize::from(before.checkpoint)..]);
        Invocation::start(&self.stream, |stream| async move {
            let forward = Forward::new(stream, EventSource::default());
            let forward = forward
                .with_jitter(|| 0.0)
                .with_observer(Observer::default().with_metrics(|_| {}));
            let response = forward.handle(event, budget(BUDGET)).await.unwrap();
            let failure = response.batch_item_failures.into_iter().next();
            failure.and_then(|failure| failure.item_identifier)
        })
    }

    async fn checkpoint(&mut self, after: &State) -> Result<(), String> {
        let mut forward = self.forward.take().ok_or("no invocation")?;
        if forward.answer.is_none() {
            tokio::time::advance(BUDGET).await;
            forward.run_to_next_call();
        }
        let reported = forward.answer.ok_or("no answer when the time is up")?;
        let changes = self.table.changes();
        let checkpoint = usize::from(after.checkpoint);
        let place = reported.map_or(Some(self.batch_end), |number| {
            changes
                .iter()
                .position(|change| change.sequence_number == number)
        });
        same("checkpoint", &Some(checkpoint), &place)
    }

    fn complete(
        &mut self,
        before: &State,
        consumer: u8,
        id: Id,
        fate: Fate,
        after: &State,
    ) -> Result<(), String> {
        let consumer = usize::from(consumer);
        let position = before.consumers[consumer].positions[usize::from(id)];
        let records = self.stream.records().into_iter();
        let records = records.filter(|stored| stored.record.id.as_str() == name(id));
        let batch: Vec<StoredRecord> = records.skip(position.into()).collect();
        let mut invocation = self.invoke_complete(&batch);
        let Some(Call::Complete(completion, writes)) = invocation.gate.call() else {
            return Err("the code does not complete".to_owned());
        };
        same("completion", &name(id).as_str(), &completion.id.as_str())?;
        if fate == Fate::Late {
            let call = Call::Complete(completion, writes);
            self.delayed.push((Request::Complete(id), call));
        }
        invocation.release(&[fate]);
        let reported = invocation.answer.ok_or("no answer")?;
        let is_passed = after.consumers[consumer].completing.is_some();
        let first = batch.first().map(|stored| stored.sequence_number.clone());
        same(
            "batch item failure",
            &first.filter(|_| !is_passed),
            &reported,
        )
    }

    fn invoke_complete(&mut self, batch: &[StoredRecord]) -> Invocation<Option<String>> {
        let event = lambda_event::kinesis(batch);
        self.calls += 1;
        let number = self.calls;
        Invocation::start(&self.table, |table| async move {
            let completer = Completer::new(table, 0);
            let complete = Complete::new(completer, LedgerDownstream { number }, 1)
                .with_observer(Observer::default().with_metrics(|_| {}));
            let response = complete.handle(event, budget(LONG_BUDGET)).await.unwrap();
            let failure = response.batch_item_failures.into_iter().next();
            failure.and_then(|failure| failure.item_identifier)
        })
    }

    async fn land(&mut self, request: &Request) -> Result<(), String> {
        let place = self.delayed.iter().position(|(sent, _)| sent == request);
        let (_, call) = self
            .delayed
            .swap_remove(place.ok_or("no such request is delayed")?);
        // The sender has given up and does not receive the response.
        match call {
            Call::Insert(item) => drop(self.table.insert(&item).await),
            Call::Put(records) => drop(self.stream.put(&records).await),
            Call::Complete(completion, writes) => {
                drop(self.table.complete(&completion, writes).await);
            }
        }
        Ok(())
    }

    fn observe(&self) -> VisibleState {
        let ids = 0..self.pipeline.bounds.ids;
        let image = |item: &_| event_of(&NotificationItem::from_item(item).unwrap());
        let items = ids.clone().map(|id| self.table.item(&name(id)));
        let changes = self.table.changes().into_iter();
        let mut effects = vec![0; ids.len()];
        for entry in self.table.other_items(LEDGER).into_values() {
            if let Some(serde_dynamo::AttributeValue::S(of)) = entry.get("of") {
                effects[usize::from(parse_id(of))] += 1;
            }
        }
        let mut records = vec![Vec::new(); ids.len()];
        for stored in self.stream.records() {
            let Change { id, event } = change(&stored.record.data);
            records[usize::from(id)].push(event);
        }
        VisibleState {
            items: items.map(|item| item.as_ref().map(image)).collect(),
            effects,
            changes: changes
                .map(|change| Change {
                    id: parse_id(&change.id),
                    event: image(&change.new.unwrap()),
                })
                .collect(),
            records,
        }
    }
}

/// A downstream whose effect is one new ledger entry per call, committed with DONE. A repeated effect leaves two
/// entries. It refuses the content that the model refuses.
struct LedgerDownstream {
    number: usize,
}

impl Downstream<TransactWriteItem> for LedgerDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        if content(event.data.as_str()).verdict() == Status::Refused {
            return Ok(Effect::Refused(refusal()));
        }
        let entry = ledger_entry(event.subject.as_str(), &self.number.to_string());
        Ok(Effect::CommitWith(vec![entry]))
    }

    fn checks_state(&self) -> bool {
        false
    }
}

fn refusal() -> Refusal {
    "other".parse().unwrap()
}

fn ledger_entry(id: &str, number: &str) -> TransactWriteItem {
    let text = |text: String| AttributeValue::S(text);
    let entry = Put::builder()
        .table_name(LEDGER)
        .item("entry_id", text(format!("{id}#{number}")))
        .item("of", text(id.to_owned()))
        .build()
        .unwrap();
    TransactWriteItem::builder().put(entry).build()
}

fn budget(time: Duration) -> Budget {
    Budget::from_remaining(None, time)
}

fn same<T: PartialEq + fmt::Debug>(what: &str, model: &T, code: &T) -> Result<(), String> {
    if model == code {
        return Ok(());
    }
    Err(format!(
        "{what}: {model:?} in the model, {code:?} in the code"
    ))
}

fn name(id: Id) -> String {
    format!("id-{id}")
}

fn parse_id(name: &str) -> Id {
    name.trim_start_matches("id-").parse().unwrap()
}

fn payload(content: Content) -> &'static str {
    match content {
        Content::First => "first",
        Content::Other => "other",
    }
}

fn event_of(item: &NotificationItem) -> Event {
    event(item.notification.payload.as_str(), item.status)
}

fn content(payload: &str) -> Content {
    match payload {
        "\"first\"" => Content::First,
        _ => Content::Other,
    }
}

fn event(payload: &str, status: notification::Status) -> Event {
    Event {
        content: content(payload),
        status: match status {
            notification::Status::Init => Status::Init,
            notification::Status::Done => Status::Done,
            notification::Status::Refused => Status::Refused,
        },
    }
}

/// The change that a record describes.
fn change(document: &[u8]) -> Change {
    let published = NotificationEvent::parse(document).unwrap();
    Change {
        id: parse_id(published.subject.as_str()),
        event: event(published.data.as_str(), published.status),
    }
}
