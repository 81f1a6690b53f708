//! Items of the table: those stuck in INIT, those in the failure bucket and the refused ones; and the redrive of exactly those
//! that were previewed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use onewrite::{notification::Status, redrive::Reconciliation};
use onewrite_console::{
    pipeline::PipelineError,
    view::{Applied, Entry},
};
use onewrite_stack::{
    dead_letter_queue::interrupt::IsInterrupted,
    error::StackError,
    failure_bucket::{self, FailedBatch, FailureRecords},
    pace::Pace,
    scan::{self, PageQuery, SelectedItem, Selection},
    stack::Stack,
    table::{self, ExpectedItem, RedriveResult},
};
use tokio::time::sleep_until;

use super::{
    candidates::{Candidate, Found, MAX_ENTRIES, Target, ValidFilter},
    failed::failed,
    previews::PlannedItem,
};
use crate::{
    arguments::DEFAULT_RATE,
    commands::{
        reconcile::DEFAULT_READ_UNITS,
        redrive::failures::{self, Redrive},
    },
    format::duration,
};

/// The most read units of one look at the table: 16 MB. Our own choice; at [`DEFAULT_READ_UNITS`] it takes four seconds.
/// `onewrite reconcile` reads the whole table.
const MAX_READ_UNITS: f64 = 2_000.0;

/// The most objects of the failure bucket that one look reads, the newest first. `onewrite redrive failures` reads all.
const MAX_OBJECTS: usize = 200;

/// The age from which an item in INIT is listed without an age in the filter: the default of `onewrite reconcile`, and a shorter
/// one on a local stack, where nothing waits for long.
pub(super) fn default_age(is_local: bool) -> SignedDuration {
    if is_local {
        SignedDuration::from_secs(30)
    } else {
        SignedDuration::from_hours(1)
    }
}

/// The items of a look at the table.
struct Scanned {
    items: Vec<SelectedItem>,
    not_inspected: u64,
    notes: Vec<String>,
}

/// Scans the table for selected items, until there are enough of them or enough was read.
async fn scan(stack: &Stack, selection: Selection) -> Result<Scanned, StackError> {
    let mut query = PageQuery {
        segment: 0,
        segments: 1,
        selection,
        limit: None,
        after: None,
    };
    let mut pace = Pace::new(DEFAULT_READ_UNITS);
    let (mut items, mut read, mut unreadable, mut units) = (Vec::new(), 0, 0, 0.0);
    let is_whole = loop {
        sleep_until(pace.free_at()).await;
        let page = scan::read_page(stack, query.clone()).await?;
        pace.record_use(page.read_units);
        units += page.read_units;
        read += page.items_read;
        unreadable += page.unreadable;
        items.extend(page.selected);
        if page.last_key.is_none() {
            break items.len() <= MAX_ENTRIES;
        }
        if items.len() >= MAX_ENTRIES || units >= MAX_READ_UNITS {
            break false;
        }
        query.after = page.last_key;
    };
    let beyond = items.len().saturating_sub(MAX_ENTRIES) as u64;
    items.truncate(MAX_ENTRIES);
    let mut notes = Vec::new();
    let mut not_inspected = beyond;
    if !is_whole {
        let size = scan::read_table_size(stack).await?;
        not_inspected += size.items.saturating_sub(read);
        notes.push(format!(
            "The scan ended after {read} items. A list has at most {MAX_ENTRIES} items, and a scan reads at most 16 MB. DynamoDB reports {} items in the table, as of up to six hours ago.",
            size.items
        ));
    }
    if unreadable > 0 {
        notes.push(format!(
            "{unreadable} items cannot be read, because somebody edited them; they are left out."
        ));
    }
    Ok(Scanned {
        items,
        not_inspected,
        notes,
    })
}

/// Finds items in INIT: those of the ids of the filter, or those that are older than its age.
pub(super) async fn find_pending(
    stack: &Stack,
    filter: &ValidFilter,
    now: Timestamp,
) -> Result<Found, PipelineError> {
    if !filter.ids.is_empty() {
        return find_pending_by_id(stack, filter, now).await;
    }
    let age = filter
        .older_than_millis
        .map_or_else(|| default_age(stack.is_local), SignedDuration::from_millis);
    let rule = Reconciliation {
        before: now.checked_sub(age).unwrap_or(Timestamp::MIN),
        settled_since: None,
    };
    let scanned = scan(stack, Selection::Reconcile(rule)).await;
    let mut scanned = scanned.map_err(failed)?;
    if filter.older_than_millis.is_none() {
        let text = format!("Items that have been in INIT for {age:#} or longer.");
        scanned.notes.insert(0, text);
    }
    let items = scanned.items.into_iter();
    Ok(Found {
        candidates: items.map(|item| pending_candidate(item, now)).collect(),
        not_inspected: scanned.not_inspected,
        notes: scanned.notes,
    })
}

async fn find_pending_by_id(
    stack: &Stack,
    filter: &ValidFilter,
    now: Timestamp,
) -> Result<Found, PipelineError> {
    let mut found = Found::default();
    for id in &filter.ids {
        let item = table::fetch_item(stack, id.as_str()).await;
        let text = match item.map_err(failed)? {
            None => "no item",
            Some(Err(_)) => "the item cannot be read",
            Some(Ok(stored)) if stored.item.status != Status::Init => "already settled",
            Some(Ok(stored)) => {
                let item = stored.item;
                let expected = ExpectedItem {
                    status: item.status,
                    redrives: Some(item.redrives),
                    created_at: Some(item.created_at),
                };
                let kind = Some(item.notification.kind.to_string());
                let since = item.created_at;
                let one = pending(id.to_string(), kind, since, expected, now);
                found.candidates.push(one);
                continue;
            }
        };
        found.notes.push(format!("{id}: {text}"));
    }
    Ok(found)
}

fn pending_candidate(item: SelectedItem, now: Timestamp) -> Candidate {
    let SelectedItem {
        id, state, kind, ..
    } = item;
    let expected = ExpectedItem {
        status: state.status,
        redrives: Some(state.redrives),
        created_at: Some(state.updated_at),
    };
    let kind = kind.map(|kind| kind.to_string());
    pending(id, kind, state.updated_at, expected, now)
}

fn pending(
    id: String,
    kind: Option<String>,
    since: Timestamp,
    expected: ExpectedItem,
    now: Timestamp,
) -> Candidate {
    let age = duration(now.as_millisecond() - since.as_millisecond());
    let redrives = match expected.redrives {
        Some(0) | None => String::new(),
        Some(count) => format!(", redriven x{count}"),
    };
    Candidate {
        entry: Entry {
            key: id.clone(),
            notification_id: Some(id),
            notification_type: kind,
            reason: Status::Init.to_string(),
            since: Some(since.to_string()),
            is_redrivable: true,
            detail: format!("in INIT for {age}{redrives}"),
        },
        since: Some(since),
        target: Some(Target::Item(expected)),
        is_selected: true,
    }
}

/// Finds the notifications that the downstream refused. They are final.
pub(super) async fn find_refused(stack: &Stack) -> Result<Found, PipelineError> {
    let scanned = scan(stack, Selection::Refused).await.map_err(failed)?;
    let items = scanned.items.into_iter();
    Ok(Found {
        candidates: items.map(refused_candidate).collect(),
        not_inspected: scanned.not_inspected,
        notes: scanned.notes,
    })
}

fn refused_candidate(item: SelectedItem) -> Candidate {
    let since = item.state.updated_at;
    // Another consumer can store any text as the reason, which may be confidential.
    let code = item.refusal.map(|code| code.to_string());
    Candidate {
        entry: Entry {
            key: item.id.clone(),
            notification_id: Some(item.id),
            notification_type: item.kind.map(|kind| kind.to_string()),
            reason: code.unwrap_or_else(|| "(not a code)".to_owned()),
            since: Some(since.to_string()),
            is_redrivable: false,
            detail: "REFUSED for good. A correction is a new notification, with a new id."
                .to_owned(),
        },
        since: Some(since),
        target: None,
        is_selected: false,
    }
}

/// Finds the notifications in the newest objects of the failure bucket, as `onewrite redrive failures` does.
pub(super) async fn find_failures(
    stack: &Stack,
    filter: &ValidFilter,
) -> Result<Found, PipelineError> {
    let records = failure_bucket::read_newest_failed_batches(stack, MAX_OBJECTS).await;
    let mut records = records.map_err(failed)?;
    let only: BTreeSet<String> = filter.ids.iter().map(ToString::to_string).collect();
    let beyond = keep_first(&mut records, &only);
    let redrives = failures::plan(stack, &records, &only)
        .await
        .map_err(failed)?;
    let newest = newest_batches(&records.batches);
    let redrives = redrives.into_iter();
    let candidates = redrives.map(|one| {
        let batch = newest.get(one.id.as_str()).copied();
        failed_candidate(one, batch)
    });
    Ok(Found {
        candidates: candidates.collect(),
        not_inspected: (records.not_read + beyond) as u64,
        notes: notes(&records, beyond),
    })
}

fn notes(records: &FailureRecords, beyond: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if records.not_read > 0 {
        notes.push(format!(
            "{} older objects were not read; `onewrite redrive failures` reads all.",
            records.not_read
        ));
    }
    if beyond > 0 {
        notes.push(format!(
            "{beyond} notifications of these objects are left out: a list has at most {MAX_ENTRIES}."
        ));
    }
    for key in &records.unreadable {
        notes.push(format!(
            "could not be read: {key} in the failure bucket; it may contain notifications"
        ));
    }
    notes
}

/// Leaves at most [`MAX_ENTRIES`] ids in the records, and returns how many are left out.
fn keep_first(records: &mut FailureRecords, only: &BTreeSet<String>) -> usize {
    let all: BTreeSet<String> = records
        .batches
        .iter()
        .flat_map(|batch| batch.ids.iter())
        .filter(|id| only.is_empty() || only.contains(*id))
        .cloned()
        .collect();
    let left_out: BTreeSet<&String> = all.iter().skip(MAX_ENTRIES).collect();
    for batch in &mut records.batches {
        batch.ids.retain(|id| !left_out.contains(id));
    }
    left_out.len()
}

/// The newest batch of each notification.
fn newest_batches(batches: &[FailedBatch]) -> BTreeMap<&str, &FailedBatch> {
    let mut newest: BTreeMap<&str, &FailedBatch> = BTreeMap::new();
    for batch in batches {
        for id in &batch.ids {
            let known = newest.entry(id).or_insert(batch);
            if batch.at > known.at {
                *known = batch;
            }
        }
    }
    newest
}

fn failed_candidate(redrive: Redrive, batch: Option<&FailedBatch>) -> Candidate {
    let is_redrivable = redrive.outcome == RedriveResult::WouldBeRedriven;
    let attempts = batch.map_or_else(String::new, |batch| {
        format!(", given up after {} attempts", batch.attempts)
    });
    Candidate {
        entry: Entry {
            key: redrive.id.clone(),
            notification_id: Some(redrive.id),
            notification_type: redrive.kind.map(|kind| kind.to_string()),
            reason: batch.map_or_else(String::new, |batch| batch.condition.clone()),
            since: batch.map(|batch| batch.at.to_string()),
            is_redrivable,
            detail: format!(
                "{}, in {} failure records{attempts}",
                redrive.outcome.text(),
                redrive.failures
            ),
        },
        since: batch.map(|batch| batch.at),
        target: is_redrivable.then_some(Target::Item(redrive.expected)),
        is_selected: is_redrivable,
    }
}

/// Publishes the events of exactly these items again, each only if it is still as it was previewed, and reports the result of
/// each. Once the console ends, no further one is tried.
pub(super) async fn redrive(
    stack: &Stack,
    items: &[PlannedItem],
    is_ending: IsInterrupted<'_>,
    progress: &(dyn Fn(Applied) + Send + Sync),
) {
    let mut pace = Pace::new(DEFAULT_RATE);
    let mut ended: Option<String> = None;
    for item in items {
        if ended.is_none() {
            sleep_until(pace.reserve()).await;
            ended = is_ending().then(|| "the console ended".to_owned());
        }
        let (is_redriven, result) = match &ended {
            Some(reason) => (false, format!("not tried: {reason}")),
            None => {
                match table::republish_expected(stack, &item.id, item.expected).await {
                    Ok(result) => (result == RedriveResult::Redriven, result.text().to_owned()),
                    Err(error) => {
                        let text = format!(
                            "not known: {error}. If it was redriven, a second time is harmless"
                        );
                        // The same call would fail for each of the others too.
                        if !matches!(error, StackError::Call { .. }) {
                            ended = Some(error.to_string());
                        }
                        (false, text)
                    }
                }
            }
        };
        progress(Applied {
            key: item.id.clone(),
            notification_id: Some(item.id.clone()),
            is_redriven,
            result,
        });
    }
}
