//! Rich data for the page: all places and reasons, long lists, exact numbers, and texts that try to become HTML.

use jiff::{SignedDuration, Timestamp};

use super::{
    motion::sequence_number,
    state::{Counts, Item, Place, State, text},
};
use crate::view::{Alarm, Entry};

/// A text that would run a script if the page treated it as HTML.
pub const HOSTILE: &str =
    r#""><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>"#;

/// A payload with an amount of 20 digits and a number of 56 digits.
pub const EXACT: &str = r#"{"amount": 18446744073709551615, "account": 49590338271490256608559692538361571095921575989136588898, "note": "<img src=x onerror=document.title='owned'>"}"#;

fn ago(minutes: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(minutes)
}

fn item(place: Place, notification_type: &str, minutes: i64, record: u64) -> Item {
    let stored_at = ago(minutes);
    let is_settled = matches!(place, Place::Done | Place::Refused);
    Item {
        notification_type: notification_type.to_owned(),
        payload: Some(EXACT.to_owned()),
        enrichment: Some(r#"{"customer": "Zoë", "limit": 99999999999999999999}"#.to_owned()),
        place,
        stored_at,
        settled_at: is_settled.then(|| stored_at + SignedDuration::from_millis(95_310)),
        settled_by: is_settled.then(|| "targets".to_owned()),
        detail: String::new(),
        sequence_number: sequence_number(record),
    }
}

fn letter(number: usize, reason: &str, is_redrivable: bool, detail: &str) -> Entry {
    let notification_type = ["order", "invoice", "refund"][number % 3];
    Entry {
        key: format!("0f5d8a1c-{number:04}-4b1e-9c2a-77e0d5b6a111"),
        notification_id: (reason != "InvalidJson")
            .then(|| format!("{notification_type}-{number:04}")),
        notification_type: (reason != "InvalidJson").then(|| notification_type.to_owned()),
        reason: reason.to_owned(),
        since: Some(text(ago(i64::try_from(number).unwrap_or_default() * 7 + 3))),
        is_redrivable,
        detail: detail.to_owned(),
    }
}

fn dead_letters() -> Vec<Entry> {
    let conflict = "conflict: different content is stored";
    let mut letters: Vec<Entry> = (1..=60)
        .map(|number| letter(number, "NotStored", true, "valid, not stored"))
        .collect();
    letters.extend((61..=69).map(|number| letter(number, "Conflict", false, conflict)));
    let rejected = "rejected: InvalidJson: the body is not valid JSON";
    letters.extend((70..=84).map(|number| letter(number, "InvalidJson", false, rejected)));
    letters.push(letter(
        85,
        "AlreadyStored",
        false,
        "already stored: it can be deleted",
    ));
    letters.push(Entry {
        notification_id: Some(HOSTILE.to_owned()),
        notification_type: Some("<b>order</b>".to_owned()),
        ..letter(86, "NotStored", true, HOSTILE)
    });
    letters
}

fn failures() -> Vec<Entry> {
    let entry = |number: usize| Entry {
        key: format!("aws/lambda/onewrite-complete/shardId-000000000000/2026/batch-{number}"),
        notification_id: None,
        notification_type: None,
        reason: "RetryAttemptsExhausted".to_owned(),
        since: Some(text(ago(200))),
        is_redrivable: true,
        detail: format!("12 records from {}", sequence_number(number as u64)),
    };
    (1..=3).map(entry).collect()
}

fn alarms() -> Vec<Alarm> {
    vec![Alarm {
        name: "onewrite-CompleteErrors".to_owned(),
        since: Some(text(ago(12))),
        description: "complete fails: the target does not answer. <img src=x onerror=alert(1)>"
            .to_owned(),
    }]
}

fn add_items(state: &mut State) {
    for number in 1..=300_u64 {
        let minutes = i64::try_from(number % 170).unwrap_or_default();
        let one = item(Place::Done, "order", minutes, number);
        state
            .items
            .insert(format!("order-{:04}", 1_000 + number), one);
    }
    for number in 1..=12_u64 {
        let mut one = item(
            Place::Published,
            "invoice",
            30 * i64::try_from(number).unwrap_or(1),
            400 + number,
        );
        one.detail = "503 from https://ledger.example/book after 4 attempts".to_owned();
        state.items.insert(format!("invoice-{number:04}"), one);
    }
    let mut stored = item(Place::Stored, "refund", 190, 500);
    stored.detail = "not yet published".to_owned();
    state.items.insert("refund-0001".to_owned(), stored);
    for number in 2..=6_u64 {
        let mut refused = item(Place::Refused, "refund", 60, 500 + number);
        refused.detail = format!("422: <script>alert({number})</script> the account is closed");
        state.items.insert(format!("refund-{number:04}"), refused);
    }
    let mut hostile = item(Place::Done, HOSTILE, 5, 600);
    hostile.payload = Some(format!("{{\"note\": {HOSTILE:?}}}"));
    hostile.settled_by = Some(HOSTILE.to_owned());
    state.items.insert(HOSTILE.to_owned(), hostile);
    let mut erased = item(Place::Done, "order", 40, 601);
    erased.payload = None;
    state.items.insert("order-erased".to_owned(), erased);
    let awkward = item(Place::Done, "order", 8, 602);
    state
        .items
        .insert("päyment/ü 1%2F#?&id=2+3".to_owned(), awkward);
}

pub(super) fn fill(state: &mut State) {
    add_items(state);
    state.next_record = 700;
    state.dead_letters = dead_letters();
    state.failures = failures();
    state.alarms = alarms();
    state.is_complete_paused = true;
    let items = state.items.len() as u64;
    let open = state
        .items
        .values()
        .filter(|item| item.settled_at.is_none());
    let (open, refused) = (open.count() as u64, state.count_in(Place::Refused));
    let done = items - open - refused;
    let (conflicts, rejected, duplicates) = (9, 15, 7);
    let letters = state.dead_letters.len() as u64;
    state.counts = Counts {
        sent: items + letters + duplicates,
        created: items,
        done,
        refused,
        effects: done,
        conflicts,
        rejected,
        duplicates,
    };
    state.created_at_last_point = items;
    state.done_at_last_point = done;
    state.add_past();
}
