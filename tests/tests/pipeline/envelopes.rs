//! Messages in the envelopes of other systems, through the whole pipeline with settings alone.

use std::collections::BTreeSet;

use onewrite_local::{
    demo, inspect,
    oracle::{Item, Meaning},
    progress::Progress,
    sample::Sample,
};
use serde_json::json;

use super::support::{assert_no_violations, malformed, options, start};

/// The body that SNS sends without raw message delivery. Each attempt of a publisher has its own `MessageId`.
fn sns(message_id: &str, message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:refunds",
        "Message": message,
        "Timestamp": "2026-11-23T10:00:00.000Z",
    })
    .to_string()
}

/// A CloudEvents message with this JSON text as id and as type.
fn cloudevent(source: &str, id: &str, kind: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","source":"{source}","id":{id},"type":{kind},"data":{{"amount":1.0}}}}"#
    )
}

/// A message that becomes the notification with this id and type.
fn accepted(body: String, id: &str, kind: &str) -> Sample {
    let payload = r#"{"amount":1.0}"#.to_owned();
    Sample {
        body,
        meaning: Meaning::Valid {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: payload.clone(),
            payload,
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_inside_sns_are_one_item_for_each_source_and_id() {
    let options = options("envelopes")
        .parameter("MessagePointer", "/Message")
        .parameter("NotificationIdPointer", "/source,/id")
        .parameter("PayloadPointer", "/data");
    let (mut stack, _recorder) = start(options).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let requested = r#""Refund Requested""#;
    let first = cloudevent("/shop/a", r#""1""#, requested);
    let lone_surrogate = first.replace("amount", r"\ud83d");
    let long_number = first.replace("1.0}", &format!("{}}}", "1".repeat(1_001)));
    let test_event = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"refunds"}"#;
    let samples = [
        accepted(sns("m-1", &first), "~1shop~1a/1", "Refund Requested"),
        // The publisher's retry.
        accepted(sns("m-2", &first), "~1shop~1a/1", "Refund Requested"),
        accepted(
            sns("m-3", &cloudevent("/shop/b", "1", "null")),
            "~1shop~1b/1",
            "notification",
        ),
        accepted(
            sns("m-4", &cloudevent("shop", "890088186047892319", requested)),
            "shop/890088186047892319",
            "Refund Requested",
        ),
        accepted(
            sns("m-5", &cloudevent("shop", r#""INV 2026/0001""#, requested)),
            "shop/INV 2026~10001",
            "Refund Requested",
        ),
        malformed(sns("m-6", &cloudevent("shop", "1.0", requested))),
        malformed(sns("m-7", &lone_surrogate)),
        malformed(sns("m-8", &long_number)),
        malformed(sns("m-9", test_event)),
        malformed(sns("m-10", "no JSON")),
    ];
    let report = demo::run_messages(&mut stack, &samples, Progress::Silent).await;
    let report = report.unwrap();
    assert_no_violations(&report);
    let counts = &report.counts;
    assert_eq!((counts.done, counts.duplicates, counts.rejected), (4, 1, 5));
    let items = inspect::read_items(&clients, &outputs.table).await.unwrap();
    let stored: BTreeSet<(&str, &str)> = items.iter().map(id_and_type).collect();
    let expected = [
        ("shop/890088186047892319", "Refund Requested"),
        ("shop/INV 2026~10001", "Refund Requested"),
        ("~1shop~1a/1", "Refund Requested"),
        ("~1shop~1b/1", "notification"),
    ];
    assert_eq!(stored, expected.into());
    stack.stop().await;
}

fn id_and_type(item: &Item) -> (&str, &str) {
    (&item.id, &item.kind)
}
