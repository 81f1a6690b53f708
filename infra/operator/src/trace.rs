//! The life of one notification: what was seen of it, in the order it happened, and where it is now. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem, UnreadableItem},
    notification::{Fingerprint, MessagePointers, NotificationId, Rejection, Status},
};
use serde::Serialize;

use crate::redrive;

/// A pause in a life that is worth a line, in milliseconds.
const GAP_MILLIS: i64 = 60_000;

/// Digits of a fingerprint that tell two apart.
const FINGERPRINT_DIGITS: usize = 8;

/// Everything that was seen of a notification.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The notification id that was looked for.
    pub id: String,
    /// When.
    pub now: Timestamp,
    /// Its item, if there is one.
    pub item: Option<Result<NotificationItem, UnreadableItem>>,
    /// Its records in the stream.
    pub records: Vec<StreamRecord>,
    /// The dead letters that are its, or name it.
    pub dead_letters: Vec<DeadLetter>,
    /// The failed batches that hold it.
    pub failures: Vec<FailedBatch>,
    /// How many messages are in the queue, about; none of them can be looked for.
    pub waiting: usize,
}

/// A record of the notification stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamRecord {
    /// The shard it is in.
    pub shard: String,
    /// Its place there.
    pub sequence_number: String,
    /// When Kinesis took it.
    pub at: Timestamp,
    /// The event's id, which is the same in every repetition; none for a record that is no event.
    pub event_id: Option<String>,
    /// The status the event tells of.
    pub status: Option<String>,
}

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The message's id; a message that is moved back gets another.
    pub message_id: String,
    /// The notification it is; none where it cannot be read.
    pub notification_id: Option<String>,
    /// When it was sent; on a FIFO queue, when it became a dead letter.
    pub sent_at: Option<Timestamp>,
    /// How often it was received, looks into the dead-letter queue included.
    pub receives: u32,
    /// The message group it is in, where it is in one.
    pub message_group_id: Option<String>,
    /// Why it is there.
    pub reason: Reason,
}

/// Why a message is in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "name", content = "rejection")]
pub enum Reason {
    /// It can never become a notification.
    Rejected(#[serde(serialize_with = "rejection")] Rejection),
    /// It is a notification that was not stored when it came; it may be sent again.
    NotStored,
    /// Another content is stored under its id.
    Conflict,
    /// It says what is stored: nothing is missing.
    AlreadyStored,
}

fn rejection<S: serde::Serializer>(rejection: &Rejection, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}: {rejection}", rejection.name()))
}

impl Reason {
    /// Its name: that of the rejection, where it is one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::NotStored => "NotStored",
            Self::Conflict => "Conflict",
            Self::AlreadyStored => "AlreadyStored",
        }
    }

    /// In words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Rejected(rejection) => format!("rejected: {}: {rejection}", rejection.name()),
            Self::NotStored => "it was not stored when it came".to_owned(),
            Self::Conflict => "conflict: another content is stored".to_owned(),
            Self::AlreadyStored => "a copy of what is stored".to_owned(),
        }
    }
}

/// What a message body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A notification.
    Notification(NotificationId, Fingerprint),
    /// It can never become one.
    Rejected(Rejection),
}

impl Body {
    /// Reads the body of a message as `ingest` does, but for what a team's own aggregation adds.
    #[must_use]
    pub fn read(body: &str, message_id: &str, pointers: &MessagePointers) -> Self {
        let notification = match pointers.parse(body.as_bytes()) {
            Ok(notification) => notification,
            Err(rejection) => return Self::Rejected(rejection),
        };
        let (id, fingerprint) = (notification.id.clone(), notification.fingerprint);
        let nothing = Enrichment::default();
        let now = Timestamp::UNIX_EPOCH;
        match NotificationItem::new(notification, &nothing, message_id.to_owned(), None, now) {
            Ok(_) => Self::Notification(id, fingerprint),
            Err(rejection) => Self::Rejected(rejection),
        }
    }

    /// Whether it has to do with the notification: is it, or cannot be read and has its id in its text.
    #[must_use]
    pub fn concerns(&self, id: &str, body: &str) -> bool {
        match self {
            Self::Notification(own, _) => own.as_str() == id,
            Self::Rejected(_) => body.contains(id),
        }
    }

    /// Why a dead letter of this body is one, given what is stored under its id.
    #[must_use]
    pub fn reason(&self, stored: Option<Fingerprint>) -> Reason {
        match (self, stored) {
            (Self::Rejected(rejection), _) => Reason::Rejected(*rejection),
            (Self::Notification(..), None) => Reason::NotStored,
            (Self::Notification(_, said), Some(stored)) if *said == stored => Reason::AlreadyStored,
            (Self::Notification(..), Some(_)) => Reason::Conflict,
        }
    }
}

/// A batch that a stream function could not get rid of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedBatch {
    /// The object in the failure bucket.
    pub key: String,
    /// When it was written.
    pub at: Timestamp,
    /// The function that failed, by its ARN.
    pub function: String,
    /// Why it was given up, in Lambda's words, such as `RetryAttemptsExhausted`.
    pub condition: String,
    /// How often it was tried.
    pub attempts: u64,
    /// The notifications in it.
    #[serde(skip)]
    pub ids: BTreeSet<String>,
}

/// Where a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Place {
    /// Nowhere that can be looked at.
    Unknown,
    /// In the dead-letter queue alone.
    DeadLettered,
    /// Its item is gone, its events are still in the stream.
    Removed,
    /// Its item was edited into something that is none.
    Unreadable,
    /// In the table, and not yet in the stream.
    Stored,
    /// In the stream, and not accepted.
    Published,
    /// Not accepted, and in a batch that was given up.
    Failed,
    /// Accepted.
    Done,
}

/// One event of a life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: &'static str,
    /// More of it; ids alone.
    pub detail: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The notification id.
    pub id: String,
    /// Where it is now.
    pub place: Place,
    /// Its life, the earliest first.
    pub steps: Vec<Step>,
    /// What this means, in sentences.
    pub says: Vec<String>,
    /// Its records in the stream.
    pub records: Vec<StreamRecord>,
    /// The dead letters that are its, or name it.
    pub dead_letters: Vec<DeadLetter>,
    /// The failed batches that hold it.
    pub failures: Vec<FailedBatch>,
    /// When it was looked for.
    pub looked_at: Timestamp,
}

impl Trace {
    /// Judges what was seen.
    #[must_use]
    pub fn of(seen: &Seen) -> Self {
        let place = place(seen);
        Self {
            id: seen.id.clone(),
            place,
            steps: steps(seen),
            says: says(seen, place),
            records: seen.records.clone(),
            dead_letters: seen.dead_letters.clone(),
            failures: seen.failures.clone(),
            looked_at: seen.now,
        }
    }

    /// Whether there is such a notification, or a trace of it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.place != Place::Unknown
    }

    /// Whether there is a dead letter that is not rejected whatever is done.
    fn can_be_accepted(&self) -> bool {
        let mut letters = self.dead_letters.iter();
        letters.any(|letter| letter.reason == Reason::NotStored)
    }

    /// As a person reads it: each step by the time since the first, and the pauses between. What comes next is said as a
    /// call of `command`.
    #[must_use]
    pub fn text(&self, command: &str) -> String {
        let mut lines = Vec::new();
        let first = self.steps.first().map_or(self.looked_at, |step| step.at);
        let mut last = first;
        for Step { at, what, detail } in &self.steps {
            lines.extend(gap(last, *at));
            let since = format!("+{}", duration(millis(first, *at)));
            lines.push(format!("{since:<10} {what:<13} {detail}"));
            last = *at;
        }
        if !self.steps.is_empty() && !matches!(self.place, Place::Done | Place::DeadLettered) {
            lines.extend(gap(last, self.looked_at));
        }
        lines.extend(self.says.iter().cloned());
        let id = redrive::quoted(&self.id);
        match self.place {
            Place::Failed => lines.push(format!("Next: {command} redrive failures --id {id}")),
            Place::DeadLettered if self.can_be_accepted() => {
                lines.push(format!("Next: {command} redrive dlq --id {id}"));
            }
            _ => {}
        }
        lines.join("\n") + "\n"
    }
}

fn place(seen: &Seen) -> Place {
    match &seen.item {
        None if !seen.dead_letters.is_empty() => Place::DeadLettered,
        None if !seen.records.is_empty() => Place::Removed,
        None => Place::Unknown,
        Some(Err(_)) => Place::Unreadable,
        Some(Ok(item)) if item.status == Status::Done => Place::Done,
        Some(Ok(_)) if !seen.failures.is_empty() => Place::Failed,
        Some(Ok(_)) if seen.records.is_empty() => Place::Stored,
        Some(Ok(_)) => Place::Published,
    }
}

fn steps(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(Ok(item)) = &seen.item {
        let fingerprint = item.notification.fingerprint.to_string();
        let fingerprint = &fingerprint[..FINGERPRINT_DIGITS];
        steps.push(Step {
            at: item.created_at,
            what: "stored",
            detail: format!(
                "INIT, fingerprint {fingerprint}, of message {}",
                item.source_message_id
            ),
        });
    }
    for record in &seen.records {
        let event = record.event_id.as_deref().unwrap_or("no event");
        let again = seen
            .records
            .iter()
            .take_while(|earlier| *earlier != record)
            .any(|earlier| earlier.event_id == record.event_id);
        steps.push(Step {
            at: record.at,
            what: if again { "repeated" } else { "published" },
            detail: format!("{event}, {}, seq {}", record.shard, record.sequence_number),
        });
    }
    if let Some(Ok(item)) = &seen.item
        && item.status == Status::Done
    {
        steps.push(Step {
            at: item.updated_at,
            what: "done",
            detail: format!("version {}", item.version),
        });
    }
    for failure in &seen.failures {
        let function = failure.function.rsplit(':').find(|part| *part != "$LATEST");
        steps.push(Step {
            at: failure.at,
            what: "given up",
            detail: format!(
                "{}, {} after {} attempts, {}",
                function.unwrap_or_default(),
                failure.condition,
                failure.attempts,
                failure.key
            ),
        });
    }
    for letter in &seen.dead_letters {
        steps.push(Step {
            at: letter.sent_at.unwrap_or(seen.now),
            what: "dead letter",
            detail: format!(
                "message {}, {}, received x{}",
                letter.message_id,
                letter.reason.text(),
                letter.receives
            ),
        });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

fn says(seen: &Seen, place: Place) -> Vec<String> {
    let mut says = vec![match place {
        Place::Unknown => format!(
            "Not stored, not published, not in the dead-letter queue, and not seen in the queue, where ~{} messages are and none can be looked for.",
            seen.waiting
        ),
        Place::DeadLettered => {
            "Never stored: it is in the dead-letter queue alone. It takes effect when its message is accepted.".to_owned()
        }
        Place::Removed => {
            "Its item is gone, by its time to live or by hand; its events are still in the stream. Sent again, it would be a new notification.".to_owned()
        }
        Place::Unreadable => {
            "Its item was edited by hand into something that is no notification. No function will touch it.".to_owned()
        }
        Place::Stored => "Stored, not published: forward has it still to send. Safe to redrive.".to_owned(),
        Place::Published => "Published, not DONE. Safe to redrive.".to_owned(),
        Place::Failed => "Not DONE, and its event was given up: mend the cause, then redrive. Safe to redrive.".to_owned(),
        Place::Done => "DONE: one accepted effect. Nothing to do.".to_owned(),
    }];
    if let Some(Err(error)) = &seen.item {
        says.push(format!("{error}."));
    }
    let of = |reason: &Reason| {
        let is_it = |letter: &&DeadLetter| letter.reason == *reason;
        seen.dead_letters.iter().filter(is_it).count()
    };
    let (conflicts, copies) = (of(&Reason::Conflict), of(&Reason::AlreadyStored));
    if conflicts > 0 {
        says.push(format!(
            "Dead letters under this id that say something else: {conflicts}. The first content stands; the sender used an id twice."
        ));
    }
    if copies > 0 {
        says.push(format!(
            "Dead letters that say what is stored: {copies}. They may be deleted, or moved back without harm."
        ));
    }
    says
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

fn gap(from: Timestamp, to: Timestamp) -> Option<String> {
    let millis = millis(from, to);
    (millis >= GAP_MILLIS).then(|| format!("{:<10} {}", "   gap", duration(millis)))
}

/// The two greatest units of a duration; below a minute, seconds to the millisecond.
pub(crate) fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{:03}s", millis % 1_000),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use onewrite::{limits::MAX_ITEM_BYTES, notification::Notification};

    use super::*;

    const START: &str = "2026-11-23T10:00:00.000Z";

    fn at(millis: i64) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        Timestamp::from_millisecond(start.as_millisecond() + millis).unwrap()
    }

    fn notification(payload: &str) -> Notification {
        let body = format!(r#"{{"notification_id":"rf_8841","payload":{payload}}}"#);
        MessagePointers::default().parse(body.as_bytes()).unwrap()
    }

    fn init() -> NotificationItem {
        let (notification, none) = (notification("1"), Enrichment::default());
        NotificationItem::new(notification, &none, "m-1".to_owned(), None, at(31)).unwrap()
    }

    fn done() -> NotificationItem {
        NotificationItem {
            status: Status::Done,
            version: 2,
            updated_at: at(400),
            ..init()
        }
    }

    fn seen() -> Seen {
        Seen {
            id: "rf_8841".to_owned(),
            now: at(252_190),
            item: None,
            records: vec![],
            dead_letters: vec![],
            failures: vec![],
            waiting: 3,
        }
    }

    fn record(status: &str, millis: i64) -> StreamRecord {
        StreamRecord {
            shard: "shard-2".to_owned(),
            sequence_number: "49660514".to_owned(),
            at: at(millis),
            event_id: Some(format!("rf_8841/{status}")),
            status: Some(status.to_owned()),
        }
    }

    fn letter(reason: Reason) -> DeadLetter {
        DeadLetter {
            message_id: "m-9".to_owned(),
            notification_id: Some("rf_8841".to_owned()),
            sent_at: Some(at(0)),
            receives: 6,
            message_group_id: None,
            reason,
        }
    }

    fn failure() -> FailedBatch {
        FailedBatch {
            key: "aws/lambda/x".to_owned(),
            at: at(900),
            function: "arn:aws:lambda:us-east-1:1:function:complete".to_owned(),
            condition: "RetryAttemptsExhausted".to_owned(),
            attempts: 101,
            ids: BTreeSet::from(["rf_8841".to_owned()]),
        }
    }

    #[test]
    fn a_life_is_told_in_order_with_its_pauses() {
        let trace = Trace::of(&Seen {
            item: Some(Ok(init())),
            records: vec![record("INIT", 190), record("INIT", 70_031)],
            ..seen()
        });
        assert_eq!(
            trace.text("onewrite"),
            concat!(
                "+0.000s    stored        INIT, fingerprint ",
                "FINGERPR, of message m-1\n",
                "+0.159s    published     rf_8841/INIT, shard-2, seq 49660514\n",
                "   gap     1m09s\n",
                "+1m10s     repeated      rf_8841/INIT, shard-2, seq 49660514\n",
                "   gap     3m02s\n",
                "Published, not DONE. Safe to redrive.\n"
            )
            .replace(
                "FINGERPR",
                &notification("1").fingerprint.to_string()[..FINGERPRINT_DIGITS]
            )
        );
    }

    #[test]
    fn each_state_has_its_place_and_its_sentence() {
        let item = || Some(Ok(init()));
        let unreadable = UnreadableItem {
            attribute: "status",
        };
        for (seen, place, says) in [
            (seen(), Place::Unknown, "where ~3 messages are"),
            (
                Seen {
                    dead_letters: vec![letter(Reason::NotStored)],
                    ..seen()
                },
                Place::DeadLettered,
                "Never stored",
            ),
            (
                Seen {
                    records: vec![record("INIT", 1)],
                    ..seen()
                },
                Place::Removed,
                "gone",
            ),
            (
                Seen {
                    item: Some(Err(unreadable)),
                    ..seen()
                },
                Place::Unreadable,
                "\"status\" is missing or unreadable",
            ),
            (
                Seen {
                    item: item(),
                    ..seen()
                },
                Place::Stored,
                "not published",
            ),
            (
                Seen {
                    item: item(),
                    records: vec![record("INIT", 1)],
                    ..seen()
                },
                Place::Published,
                "not DONE",
            ),
            (
                Seen {
                    item: item(),
                    failures: vec![failure()],
                    ..seen()
                },
                Place::Failed,
                "given up",
            ),
            (
                Seen {
                    item: Some(Ok(done())),
                    failures: vec![failure()],
                    ..seen()
                },
                Place::Done,
                "one accepted effect",
            ),
            (
                Seen {
                    item: item(),
                    dead_letters: vec![letter(Reason::Conflict)],
                    ..seen()
                },
                Place::Stored,
                "say something else: 1",
            ),
            (
                Seen {
                    item: Some(Ok(done())),
                    dead_letters: vec![letter(Reason::AlreadyStored)],
                    ..seen()
                },
                Place::Done,
                "say what is stored: 1",
            ),
        ] {
            let trace = Trace::of(&seen);
            assert_eq!(trace.place, place);
            assert_eq!(trace.is_known(), place != Place::Unknown);
            assert!(
                trace.says.concat().contains(says),
                "{place:?}: {:?}",
                trace.says
            );
        }
    }

    #[test]
    fn what_a_dead_letter_is_follows_from_what_is_stored() {
        let pointers = MessagePointers::default();
        let read = |body: &str| Body::read(body, "m-9", &pointers);
        let one = read(r#"{"notification_id":"rf_8841","payload":1}"#);
        let stored = notification("1").fingerprint;
        assert_eq!(one.reason(None), Reason::NotStored);
        assert_eq!(one.reason(Some(stored)), Reason::AlreadyStored);
        let other = notification("2").fingerprint;
        assert_eq!(one.reason(Some(other)), Reason::Conflict);
        let broken = r#"{"notification_id":"rf_8841""#;
        let rejected = read(broken).reason(None);
        assert_eq!(rejected.name(), "InvalidJson");
        assert!(rejected.text().starts_with("rejected: InvalidJson: "));
        let json = serde_json::to_value(&rejected).unwrap();
        let why = json["rejection"].as_str().unwrap();
        assert!(why.starts_with("InvalidJson: "), "{json}");
        let payload = "x".repeat(MAX_ITEM_BYTES);
        let large = format!(r#"{{"notification_id":"rf_8841","payload":"{payload}"}}"#);
        assert_eq!(read(&large).reason(None).name(), "ItemTooLarge");
    }

    #[test]
    fn a_body_concerns_its_own_id_or_where_it_cannot_be_read_each_that_it_names() {
        let pointers = MessagePointers::default();
        let concerns = |body: &str, id| Body::read(body, "m-9", &pointers).concerns(id, body);
        let notification = r#"{"notification_id":"a-1","payload":"b-2"}"#;
        assert!(concerns(notification, "a-1"));
        assert!(!concerns(notification, "b-2") && !concerns(notification, "a"));
        assert!(concerns(r#"{"notification_id":"a-1""#, "a-1"));
        assert!(!concerns("{", "a-1"));
    }

    #[test]
    fn a_trace_says_how_often_a_dead_letter_was_received_and_what_comes_next() {
        let trace = Trace::of(&Seen {
            dead_letters: vec![letter(Reason::NotStored)],
            ..seen()
        });
        let text = trace.text("onewrite --stack x");
        assert!(
            text.contains("it was not stored when it came, received x6\n"),
            "{text}"
        );
        assert!(
            text.ends_with("Next: onewrite --stack x redrive dlq --id rf_8841\n"),
            "{text}"
        );
        let rejected = Reason::Rejected(Rejection::MissingPayload);
        let trace = Trace::of(&Seen {
            dead_letters: vec![letter(rejected)],
            ..seen()
        });
        let text = trace.text("onewrite");
        assert!(!text.contains("Next: "), "it would come back: {text}");
    }

    #[test]
    fn a_trace_shows_no_payload() {
        let mut item = init();
        item.notification = notification(r#""DE00""#);
        let trace = Trace::of(&Seen {
            item: Some(Ok(item)),
            ..seen()
        });
        let json = serde_json::to_string(&trace).unwrap();
        assert!(
            !trace.text("onewrite").contains("DE00") && !json.contains("DE00"),
            "{json}"
        );
    }

    #[test]
    fn durations_have_two_units() {
        for (millis, text) in [
            (-5, "0.000s"),
            (59_999, "59.999s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (3_600_000, "1h00m"),
            (86_399_999, "23h59m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
