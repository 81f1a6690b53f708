use std::collections::BTreeSet;

use jiff::Timestamp;
use onewrite_console::pipeline::PipelineError;
use onewrite_stack::{
    function_errors::{ErrorKind, LoggedError},
    metrics::series::SeriesUnit,
    wire,
};

use super::*;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn depth(waiting: usize) -> QueueDepth {
    QueueDepth { waiting, hidden: 1 }
}

fn denied(call: &'static str) -> StackError {
    StackError::AccessDenied { call }
}

fn mapping(state: &str) -> Mapping {
    Mapping {
        state: state.to_owned(),
        last_result: None,
        is_of_stream: false,
        last_modified: None,
    }
}

fn parts(is_local: bool) -> StatusParts {
    let alarm = |name: &str| alarms::Alarm {
        name: name.to_owned(),
        since: Some(AT),
        description: "Fix it.".to_owned(),
    };
    StatusParts {
        queue: Ok(depth(1_203)),
        dead_letters: Ok(depth(2)),
        failures: Ok(4),
        mappings: Ok(BTreeMap::from([
            ("ingest", vec![mapping("Disabled")]),
            ("forward", vec![mapping("Enabled")]),
            ("complete", Vec::new()),
        ])),
        pending_without_downstream: Ok(None),
        recent: None,
        errors: Vec::new(),
        alarms: Ok(vec![alarm("orders-DeadLetters"), alarm("orders-Throttles")]),
        items: Ok(None),
        is_local,
        looked_at: AT,
    }
}

fn slow() -> SlowParts {
    let series = |name, unit, values: &[Option<f64>]| MetricSeries {
        name,
        unit,
        values: values.to_vec(),
    };
    let events = SeriesUnit::Events;
    let history = MetricHistory {
        times: vec![AT; 3],
        series: vec![
            series(names::SENT, events, &[Some(60.0), Some(120.0), None]),
            series(names::CREATED, events, &[Some(100.0), Some(0.0), None]),
            series(names::DONE, events, &[Some(90.0), Some(5.0), None]),
            series(names::REFUSED, events, &[Some(1.0), Some(0.0), None]),
            series(names::OLDEST_MESSAGE, SeriesUnit::Seconds, &[Some(3.0)]),
            series(names::FORWARD_AGE, SeriesUnit::Milliseconds, &[Some(250.0)]),
        ],
        requested: 6,
    };
    let errors = FunctionErrors {
        function: "complete",
        kinds: vec![ErrorKind {
            count: 3,
            last: LoggedError {
                at: AT,
                name: "TargetFailed".to_owned(),
                reason: Some("busy".to_owned()),
                notification_id: None,
            },
        }],
        read_since: None,
        not_read: None,
    };
    SlowParts {
        errors: vec![errors],
        history: Some(Ok(history)),
        table: Some(Ok(TableSize {
            arn: String::new(),
            items: 9_000,
            bytes: 0,
        })),
        ..SlowParts::default()
    }
}

fn stage<'a>(overview: &'a Overview, name: &str) -> &'a Stage {
    let mut stages = overview.stages.iter();
    stages.find(|stage| stage.name == name).unwrap()
}

#[tokio::test]
async fn claims_only_what_was_counted_on_aws() {
    let (stack, _) = wire::stack(&[]).await;
    let (parts, slow) = (parts(false), slow());
    let reading = Reading {
        stack: &stack,
        parts: &parts,
        slow: &slow,
        lab: None,
    };
    let overview = reading.overview();
    assert_eq!(
        overview.sentence,
        "In the last 3 hours: 180 sent, 100 created, 96 settled. Now: 1,204 waiting, 3 dead letters."
    );
    assert_eq!(
        (overview.totals.lost, overview.totals.effects),
        (None, None)
    );
    assert_eq!(overview.totals.failures, Some(Count(4)));
    let names: Vec<&str> = overview
        .stages
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let expected = [
        "queue", "ingest", "table", "forward", "stream", "complete", "targets",
    ];
    assert_eq!(names, expected);
    let queue = stage(&overview, "queue");
    assert_eq!(
        (queue.resource.as_str(), queue.rate),
        ("queue.fifo", Some(2.0))
    );
    assert_eq!(queue.oldest_millis, Some(Count(3_000)));
    assert_eq!(queue.alarms, ["orders-DeadLetters"]);
    let ingest = stage(&overview, "ingest");
    assert!(ingest.is_paused && ingest.alarms == ["orders-Throttles"]);
    assert!(!stage(&overview, "forward").is_paused);
    let complete = stage(&overview, "complete");
    assert!(
        !complete.is_paused,
        "it has no mapping that could be paused"
    );
    let failure = complete.last_failure.as_deref().unwrap();
    assert!(failure.starts_with("TargetFailed: busy"), "{failure}");
    assert!(complete.is_failing && !stage(&overview, "forward").is_failing);
    assert_eq!(overview.not_read, Vec::<String>::new());
}

#[tokio::test]
async fn an_old_error_stays_readable_but_is_no_failure_any_more() {
    let (stack, _) = wire::stack(&[]).await;
    let parts = StatusParts {
        looked_at: AT + FAILING_FOR,
        ..parts(false)
    };
    let reading = Reading {
        stack: &stack,
        parts: &parts,
        slow: &slow(),
        lab: None,
    };
    let overview = reading.overview();
    let complete = stage(&overview, "complete");
    assert!(!complete.is_failing && complete.last_failure.is_some());
}

/// The page and `onewrite status --output json` show the same.
#[tokio::test]
async fn shows_what_the_status_command_prints() {
    let (stack, _) = wire::stack(&[]).await;
    let (own, slow) = (parts(false), slow());
    let reading = Reading {
        stack: &stack,
        parts: &own,
        slow: &slow,
        lab: None,
    };
    let page = serde_json::to_value(reading.overview()).unwrap();
    let status = StatusParts {
        errors: slow.errors.clone(),
        ..parts(false)
    };
    let status = serde_json::to_value(status.into_status().unwrap()).unwrap();
    let total = |depth: &serde_json::Value| {
        let count = |name: &str| depth[name].as_u64().unwrap();
        (count("waiting") + count("hidden")).to_string()
    };
    assert_eq!(page["totals"]["waiting"], total(&status["queue"]));
    assert_eq!(
        page["totals"]["dead_letters"],
        total(&status["dead_letters"])
    );
    assert_eq!(page["totals"]["failures"], status["failures"].to_string());
    assert_eq!(page["alarms"], status["alarms"]);
    assert_eq!(page["at"], status["looked_at"]);
    for stage in page["stages"].as_array().unwrap() {
        let name = stage["name"].as_str().unwrap();
        let Some(mappings) = status["mappings"].get(name) else {
            continue;
        };
        let is_disabled = |mapping: &serde_json::Value| mapping["state"] == "Disabled";
        let is_paused = mappings.as_array().unwrap().iter().any(is_disabled);
        assert_eq!(stage["is_paused"], is_paused, "{name}");
        let mut errors = status["errors"].as_array().unwrap().iter();
        let logged = errors.any(|errors| errors["function"] == name);
        assert_eq!(stage["last_failure"].is_string(), logged, "{name}");
    }
}

#[tokio::test]
async fn names_what_could_not_be_read_and_shows_the_rest() {
    let (stack, _) = wire::stack(&[]).await;
    let parts = StatusParts {
        queue: Err(denied("GetQueueAttributes")),
        alarms: Err(denied("DescribeAlarms")),
        ..parts(false)
    };
    let slow = SlowParts {
        history: Some(Err(denied("GetMetricData"))),
        ..slow()
    };
    let reading = Reading {
        stack: &stack,
        parts: &parts,
        slow: &slow,
        lab: None,
    };
    let overview = reading.overview();
    assert_eq!(
        overview.not_read,
        [
            "the queue: GetQueueAttributes: access denied",
            "the alarms: DescribeAlarms: access denied",
            "the metrics: GetMetricData: access denied",
        ]
    );
    assert_eq!(overview.sentence, "Now: 3 dead letters.");
    assert_eq!(stage(&overview, "queue").count, None);
    assert_eq!(stage(&overview, "table").count, Some(Count(9_000)));
}

#[tokio::test]
async fn the_lab_counts_a_local_stack_and_its_absence_is_named() {
    let (mut stack, _) = wire::stack(&[]).await;
    stack.is_local = true;
    let (parts, slow) = (parts(true), SlowParts::default());
    let mut lab = LabState::default();
    lab.totals.sent = Some(Count(5));
    lab.totals.lost = Some(Count(0));
    lab.stages = vec![Stage {
        name: "ingest".to_owned(),
        count: Some(Count(5)),
        count_of: "created".to_owned(),
        rate: Some(2.5),
        ..Stage::default()
    }];
    let read = |lab| {
        let reading = Reading {
            stack: &stack,
            parts: &parts,
            slow: &slow,
            lab: Some(lab),
        };
        reading.overview()
    };
    let overview = read(Ok(lab));
    assert!(
        overview.sentence.starts_with("5 messages sent, 0 lost"),
        "{}",
        overview.sentence
    );
    assert_eq!(overview.totals.failures, Some(Count(4)), "from the bucket");
    let ingest = stage(&overview, "ingest");
    assert_eq!((ingest.count, ingest.rate), (Some(Count(5)), Some(2.5)));
    assert!(ingest.is_paused, "from the mappings");
    assert_eq!(ingest.resource, "ingest");

    let gone = PipelineError::Failed("no answer".to_owned());
    let overview = read(Err(gone.to_string()));
    assert_eq!(
        overview.not_read,
        ["the lab of `cargo local up`: no answer"]
    );
    assert_eq!(overview.totals.sent, None);
}

#[tokio::test]
async fn counts_the_items_of_a_local_stack_without_a_lab() {
    let (mut stack, _) = wire::stack(&[]).await;
    stack.is_local = true;
    let by_status = [("DONE", 5), ("INIT", 1), ("REFUSED", 2)];
    let items = ItemCounts {
        by_status: by_status
            .map(|(status, count)| (status.to_owned(), count))
            .into(),
        ..ItemCounts::default()
    };
    let slow = SlowParts {
        items: Some(Ok(Some(items))),
        ..SlowParts::default()
    };
    let parts = parts(true);
    let reading = Reading {
        stack: &stack,
        parts: &parts,
        slow: &slow,
        lab: None,
    };
    let overview = reading.overview();
    assert_eq!(
        overview.sentence,
        "In the table now: 8 created, 7 settled. Now: 1,204 waiting, 3 dead letters."
    );
    assert_eq!(stage(&overview, "table").count, Some(Count(8)));
}

#[test]
fn shows_targets_without_secrets() {
    let parameters = |arns: &str, url: &str| {
        let all = [(ARNS, arns), (URL, url)];
        target_names(
            &all.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    };
    let arns = "arn:aws:sqs:eu-west-1:1:orders, arn:aws:events:eu-west-1:1:event-bus/main";
    assert_eq!(parameters(arns, ""), ["orders", "main"]);
    for url in [
        "https://hooks.example.com/services/T0/secret?key=1",
        "https://user:secret@hooks.example.com/a",
        "https://hooks.example.com#secret",
    ] {
        assert_eq!(parameters("", url), ["https://hooks.example.com"]);
    }
}

#[test]
fn each_alarm_of_the_template_has_a_stage() {
    let template = include_str!("../../../../../../template.yaml");
    let names = template.lines().filter_map(|line| {
        let name = line
            .trim()
            .strip_prefix("AlarmName: !Sub \"${AWS::StackName}-")?;
        Some(name.trim_end_matches('"'))
    });
    let names: BTreeSet<&str> = names.collect();
    let shown: BTreeSet<&str> = ALARMS.iter().flat_map(|(_, ends)| *ends).copied().collect();
    assert!(!names.is_empty());
    assert_eq!(shown, names);
}
