use futures::future::join_all;

use super::wire::{
    Answer, Outcome, Wire, accept, busy, deliver, event, fault, large_event, lost_answers,
    permanent,
};
use crate::{signed_service::encode_segment, targets::TargetSettings};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:refunds";

/// A response of SNS (SNS API reference, "PublishBatch").
fn published(successful: &[&str], failed: &[(&str, &str, bool)]) -> Answer {
    let successful = successful
        .iter()
        .map(|id| format!("<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>"));
    let failed = failed.iter().map(|(id, code, fault)| {
        format!(
            "<member><Code>{code}</Code><Message>canary-7f3a</Message><Id>{id}</Id>\
             <SenderFault>{fault}</SenderFault></member>"
        )
    });
    let body = format!(
        "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
         <PublishBatchResult><Failed>{}</Failed><Successful>{}</Successful></PublishBatchResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>",
        failed.collect::<String>(),
        successful.collect::<String>(),
    );
    Answer::Http(200, Vec::new(), body)
}

fn failed(status: u16, code: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>canary-7f3a</Message></Error></ErrorResponse>"
    );
    Answer::Http(status, Vec::new(), body)
}

#[tokio::test(start_paused = true)]
async fn publishes_concurrent_events_as_one_batch_by_the_query_protocol() {
    let wire = Wire::new([published(&["1", "0"], &[])]);
    let topic = wire.target(TOPIC, &TargetSettings::default()).await;
    let events = [event("n-1"), event("n-2")];
    let outcomes = join_all(events.iter().map(|event| accept(&topic, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened]);
    let request = wire.only();
    assert_eq!(request.uri, "https://sns.eu-west-1.amazonaws.com/");
    let form = "application/x-www-form-urlencoded";
    assert_eq!(request.headers["content-type"], form);
    let entry = |index: usize| {
        let entry = format!("PublishBatchRequestEntries.member.{}", index + 1);
        let message = encode_segment(&events[index].to_json());
        format!("&{entry}.Id={index}&{entry}.Message={message}")
    };
    let topic = encode_segment(TOPIC);
    let start = format!("Action=PublishBatch&Version=2010-03-31&TopicArn={topic}");
    assert_eq!(request.text, format!("{start}{}{}", entry(0), entry(1)));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_topic_gets_the_notification_as_group_and_the_event_for_deduplication() {
    let wire = Wire::new([published(&["0"], &[])]);
    let topic = wire
        .target(&format!("{TOPIC}.fifo"), &TargetSettings::default())
        .await;
    assert_eq!(accept(&topic, &event("n-1")).await, Outcome::Happened);
    let body = wire.only().text;
    let entry = "PublishBatchRequestEntries.member.1";
    let fingerprint = &event("n-1").fingerprint.to_string()[..16];
    let ids = format!(
        "&{entry}.MessageGroupId=n-1&{entry}.MessageDeduplicationId=n-1%2FINIT%2F{fingerprint}"
    );
    assert!(body.ends_with(&ids), "{body}");
}

#[tokio::test(start_paused = true)]
async fn entries_fail_alone_and_one_without_a_result_counts_as_failed() {
    let wire = Wire::new([published(
        &["0"],
        &[
            ("1", "InvalidParameter", true),
            ("2", "InternalError", false),
            ("3", "KMSThrottling", true),
        ],
    )]);
    let topic = wire.target(TOPIC, &TargetSettings::default()).await;
    let events = ["a", "b", "c", "d", "e"].map(event);
    let outcomes = join_all(events.iter().map(|event| accept(&topic, event))).await;
    let expected = [
        Outcome::Happened,
        permanent("SNS does not accept the event (InvalidParameter)"),
        busy("the outcome at SNS is unknown: InternalError"),
        busy("SNS throttles (KMSThrottling)"),
        busy("the outcome at SNS is unknown: the response cannot be read"),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_never_a_success() {
    for (answer, reason) in lost_answers() {
        let expected = busy(&format!("the outcome at SNS is unknown: {reason}"));
        assert_eq!(deliver(TOPIC, answer.clone()).await, expected, "{answer:?}");
    }
    let unreadable = || busy("the outcome at SNS is unknown: the response cannot be read");
    for (answer, expected) in [
        (failed(400, "Throttled"), busy("SNS throttles (Throttled)")),
        (failed(404, "NotFound"), fault("SNS returned NotFound")),
        (published(&[], &[]), unreadable()),
        (published(&["0", "0"], &[]), unreadable()),
        (
            Answer::Http(200, Vec::new(), "<Other/>".to_owned()),
            unreadable(),
        ),
    ] {
        assert_eq!(deliver(TOPIC, answer.clone()).await, expected, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_default_limit_is_published_alone() {
    let wire = Wire::new([published(&["0"], &[]), published(&["0"], &[])]);
    let topic = wire.target(TOPIC, &TargetSettings::default()).await;
    let events = [
        event("n-1"),
        large_event("n-2", 300 * 1024),
        large_event("n-3", 1024 * 1024),
    ];
    let outcomes = join_all(events.iter().map(|event| accept(&topic, event))).await;
    let too_large = permanent("larger than the service allows (SNS)");
    assert_eq!(outcomes, [Outcome::Happened, Outcome::Happened, too_large]);
    assert_eq!(wire.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_limit_of_the_topic_is_not_tried_forever() {
    let too_long = || failed(400, "BatchRequestTooLong");
    let too_large = permanent("larger than the queue or topic allows (SNS)");
    assert_eq!(deliver(TOPIC, too_long()).await, too_large);

    // A topic of 100 KiB.
    let wire = Wire::new([
        too_long(),
        published(&["0"], &[]),
        too_long(),
        published(&["0"], &[]),
    ]);
    let topic = wire.target(TOPIC, &TargetSettings::default()).await;
    let events = [60, 120, 60].map(|kib| large_event(&format!("n-{kib}"), kib * 1024));
    let outcomes = join_all(events.iter().map(|event| accept(&topic, event))).await;
    assert_eq!(outcomes, [Outcome::Happened, too_large, Outcome::Happened]);
}
