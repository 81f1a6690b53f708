//! The model as a [`Pipeline`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    data, motion,
    state::{Counts, Item, Place, Prepared, State, is_selected, text},
};
use crate::{
    pipeline::{Pipeline, PipelineError},
    view::{
        About, Applied, Attention, Charts, Command, Count, Filter, Kind, Overview, Payload,
        Preview, Trace, TraceRecord, TraceStep,
    },
};

/// The model. Clones share their state.
#[derive(Clone)]
pub struct Model {
    pub(super) about: About,
    state: Arc<Mutex<State>>,
    overviews: Arc<AtomicU64>,
}

impl Model {
    /// An empty pipeline of a local stack.
    #[must_use]
    pub fn new() -> Self {
        Self {
            about: About {
                stack: "onewrite-local".to_owned(),
                location: "http://127.0.0.1:4566".to_owned(),
                is_local: true,
                allows_changes: true,
                has_lab: true,
                command: "cargo onewrite --stack onewrite-local".to_owned(),
            },
            state: Arc::default(),
            overviews: Arc::default(),
        }
    }

    /// A pipeline with items in all places, dead letters of all reasons, alarms, and hostile texts.
    #[must_use]
    pub fn with_rich_data() -> Self {
        let model = Self::new();
        data::fill(&mut model.lock());
        model
    }

    /// The same without permission to change anything.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.about.allows_changes = false;
        self
    }

    /// The same on AWS: without a lab.
    #[must_use]
    pub fn without_lab(mut self) -> Self {
        self.about.has_lab = false;
        self.about.is_local = false;
        self.about.stack = "orders".to_owned();
        self.about.location = "eu-central-1".to_owned();
        self.about.command = "onewrite --stack orders".to_owned();
        self
    }

    /// The same with targets that are not the built-in ledger: effects are not counted.
    #[must_use]
    pub fn with_other_targets(self) -> Self {
        self.lock().has_other_targets = true;
        self
    }

    /// The same without a permission to read the alarms.
    #[must_use]
    pub fn without_alarms(self) -> Self {
        let mut state = self.lock();
        state.alarms.clear();
        state.not_read = vec!["the alarms: DescribeAlarms: access denied".to_owned()];
        drop(state);
        self
    }

    /// Has all readings fail with this text, or succeed again.
    pub fn set_failure(&self, failure: Option<&str>) {
        self.lock().failure = failure.map(str::to_owned);
    }

    /// How many overviews were read.
    #[must_use]
    pub fn overviews(&self) -> u64 {
        self.overviews.load(Ordering::SeqCst)
    }

    /// Moves messages one stage further, and adds one point to the charts.
    pub fn advance(&self) {
        self.lock().advance();
    }

    /// Puts new valid notifications into the queue.
    pub fn send(&self, count: u32) {
        self.lock().send(count);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> Result<MutexGuard<'_, State>, PipelineError> {
        let state = self.lock();
        match &state.failure {
            Some(failure) => Err(PipelineError::Failed(failure.clone())),
            None => Ok(state),
        }
    }

    fn require_changes(&self) -> Result<(), PipelineError> {
        if self.about.allows_changes {
            return Ok(());
        }
        Err(PipelineError::ReadOnly)
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

fn steps(item: &Item) -> Vec<TraceStep> {
    let published_at = item.stored_at + jiff::SignedDuration::from_millis(180);
    let detail = format!("INIT, type {}", item.notification_type);
    let mut steps = vec![(item.stored_at, "stored", detail)];
    if item.place != Place::Stored {
        let detail = format!("shard shardId-000000000000, {}", item.sequence_number);
        steps.push((published_at, "published", detail));
    }
    if let Some(at) = item.settled_at {
        let what = if item.place == Place::Refused {
            "refused"
        } else {
            "done"
        };
        steps.push((at, what, item.settled_by.clone().unwrap_or_default()));
    }
    let mut before: Option<Timestamp> = None;
    let step = |(at, what, detail): (Timestamp, &str, String)| {
        let gap = before
            .replace(at)
            .map(|before| at.as_millisecond() - before.as_millisecond());
        TraceStep {
            at: text(at),
            what: what.to_owned(),
            detail,
            gap_millis: gap.and_then(|gap| u64::try_from(gap).ok()).map(Count),
        }
    };
    steps.into_iter().map(step).collect()
}

fn summary(item: &Item) -> &'static str {
    match item.place {
        Place::Stored => "It is stored and not yet published.",
        Place::Published => "It is published and not yet settled.",
        Place::Done => "It is done: the target has booked it once.",
        Place::Refused => "The target refused it. This is final.",
    }
}

#[async_trait]
impl Pipeline for Model {
    fn about(&self) -> About {
        self.about.clone()
    }

    async fn overview(&self) -> Result<Overview, PipelineError> {
        self.overviews.fetch_add(1, Ordering::SeqCst);
        let state = self.read()?;
        let totals = state.totals(&self.about);
        let sentence = if self.about.is_local {
            totals.sentence()
        } else {
            let Counts { sent, created, .. } = state.counts;
            format!("In the last 3 hours: {sent} sent, {created} created")
        };
        Ok(Overview {
            at: text(Timestamp::now()),
            sentence,
            totals,
            stages: motion::stages(&state),
            alarms: state.alarms.clone(),
            not_read: state.not_read.clone(),
        })
    }

    async fn trace(&self, id: &str) -> Result<Trace, PipelineError> {
        let state = self.read()?;
        let item = state.items.get(id).ok_or(PipelineError::NotFound)?;
        let quoted = format!("'{}'", id.replace('\'', r"'\''"));
        let record = TraceRecord {
            shard: "shardId-000000000000".to_owned(),
            sequence_number: item.sequence_number.clone(),
            event_id: format!("{id}/INIT"),
        };
        let is_open = item.settled_at.is_none();
        let retry = Command {
            purpose: "Publish its event again".to_owned(),
            line: format!(
                "{} redrive pending --id {quoted} --apply",
                self.about.command
            ),
        };
        Ok(Trace {
            id: id.to_owned(),
            place: format!("{:?}", item.place),
            settled_by: item.settled_by.clone(),
            steps: steps(item),
            summary: vec![summary(item).to_owned()],
            records: (item.place != Place::Stored)
                .then_some(record)
                .into_iter()
                .collect(),
            copies: Vec::new(),
            errors: Some(item.detail.clone())
                .filter(|detail| !detail.is_empty())
                .into_iter()
                .collect(),
            commands: is_open.then_some(retry).into_iter().collect(),
            has_payload: item.payload.is_some(),
            looked_at: text(Timestamp::now()),
        })
    }

    async fn payload(&self, id: &str) -> Result<Payload, PipelineError> {
        let state = self.read()?;
        let item = state.items.get(id).ok_or(PipelineError::NotFound)?;
        let erased = || PipelineError::Invalid("its payload was erased".to_owned());
        Ok(Payload {
            payload: item.payload.clone().ok_or_else(erased)?,
            enrichment: item.enrichment.clone(),
        })
    }

    async fn attention(&self, kind: Kind, filter: &Filter) -> Result<Attention, PipelineError> {
        let entries = self.read()?.entries(kind);
        let mut by_reason = BTreeMap::<String, Count>::new();
        for entry in &entries {
            by_reason.entry(entry.reason.clone()).or_default().0 += 1;
        }
        Ok(Attention {
            entries: entries
                .into_iter()
                .filter(|entry| is_selected(entry, filter))
                .collect(),
            by_reason,
            not_inspected: None,
            looked_at: text(Timestamp::now()),
            notes: Vec::new(),
        })
    }

    async fn preview(&self, kind: Kind, filter: &Filter) -> Result<Preview, PipelineError> {
        self.require_changes()?;
        if filter.is_empty() || kind == Kind::Refused {
            let text = "this selection cannot be redriven".to_owned();
            return Err(PipelineError::Invalid(text));
        }
        let mut state = self.read()?;
        let selected = state.entries(kind).into_iter();
        let (entries, others): (Vec<_>, Vec<_>) = selected
            .filter(|entry| is_selected(entry, filter))
            .partition(|entry| entry.is_redrivable);
        state.next_preview += 1;
        let token = format!("preview-{}", state.next_preview);
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        state
            .previews
            .insert(token.clone(), Prepared { kind, keys });
        let left_out = format!(
            "{} entries are left out: a redrive does not help.",
            others.len()
        );
        Ok(Preview {
            token,
            kind,
            entries,
            command: format!("{} redrive", self.about.command),
            notes: Some(left_out)
                .filter(|_| !others.is_empty())
                .into_iter()
                .collect(),
        })
    }

    async fn apply(
        &self,
        token: &str,
        progress: &(dyn Fn(Applied) + Send + Sync),
    ) -> Result<(), PipelineError> {
        self.require_changes()?;
        let prepared = self.read()?.previews.remove(token);
        let unknown = || PipelineError::Invalid("this preview is used or too old".to_owned());
        let Prepared { kind, keys } = prepared.ok_or_else(unknown)?;
        for key in keys {
            let applied = self.read()?.redrive(kind, &key);
            progress(applied);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn charts(&self) -> Result<Charts, PipelineError> {
        Ok(motion::charts(&*self.read()?))
    }
}
