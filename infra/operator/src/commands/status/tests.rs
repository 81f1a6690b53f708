use onewrite_stack::function_errors::LoggedError;

use super::*;

fn errors(function: &'static str, names: &[&str], not_read: Option<&str>) -> FunctionErrors {
    let kinds = names.iter().map(|name| ErrorKind {
        count: 14,
        last: LoggedError {
            at: Timestamp::UNIX_EPOCH,
            name: (*name).to_owned(),
            reason: Some("denied".to_owned()),
            notification_id: None,
        },
    });
    FunctionErrors {
        function,
        kinds: kinds.collect(),
        read_since: None,
        not_read: not_read.map(str::to_owned),
    }
}

fn recent(metric: &'static str, count: u64) -> RecentCount {
    RecentCount {
        function: "complete",
        metric,
        count,
        last: Timestamp::UNIX_EPOCH,
    }
}

fn item_counts() -> ItemCounts {
    ItemCounts {
        by_status: BTreeMap::from([("DONE".to_owned(), 5), ("INIT".to_owned(), 1)]),
        settled_by: BTreeMap::from([("refunds".to_owned(), 3)]),
        settled_by_unknown: 2,
        oldest_pending: Some(Timestamp::UNIX_EPOCH),
    }
}

#[test]
fn marks_approximate_counts() {
    let mapping = |last_result: Option<&str>, is_of_stream| Mapping {
        state: "Enabled".to_owned(),
        last_result: last_result.map(str::to_owned),
        is_of_stream,
        last_modified: Timestamp::from_second(60).ok(),
    };
    let forward = vec![mapping(Some(NO_RECORDS), true), mapping(Some("OK"), true)];
    let (waiting, hidden) = (3, 1);
    let status = StackStatus {
        queue: QueueDepth { waiting, hidden },
        dead_letters: QueueDepth::default(),
        failures: 2,
        pending_without_downstream: None,
        recent_failures: Some(vec![recent("Failed", 14)]),
        recent_refusals: Some(vec![recent("Refused", 3), recent("Contradicted", 1)]),
        errors: vec![
            errors("ingest", &[], Some("FilterLogEvents: access denied")),
            errors("complete", &["A", "B", "C", "D"], None),
        ],
        mappings: BTreeMap::from([("ingest", vec![mapping(None, false)]), ("forward", forward)]),
        alarms: vec![Alarm {
            name: "onewrite-DeadLetters".to_owned(),
            since: Timestamp::from_second(30).ok(),
            description: "Fix it.".to_owned(),
        }],
        items: Some(item_counts()),
        looked_at: Timestamp::from_second(90).unwrap(),
        is_local: false,
    };
    assert_eq!(
        status.text(),
        concat!(
            "queue           ~3 waiting, ~1 in flight\n",
            "dead letters    ~0 waiting, ~0 in flight\n",
            "ingest          Enabled\n",
            "forward         Enabled, no records in the last 30.000s (this alone is not a fault)\n",
            "forward         Enabled, OK\n",
            "complete        no event source mapping\n",
            "failing         complete: 14 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
            "refused         complete: 3 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
            "contradicted    complete: 1 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
            "errors          ingest: log not read: FilterLogEvents: access denied\n",
            "error           complete: A: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
            "error           complete: B: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
            "error           complete: C: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
            "error           complete: 1 more kinds; --output json has all\n",
            "failure bucket  2 objects\n",
            "ALARM           onewrite-DeadLetters since 1970-01-01T00:00:30Z: Fix it.\n",
            "DONE            5 items\n",
            "INIT            1 items\n",
            "settled by      refunds: 3 items\n",
            "settled by      (no name): 2 items\n",
            "oldest INIT     1m30s\n",
        )
    );
}

#[test]
fn shows_a_local_stack_and_one_without_downstream() {
    let mapping = Mapping {
        state: "Disabled".to_owned(),
        last_result: None,
        is_of_stream: true,
        last_modified: None,
    };
    let status = |is_local| StackStatus {
        queue: QueueDepth::default(),
        dead_letters: QueueDepth::default(),
        failures: 0,
        pending_without_downstream: Some(PendingItems {
            count: 1_204,
            sampled: 1_300,
            of_items: None,
        }),
        recent_failures: None,
        recent_refusals: None,
        errors: vec![errors("forward", &[], None)],
        mappings: BTreeMap::from([("forward", vec![mapping.clone()])]),
        alarms: Vec::new(),
        items: None,
        looked_at: Timestamp::UNIX_EPOCH,
        is_local,
    };
    let local = status(true).text();
    assert!(local.contains("forward         Disabled\n"), "{local}");
    assert!(
        local.contains("complete        no downstream configured: 1204 notifications in INIT\n"),
        "{local}"
    );
    assert!(
        local.contains("errors          none logged in the last hour\n"),
        "{local}"
    );
    assert!(
        status(false)
            .text()
            .contains("forward         Disabled, no records yet")
    );
}
