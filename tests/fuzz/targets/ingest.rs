//! For any SQS event, each acknowledged message is in the table with the same content, and each reported id is in the
//! batch.
#![no_main]

use std::collections::HashSet;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use onewrite::item::{Enrichment, attribute};
use onewrite::notification::MessagePointers;
use onewrite_fuzz::block_on;
use onewrite_ingest::handler::Ingest;
use onewrite_ingest::message::QueueEvent;
use onewrite_runtime::{budget::Budget, event::decode, observer::Observer};
use onewrite_testing::InMemoryTable;
use serde_dynamo::AttributeValue;

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = decode::<QueueEvent>(bytes) else {
        return;
    };
    let messages: Vec<(Option<String>, Option<String>)> = event
        .records
        .iter()
        .map(|record| (record.message_id.clone(), record.body.clone()))
        .collect();
    let table = InMemoryTable::default();
    let pointers = MessagePointers::default();
    let ingest = Ingest::new(table.clone(), pointers.clone(), 4, |_| {
        Enrichment::default()
    });
    let ingest = ingest.with_observer(Observer::default().with_metrics(|_| {}));
    let answer = block_on(async {
        let budget = Budget::from_remaining(None, Duration::from_secs(3));
        ingest.handle(event, budget).await
    });
    let lacks_id = |(id, _): &(Option<String>, _)| id.as_ref().is_none_or(String::is_empty);
    let Ok(answer) = answer else {
        assert!(messages.iter().any(lacks_id));
        assert!(table.items().is_empty());
        return;
    };
    assert!(!messages.iter().any(lacks_id));
    let failed = answer.batch_item_failures.iter();
    let failed: HashSet<&str> = failed
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    let ids: HashSet<&str> = messages
        .iter()
        .filter_map(|(id, _)| id.as_deref())
        .collect();
    assert!(failed.is_subset(&ids));
    for (id, body) in &messages {
        if id.as_deref().is_some_and(|id| failed.contains(id)) {
            continue;
        }
        let body = body.as_deref().expect("an acknowledged message has a body");
        let notification = pointers
            .parse(&body)
            .expect("an acknowledged message is valid");
        let item = table
            .item(notification.id.as_str())
            .expect("an acknowledged message is stored");
        let stored = item.get(attribute::FINGERPRINT);
        let fingerprint = AttributeValue::B(notification.fingerprint.as_bytes().to_vec());
        assert_eq!(stored, Some(&fingerprint));
    }
});
