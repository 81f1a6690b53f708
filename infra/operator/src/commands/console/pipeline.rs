//! The port of the console on a stack.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use onewrite::notification::NotificationId;
use onewrite_console::{
    lab::{Lab, LabState},
    pipeline::{Pipeline, PipelineError},
    view::{About, Applied, Attention, Charts, Filter, Kind, Overview, Payload, Preview, Trace},
};
use onewrite_stack::{
    dead_letter_queue::inspect_ids,
    metrics::series::{has_times, read_history},
    scan::read_table_size,
    stack::Stack,
    table,
};
use tokio::time::Instant;

use super::{
    cached::Cached,
    candidates::{Candidate, Found, MAX_ENTRIES, MAX_IDS, Target, ValidFilter},
    charts::charts,
    failed::failed,
    items, letters,
    overview::{Reading, SlowParts},
    previews::{Plan, PlannedItem, PlannedLetter, Previews},
    trace_view::trace_view,
};
use crate::{
    commands::{
        status::{StatusParts, StatusScope, read_errors, read_items, read_pending, read_recent},
        trace::{
            collect::collect,
            report::{Content, TraceReport, readable},
        },
    },
    format::shell_quote,
};

/// How long a trace may search the stream. `onewrite trace` has `--stream-seconds`.
const STREAM_LIMIT: Duration = Duration::from_secs(20);

/// How long a reading of the stack is kept, on AWS and on a local stack, for pages that ask at the same time. The server reads
/// every ten seconds on AWS, and each second on a local stack.
const KEEP: Duration = Duration::from_secs(5);
const KEEP_LOCAL: Duration = Duration::from_millis(1_500);

/// How long metrics, logs and table sizes are kept. CloudWatch stores minutes.
const KEEP_SLOW: Duration = Duration::from_secs(55);
const KEEP_SLOW_LOCAL: Duration = Duration::from_secs(10);

/// A stack as the console sees it.
pub(super) struct StackPipeline {
    stack: Stack,
    about: About,
    lab: Option<Arc<dyn Lab>>,
    parts: Cached<StatusParts>,
    slow: Cached<SlowParts>,
    previews: Mutex<Previews>,
    /// One look or redrive of dead letters at a time: two would hide letters from each other.
    dead_letters: Arc<tokio::sync::Mutex<()>>,
    is_ending: Arc<AtomicBool>,
}

impl StackPipeline {
    /// `command` is the command line that runs this tool on the same stack.
    pub(super) fn new(
        stack: Stack,
        command: &str,
        allows_changes: bool,
        lab: Option<Arc<dyn Lab>>,
    ) -> Self {
        let config = &stack.clients.config;
        let region = config.region().map(ToString::to_string);
        let location = config.endpoint_url().map(str::to_owned).or(region);
        let about = About {
            stack: stack.name.clone(),
            location: location.unwrap_or_default(),
            is_local: stack.is_local,
            allows_changes,
            has_lab: lab.is_some(),
            command: command.to_owned(),
        };
        let (keep, keep_slow) = if stack.is_local {
            (KEEP_LOCAL, KEEP_SLOW_LOCAL)
        } else {
            (KEEP, KEEP_SLOW)
        };
        Self {
            stack,
            about,
            lab,
            parts: Cached::new(keep),
            slow: Cached::new(keep_slow),
            previews: Mutex::default(),
            dead_letters: Arc::default(),
            is_ending: Arc::default(),
        }
    }

    async fn slow_parts(&self) -> Arc<SlowParts> {
        self.slow
            .get(|| read_slow(&self.stack, self.lab.is_some()))
            .await
    }

    async fn lab_state(&self) -> Option<Result<LabState, String>> {
        let lab = self.lab.as_ref()?;
        let state = lab.state().await;
        Some(state.map_err(|error| error.to_string()))
    }

    async fn find(
        &self,
        kind: Kind,
        filter: &ValidFilter,
        now: Timestamp,
    ) -> Result<Found, PipelineError> {
        match kind {
            Kind::DeadLetters => {
                // Wrong reasons are refused before anything is received.
                letters::selection(filter)?;
                let (stack, filter) = (self.stack.clone(), filter.clone());
                let is_ending = self.is_ending();
                self.look(async move {
                    let rules = stack.message_rules().await.map_err(failed)?;
                    letters::find(&stack, rules, &filter, &is_ending).await
                })
                .await
            }
            Kind::Pending => items::find_pending(&self.stack, filter, now).await,
            Kind::FailureBucket => items::find_failures(&self.stack, filter).await,
            Kind::Refused => items::find_refused(&self.stack).await,
        }
    }

    /// Looks at dead letters. Once begun, it goes on to its end even if the page no longer waits: the letters that it has received
    /// would stay hidden for minutes.
    async fn look<T: Send + 'static>(
        &self,
        look: impl Future<Output = Result<T, PipelineError>> + Send + 'static,
    ) -> Result<T, PipelineError> {
        let one_look = Arc::clone(&self.dead_letters).lock_owned().await;
        self.check_end()?;
        let look = tokio::spawn(async move {
            let found = look.await;
            drop(one_look);
            found
        });
        let ended = |_| PipelineError::Failed("the look ended unexpectedly".to_owned());
        look.await.map_err(ended)?
    }

    async fn redrive(
        &self,
        plan: &Plan,
        progress: &(dyn Fn(Applied) + Send + Sync),
    ) -> Result<(), PipelineError> {
        match plan {
            Plan::DeadLetters(planned) => {
                let _one_look = self.dead_letters.lock().await;
                self.check_end()?;
                let rules = self.stack.message_rules().await.map_err(failed)?;
                let is_ending = self.is_ending();
                letters::redrive(&self.stack, rules, planned, &is_ending, progress).await
            }
            Plan::Items(planned) => {
                items::redrive(&self.stack, planned, &self.is_ending(), progress).await;
                Ok(())
            }
        }
    }

    /// Whether the console ends, to be asked again and again.
    fn is_ending(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let is_ending = Arc::clone(&self.is_ending);
        move || is_ending.load(Ordering::Relaxed)
    }

    fn check_end(&self) -> Result<(), PipelineError> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Err(PipelineError::Failed("the console ends".to_owned()));
        }
        Ok(())
    }

    fn check_changes(&self) -> Result<(), PipelineError> {
        if self.about.allows_changes {
            Ok(())
        } else {
            Err(PipelineError::ReadOnly)
        }
    }

    fn previews(&self) -> std::sync::MutexGuard<'_, Previews> {
        self.previews.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_slow(stack: &Stack, has_lab: bool) -> SlowParts {
    let now = Timestamp::now();
    let history = async {
        if stack.is_local {
            None
        } else {
            Some(read_history(stack, now).await)
        }
    };
    // Without metrics and without a lab, the items of a local table are counted. It is small.
    let counts_items = stack.is_local && !has_lab;
    let (errors, recent, history, pending, items) = tokio::join!(
        read_errors(stack, now, true),
        read_recent(stack, now, true),
        history,
        read_pending(stack, true),
        read_items(stack, counts_items),
    );
    let table = if stack.is_local {
        None
    } else {
        Some(read_table_size(stack).await)
    };
    SlowParts {
        errors,
        recent,
        history,
        pending: Some(pending),
        table,
        items: counts_items.then_some(items),
    }
}

#[async_trait]
impl Pipeline for StackPipeline {
    fn about(&self) -> About {
        self.about.clone()
    }

    async fn overview(&self) -> Result<Overview, PipelineError> {
        let parts = self
            .parts
            .get(|| StatusParts::read(&self.stack, StatusScope::default()));
        let (parts, slow, lab) = tokio::join!(parts, self.slow_parts(), self.lab_state());
        let reading = Reading {
            stack: &self.stack,
            parts: &parts,
            slow: &slow,
            lab,
        };
        Ok(reading.overview())
    }

    async fn trace(&self, id: &str) -> Result<Trace, PipelineError> {
        let id = parse_id(id)?;
        let evidence = collect(&self.stack, id.as_str(), Some(STREAM_LIMIT)).await;
        let evidence = evidence.map_err(failed)?;
        let (stack, ids) = (self.stack.clone(), BTreeSet::from([id.to_string()]));
        let is_ending = self.is_ending();
        let inspection = self.look(async move {
            let inspection = inspect_ids(&stack, ids, MAX_ENTRIES, &is_ending).await;
            inspection.map_err(failed)
        });
        let evidence = evidence.with_dead_letters(inspection.await?);
        let has_payload = readable(&evidence).and_then(Content::new).is_some();
        let report = TraceReport::new(&evidence);
        Ok(trace_view(&report, has_payload, &self.about.command))
    }

    async fn payload(&self, id: &str) -> Result<Payload, PipelineError> {
        let id = parse_id(id)?;
        let item = table::fetch_item(&self.stack, id.as_str()).await;
        match item.map_err(failed)? {
            None => Err(PipelineError::NotFound),
            Some(Err(error)) => Err(PipelineError::Invalid(error.to_string())),
            Some(Ok(stored)) => {
                let content = Content::new(&stored);
                let erased = || PipelineError::Invalid("the payload was erased".to_owned());
                let Content {
                    payload,
                    enrichment,
                } = content.ok_or_else(erased)?;
                Ok(Payload {
                    payload,
                    enrichment,
                })
            }
        }
    }

    async fn attention(&self, kind: Kind, filter: &Filter) -> Result<Attention, PipelineError> {
        let filter = ValidFilter::try_from(filter)?;
        let now = Timestamp::now();
        let found = self.find(kind, &filter, now).await?;
        Ok(found.into_attention(&filter, now))
    }

    async fn preview(&self, kind: Kind, filter: &Filter) -> Result<Preview, PipelineError> {
        self.check_changes()?;
        let is_empty = filter.is_empty();
        let filter = ValidFilter::try_from(filter)?;
        if kind == Kind::Refused {
            return Err(PipelineError::Invalid(
                "a refused notification is final; a correction is a new notification, with a new id"
                    .to_owned(),
            ));
        }
        if is_empty {
            return Err(PipelineError::Invalid(
                "the filter selects everything; choose a type, a reason, an age or an id"
                    .to_owned(),
            ));
        }
        let now = Timestamp::now();
        let Found {
            candidates,
            not_inspected,
            notes,
        } = self.find(kind, &filter, now).await?;
        let candidates = candidates.into_iter();
        let (selected, others): (Vec<_>, Vec<_>) = candidates
            .filter(|one| filter.selects(one, now))
            .partition(|one| one.is_selected);
        let mut notes = notes;
        if !others.is_empty() {
            notes.push(left_alone(kind, others.len()));
        }
        let is_whole = not_inspected == 0;
        let command = command(&self.about.command, kind, &filter, &selected, is_whole);
        if command.is_empty() && !selected.is_empty() {
            notes.push("No command selects exactly these entries.".to_owned());
        }
        let token = self.previews().store(plan(kind, &selected), Instant::now());
        Ok(Preview {
            token,
            kind,
            entries: selected.into_iter().map(|one| one.entry).collect(),
            command,
            notes,
        })
    }

    async fn apply(
        &self,
        token: &str,
        progress: &(dyn Fn(Applied) + Send + Sync),
    ) -> Result<(), PipelineError> {
        self.check_changes()?;
        let plan = self.previews().take(token, Instant::now())?;
        let result = self.redrive(&plan, progress).await;
        self.parts.clear().await;
        result
    }

    async fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // Whoever holds dead letters makes them visible first.
        let _nothing_is_held = self.dead_letters.lock().await;
    }

    async fn charts(&self) -> Result<Charts, PipelineError> {
        if let Some(lab) = &self.lab {
            return Ok(lab.state().await?.charts);
        }
        let slow = self.slow_parts().await;
        Ok(match &slow.history {
            Some(Ok(history)) => charts(history, has_times(&self.stack)),
            Some(Err(error)) => Charts {
                not_read: vec![format!("the metrics: {error}")],
                ..Charts::default()
            },
            None => Charts {
                not_read: vec![
                    "a local stack has no metrics; the console of `cargo local up` counts them"
                        .to_owned(),
                ],
                ..Charts::default()
            },
        })
    }
}

fn parse_id(id: &str) -> Result<NotificationId, PipelineError> {
    NotificationId::parse(id).map_err(|error| PipelineError::Invalid(error.to_string()))
}

/// Why entries that the filter selects are not in a preview.
fn left_alone(kind: Kind, count: usize) -> String {
    match kind {
        Kind::DeadLetters => format!(
            "{count} left alone: they would become dead letters again. Filter by reason or id to move them."
        ),
        _ => format!("{count} left alone: there is nothing to publish."),
    }
}

fn plan(kind: Kind, selected: &[Candidate]) -> Plan {
    if kind == Kind::DeadLetters {
        let letters = selected.iter().filter_map(|one| match &one.target {
            Some(Target::Letter(reason)) => Some(PlannedLetter {
                message_id: one.entry.key.clone(),
                notification_id: one.entry.notification_id.clone(),
                reason: reason.clone(),
            }),
            _ => None,
        });
        return Plan::DeadLetters(letters.collect());
    }
    let items = selected.iter().filter_map(|one| match one.target {
        Some(Target::Item(expected)) => Some(PlannedItem {
            id: one.entry.key.clone(),
            expected,
        }),
        _ => None,
    });
    Plan::Items(items.collect())
}

/// The command that redrives the same entries; empty if no command selects exactly them. A command looks at everything, so it could
/// redrive more than a preview that is not of the whole queue or table.
fn command(
    tool: &str,
    kind: Kind,
    filter: &ValidFilter,
    selected: &[Candidate],
    is_whole: bool,
) -> String {
    let names_ids = kind == Kind::FailureBucket;
    if selected.is_empty() || !(is_whole || names_ids) {
        return String::new();
    }
    let line = match kind {
        Kind::DeadLetters => {
            let is_by_option = filter.kind.is_none() && filter.older_than_millis.is_none();
            let selection = letters::selection(filter).ok().filter(|_| is_by_option);
            selection.map(|selection| format!("redrive dlq{}", selection.flags()))
        }
        Kind::FailureBucket if (1..=MAX_IDS).contains(&selected.len()) => {
            let ids = selected.iter().map(|one| shell_quote(&one.entry.key));
            let flags: String = ids.map(|id| format!(" --id {id}")).collect();
            Some(format!("redrive failures{flags}"))
        }
        Kind::Pending => match filter.older_than_millis {
            Some(millis) if filter.kind.is_none() && filter.ids.is_empty() => {
                let age = format!("{:#}", SignedDuration::from_millis(millis));
                Some(format!(
                    "reconcile --pending-older-than {}",
                    shell_quote(&age)
                ))
            }
            _ => None,
        },
        Kind::FailureBucket | Kind::Refused => None,
    };
    line.map_or_else(String::new, |line| format!("{tool} {line} --apply"))
}

#[cfg(test)]
mod tests;
