use std::collections::BTreeSet;

use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem, PayloadCompression, UnreadableItem},
    notification::{MessagePointers, Notification, Rejection, Status},
};
use onewrite_stack::{
    dead_letter::{DeadLetter, DeadLetterReason},
    failure_bucket::FailedBatch,
    function_errors::{ErrorKind, FunctionErrors, LoggedError},
    stream::StreamRecord,
    table::StoredItem,
};

use super::{
    evidence::{Evidence, StreamPart},
    report::{FINGERPRINT_DIGITS, Place, TraceReport},
};

const START: &str = "2026-11-23T10:00:00.000Z";

pub(crate) fn at(millis: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    Timestamp::from_millisecond(start.as_millisecond() + millis).unwrap()
}

fn notification(payload: &str) -> Notification {
    let body = format!(r#"{{"notification_id":"rf_8841","payload":{payload}}}"#);
    MessagePointers::default().parse(&body).unwrap()
}

pub(crate) fn init() -> NotificationItem {
    let (notification, nothing) = (notification("1"), Enrichment::default());
    NotificationItem::new(
        notification,
        &nothing,
        "m-1".to_owned(),
        None,
        at(31),
        PayloadCompression::Auto,
    )
    .unwrap()
}

pub(crate) fn done() -> NotificationItem {
    NotificationItem {
        status: Status::Done,
        version: 2,
        updated_at: at(400),
        ..init()
    }
}

pub(crate) fn stored(item: NotificationItem) -> Option<Result<StoredItem, UnreadableItem>> {
    Some(Ok(StoredItem {
        item,
        erased_at: None,
    }))
}

pub(crate) fn nothing() -> Evidence {
    Evidence {
        id: "rf_8841".to_owned(),
        collected_at: at(252_190),
        item: None,
        records: vec![],
        stream: StreamPart::All,
        dead_letters: vec![],
        uninspected_dead_letters: 0,
        failures: vec![],
        unreadable_failures: 0,
        errors: vec![],
        last_error_of_forward: None,
        last_error_of_complete: None,
        has_downstream: true,
        last_result_of_forward: None,
        last_result_of_complete: Some("OK".to_owned()),
        waiting: 3,
    }
}

pub(crate) fn record(status: &str, millis: i64) -> StreamRecord {
    StreamRecord {
        shard: "shard-2".to_owned(),
        sequence_number: "49660514".to_owned(),
        at: at(millis),
        event_id: Some(format!("rf_8841/{status}")),
        status: Some(status.to_owned()),
    }
}

pub(crate) fn letter(reason: DeadLetterReason) -> DeadLetter {
    DeadLetter {
        message_id: "m-9".to_owned(),
        notification_id: Some("rf_8841".to_owned()),
        notification_type: None,
        sent_at: Some(at(0)),
        receives: 6,
        message_group_id: None,
        reason,
    }
}

pub(crate) fn failure() -> FailedBatch {
    FailedBatch {
        key: "aws/lambda/x".to_owned(),
        at: at(900),
        function: "arn:aws:lambda:us-east-1:1:function:complete".to_owned(),
        condition: "RetryAttemptsExhausted".to_owned(),
        attempts: 101,
        ids: BTreeSet::from(["rf_8841".to_owned()]),
        lost: Vec::new(),
    }
}

#[test]
fn shows_history_in_order_with_pauses() {
    let trace = TraceReport::new(&Evidence {
        item: stored(init()),
        records: vec![record("INIT", 190), record("INIT", 70_031)],
        ..nothing()
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
            "Published, not settled. Safe to redrive.\n"
        )
        .replace(
            "FINGERPR",
            &notification("1").fingerprint.to_string()[..FINGERPRINT_DIGITS]
        )
    );
}

/// Evidence of a notification of which only some resources hold something.
fn evidence(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = nothing();
    change(&mut evidence);
    evidence
}

#[test]
fn explains_every_place() {
    let unreadable = UnreadableItem {
        attribute: "status",
    };
    let stored = |change: fn(&mut Evidence)| {
        evidence(|evidence| {
            evidence.item = self::stored(init());
            change(evidence);
        })
    };
    let completed = |change: fn(&mut Evidence)| {
        evidence(|evidence| {
            evidence.item = self::stored(done());
            change(evidence);
        })
    };
    let not_stored = evidence(|one| one.dead_letters = vec![letter(DeadLetterReason::NotStored)]);
    let removed = evidence(|one| one.records = vec![record("INIT", 1)]);
    let edited = evidence(|one| one.item = Some(Err(unreadable)));
    let published = stored(|one| one.records = vec![record("INIT", 1)]);
    let failed = stored(|one| one.failures = vec![failure()]);
    let redriven = completed(|one| one.failures = vec![failure()]);
    let conflict = stored(|one| one.dead_letters = vec![letter(DeadLetterReason::Conflict)]);
    let copy = completed(|one| one.dead_letters = vec![letter(DeadLetterReason::AlreadyStored)]);
    for (evidence, place, sentence) in [
        (nothing(), Place::Unknown, "holds ~3 messages"),
        (not_stored, Place::DeadLettered, "Never stored"),
        (removed, Place::Removed, "was removed"),
        (
            edited,
            Place::Unreadable,
            "\"status\" of the item is missing or invalid",
        ),
        (stored(|_| ()), Place::Stored, "not published"),
        (published, Place::Published, "not settled"),
        (failed, Place::Failed, "given up"),
        (redriven, Place::Done, "one accepted effect"),
        (conflict, Place::Stored, "different content: 1"),
        (copy, Place::Done, "copies of the stored notification: 1"),
    ] {
        let report = TraceReport::new(&evidence);
        assert_eq!(report.place, place);
        assert_eq!(report.place.exit_code() == 3, place == Place::Unknown);
        let summary = report.summary.concat();
        assert!(summary.contains(sentence), "{place:?}: {summary}");
    }
}

#[test]
fn suggests_redrive_only_for_dead_letters_that_can_be_accepted() {
    let trace = TraceReport::new(&Evidence {
        dead_letters: vec![letter(DeadLetterReason::NotStored)],
        ..nothing()
    });
    let text = trace.text("onewrite --stack x");
    assert!(text.contains("valid, not stored, received x6\n"), "{text}");
    assert!(
        text.ends_with("Next: onewrite --stack x redrive dlq --id rf_8841\n"),
        "{text}"
    );
    let rejected = DeadLetterReason::Rejected(Rejection::MissingPayload);
    let trace = TraceReport::new(&Evidence {
        dead_letters: vec![letter(rejected)],
        ..nothing()
    });
    let text = trace.text("onewrite");
    assert!(
        !text.contains("Next: "),
        "a rejected message would return: {text}"
    );
}

#[test]
fn shows_no_payload() {
    let mut item = init();
    item.notification = notification(r#""DE00""#);
    let trace = TraceReport::new(&Evidence {
        item: stored(item),
        ..nothing()
    });
    let json = serde_json::to_string(&trace).unwrap();
    assert!(
        !trace.text("onewrite").contains("DE00") && !json.contains("DE00"),
        "{json}"
    );
}

/// The help and the documentation name the exit code of each place.
#[test]
fn help_and_documentation_list_every_exit_code() {
    let mut command = <crate::cli::Cli as clap::CommandFactory>::command();
    let trace = command.find_subcommand_mut("trace").unwrap();
    let help = trace.render_long_help().to_string();
    let operating = include_str!("../../../../../docs/operating.md");
    let mut codes = BTreeSet::new();
    for place in Place::ALL {
        let code = place.exit_code();
        assert!(codes.insert(code), "{code} has two meanings");
        assert!(help.contains(&format!(" {code} {place:?}")), "{help}");
        let row = format!("| {code} | `{place:?}` |");
        assert!(operating.contains(&row), "{row} is missing");
    }
    for other in [1, 2, 4, 5, 6, 130] {
        assert!(!codes.contains(&other), "{other} means an error");
    }
}

#[test]
fn says_what_was_not_searched() {
    let summary = |change: fn(&mut Evidence)| {
        TraceReport::new(&evidence(|evidence| {
            evidence.item = stored(init());
            change(evidence);
        }))
        .summary
        .concat()
    };
    let until = summary(|one| one.stream = StreamPart::Until(at(0)));
    assert!(
        until.contains("not searched beyond 2026-11-23T10:00:00Z"),
        "{until}"
    );
    assert!(until.contains("not known"), "{until}");
    let nothing = summary(|one| one.stream = StreamPart::Nothing);
    assert!(
        nothing.contains("The stream was not searched."),
        "{nothing}"
    );
    let unreadable = summary(|one| one.unreadable_failures = 2);
    assert!(unreadable.contains("cannot be read: 2"), "{unreadable}");
    let letters = summary(|one| one.uninspected_dead_letters = 7);
    assert!(
        letters.contains("About 7 dead letters were not inspected"),
        "{letters}"
    );
    let complete = summary(|_| ());
    assert!(!complete.contains("searched") && !complete.contains("inspected"));
}

#[test]
fn shows_the_last_error_of_the_function_that_the_notification_waits_for() {
    let summary = |records: Vec<StreamRecord>| {
        TraceReport::new(&evidence(|evidence| {
            evidence.item = stored(init());
            evidence.records = records;
            evidence.last_result_of_forward = Some("PROBLEM: Function call failed".to_owned());
            evidence.last_result_of_complete = Some("OK".to_owned());
        }))
        .summary
        .concat()
    };
    let waits_for_forward = summary(vec![]);
    assert!(
        waits_for_forward.contains("result of forward is: PROBLEM"),
        "{waits_for_forward}"
    );
    let waits_for_complete = summary(vec![record("INIT", 1)]);
    assert!(
        !waits_for_complete.contains("result of"),
        "{waits_for_complete}"
    );
}

#[test]
fn shows_the_code_of_a_refusal_and_no_other_text() {
    let refused = |refusal: Option<&str>| {
        let mut item = done();
        item.status = Status::Refused;
        let mut attributes = item.to_item().into_inner();
        if let Some(text) = refusal {
            let text = serde_dynamo::AttributeValue::S(text.to_owned());
            attributes.insert("refusal".to_owned(), text);
        }
        let item = NotificationItem::from_item(&attributes.into()).unwrap();
        TraceReport::new(&Evidence {
            item: stored(item),
            ..nothing()
        })
    };
    let report = refused(Some("account_closed"));
    assert_eq!(report.place.exit_code(), 16);
    let text = report.text("onewrite");
    assert!(
        text.contains("refused       account_closed, version 2"),
        "{text}"
    );
    for refusal in [Some("The account of Ms. Doe is closed"), None] {
        let report = refused(refusal);
        assert_eq!(report.place, Place::Refused);
        let text = report.text("onewrite");
        assert!(
            text.contains("refused       (not a code), version 2"),
            "{text}"
        );
        let json = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("Doe") && !json.contains("Doe"), "{json}");
    }
}

#[test]
fn shows_who_settled_the_notification() {
    let report = |settled_by: Option<&str>| {
        let settled_by = settled_by.map(|name| name.parse().unwrap());
        TraceReport::new(&Evidence {
            item: stored(NotificationItem {
                settled_by,
                ..done()
            }),
            ..nothing()
        })
    };
    let named = report(Some("refunds-consumer"));
    let text = named.text("onewrite");
    let expected = "done          version 2, by refunds-consumer\n";
    assert!(text.contains(expected), "{text}");
    let json = serde_json::to_value(&named).unwrap();
    assert_eq!(json["settled_by"], "refunds-consumer");
    let nameless = report(None);
    let text = nameless.text("onewrite");
    assert!(text.contains("done          version 2\n"), "{text}");
    let json = serde_json::to_value(&nameless).unwrap();
    assert_eq!(json["settled_by"], serde_json::Value::Null);
}

/// An item whose payload and enrichment are compressed in the table.
fn compressed() -> (NotificationItem, String) {
    let payload = format!(
        r#"{{"lines": ["{}"], "amount": 1.0}}"#,
        "refund ".repeat(900)
    );
    let mut enrichment = Enrichment::default();
    enrichment.insert("note", "refund ".repeat(900));
    let item = NotificationItem::new(
        notification(&payload),
        &enrichment,
        "m-1".to_owned(),
        None,
        at(31),
        PayloadCompression::Auto,
    )
    .unwrap();
    let stored = item.to_item().into_inner();
    for name in ["payload", "enrichment"] {
        let is_binary = matches!(stored[name], serde_dynamo::AttributeValue::B(_));
        assert!(is_binary, "{name}");
    }
    let read = NotificationItem::from_item(&stored.into()).unwrap();
    (read, payload)
}

#[test]
fn prints_the_payload_as_it_was_sent_only_on_request() {
    let (item, payload) = compressed();
    let enrichment = item.enrichment.clone().unwrap();
    let evidence = evidence(|one| one.item = stored(item));
    let report = TraceReport::new(&evidence);
    assert!(!report.text("onewrite").contains("amount"));
    assert!(!serde_json::to_string(&report).unwrap().contains("amount"));
    let report = report.with_content(&evidence);
    let text = report.text("onewrite");
    let end = format!("\nPayload:\n{payload}\nEnrichment:\n{enrichment}\n");
    assert!(text.ends_with(&end), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["payload"], payload);
    assert_eq!(json["enrichment"], enrichment);
    assert!(!format!("{report:?}").contains("amount"));
}

#[test]
fn prints_no_payload_that_was_erased_or_never_stored() {
    let erased = evidence(|one| {
        one.item = Some(Ok(StoredItem {
            item: done(),
            erased_at: Some(at(9_000)),
        }));
    });
    for evidence in [erased, nothing()] {
        let report = TraceReport::new(&evidence).with_content(&evidence);
        assert!(!report.text("onewrite").contains("Payload:"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json.get("payload"), None);
    }
}

#[test]
fn names_the_last_error_of_complete_if_it_waits_for_it() {
    let reason = "the downstream did not accept: refunds: HTTP status 403";
    let waiting = |has_downstream| {
        let trace = TraceReport::new(&Evidence {
            item: stored(init()),
            records: vec![record("INIT", 190)],
            last_error_of_complete: Some(error("DownstreamFailed", reason, 7)),
            has_downstream,
            ..nothing()
        });
        trace.summary.join("\n")
    };
    let summary = waiting(true);
    let expected = format!(
        "of complete, of any notification, at {}: DownstreamFailed: {reason}.",
        at(7)
    );
    assert!(summary.contains(&expected), "{summary}");
    let summary = waiting(false);
    assert!(summary.contains("your own consumer"), "{summary}");
}

#[test]
fn shows_when_a_payload_was_erased() {
    let report = TraceReport::new(&Evidence {
        item: Some(Ok(StoredItem {
            item: done(),
            erased_at: Some(at(9_000)),
        })),
        ..nothing()
    });
    assert_eq!(report.place, Place::Done);
    let text = report.text("onewrite");
    assert!(
        text.contains("erased        payload and enrichment"),
        "{text}"
    );
}

fn error(name: &str, reason: &str, millis: i64) -> LoggedError {
    LoggedError {
        at: at(millis),
        name: name.to_owned(),
        reason: Some(reason.to_owned()),
        notification_id: None,
    }
}

fn errors(function: &'static str) -> FunctionErrors {
    FunctionErrors {
        function,
        kinds: vec![],
        read_since: None,
        not_read: None,
    }
}

#[test]
fn shows_the_last_error_and_the_logs_that_were_not_read() {
    let kinds = vec![ErrorKind {
        count: 14,
        last: error(
            "TableFailed",
            "DynamoDB: refused (AccessDeniedException)",
            80_000,
        ),
    }];
    let trace = TraceReport::new(&Evidence {
        item: stored(init()),
        records: vec![record("INIT", 190)],
        errors: vec![
            FunctionErrors {
                not_read: Some("FilterLogEvents: access denied".to_owned()),
                ..errors("ingest")
            },
            FunctionErrors {
                read_since: Some(at(0)),
                ..errors("forward")
            },
            FunctionErrors {
                kinds,
                ..errors("complete")
            },
        ],
        // Of no use once the notification is published.
        last_error_of_forward: Some(error("a PutRecords call failed", "denied", 7)),
        ..nothing()
    });
    let text = trace.text("onewrite");
    let (_, rest) = text.split_once('\n').unwrap();
    assert_eq!(
        rest,
        concat!(
            "+0.159s    published     rf_8841/INIT, shard-2, seq 49660514\n",
            "   gap     1m19s\n",
            "+1m19s     error         complete: TableFailed: DynamoDB: refused (AccessDeniedException)\n",
            "   gap     2m52s\n",
            "Published, not settled. Safe to redrive.\n",
            "The log of ingest was not read: FilterLogEvents: access denied.\n",
            "The log of forward was not searched before 2026-11-23T10:00:00Z.\n",
        )
    );
}

#[test]
fn shows_the_last_error_of_forward_if_it_waits_for_it() {
    let trace = TraceReport::new(&Evidence {
        item: stored(init()),
        last_error_of_forward: Some(error("a PutRecords call failed", "denied", 7)),
        ..nothing()
    });
    let expected = "The last error of forward, of any notification, at 2026-11-23T10:00:00.007Z: a PutRecords call failed: denied.";
    assert!(
        trace.summary.iter().any(|line| line == expected),
        "{:?}",
        trace.summary
    );
}
