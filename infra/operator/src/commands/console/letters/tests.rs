use std::sync::Mutex;

use onewrite_console::view::Filter;
use onewrite_stack::{
    dead_letter::StoredContent,
    dead_letter_queue::{
        interrupt::NEVER,
        memory::{Letter, MemoryQueue},
    },
};

use super::*;

/// Every third letter is rejected, the others are valid and not stored; odd ones have the type `refund`.
fn letter(number: u64) -> Letter {
    let kind = if number.is_multiple_of(2) {
        "invoice"
    } else {
        "refund"
    };
    let start = format!(r#"{{"notification_id":"n-{number}","type":"{kind}","payload":"#);
    Letter {
        body: start + if number.is_multiple_of(3) { "" } else { "1}" },
        group: None,
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

fn queue(count: u64) -> MemoryQueue<fn(u64) -> Letter> {
    MemoryQueue::new(count, false, letter)
}

fn filter(json: &str) -> ValidFilter {
    let filter: Filter = serde_json::from_str(json).unwrap();
    ValidFilter::try_from(&filter).unwrap()
}

/// The letters that a preview with this filter selects.
async fn preview(queue: &impl DeadLetterQueue, json: &str) -> Vec<PlannedLetter> {
    let filter = filter(json);
    let found = find(queue, MessageRules::default(), &filter, NEVER)
        .await
        .unwrap();
    let now = Timestamp::from_second(1_000).unwrap();
    let selected = found.candidates.into_iter();
    let selected = selected.filter(|one| filter.selects(one, now) && one.is_selected);
    let planned = selected.map(|one| PlannedLetter {
        message_id: one.entry.key,
        notification_id: one.entry.notification_id,
        reason: match one.target {
            Some(Target::Letter(reason)) => reason,
            other => panic!("{other:?}"),
        },
    });
    planned.collect()
}

/// Redrives, and returns the results by message id.
async fn apply(
    queue: &impl DeadLetterQueue,
    planned: &[PlannedLetter],
) -> BTreeMap<String, Applied> {
    let results = Mutex::new(BTreeMap::new());
    let progress = |applied: Applied| {
        let earlier = results.lock().unwrap().insert(applied.key.clone(), applied);
        assert_eq!(earlier, None, "one result for each letter");
    };
    redrive(queue, MessageRules::default(), planned, NEVER, &progress)
        .await
        .unwrap();
    results.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn selects_what_the_command_would_move() {
    let queue = queue(12);
    let numbers = |planned: Vec<PlannedLetter>| {
        let mut numbers: Vec<u32> = planned
            .iter()
            .map(|one| one.message_id[2..].parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let by_type = preview(&queue, r#"{"notification_type": "refund"}"#).await;
    assert_eq!(numbers(by_type), [1, 5, 7, 11], "valid ones alone");
    let rejected = preview(&queue, r#"{"reason": "invalidjson"}"#).await;
    assert_eq!(numbers(rejected), [0, 3, 6, 9], "on request");
    let by_id = preview(&queue, r#"{"ids": ["n-3"]}"#).await;
    assert_eq!(numbers(by_id), [3]);
    let young = preview(&queue, r#"{"older_than_millis": "1000001"}"#).await;
    assert_eq!(numbers(young), Vec::<u32>::new());
}

#[test]
fn refuses_an_unknown_reason() {
    let unknown = selection(&filter(r#"{"reason": "Bored"}"#));
    assert!(matches!(unknown, Err(PipelineError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn says_that_a_look_is_a_receive_and_what_it_did_not_inspect() {
    let queue = queue(MAX_ENTRIES as u64 + 500);
    let found = find(
        &queue,
        MessageRules::default(),
        &ValidFilter::default(),
        NEVER,
    )
    .await;
    let found = found.unwrap();
    let inspected = found.candidates.len();
    assert!((MAX_ENTRIES..MAX_ENTRIES + 20).contains(&inspected));
    assert_eq!(found.not_inspected as usize, MAX_ENTRIES + 500 - inspected);
    let notes = found.notes.concat();
    assert!(notes.contains("counts as a receive"), "{notes}");
    assert!(notes.contains("were not inspected"), "{notes}");
    let received = (0..MAX_ENTRIES as u64 + 500).map(|number| queue.receives(number));
    assert_eq!(received.sum::<u32>() as usize, inspected, "each once");
}

#[tokio::test(start_paused = true)]
async fn moves_exactly_the_previewed_letters_and_no_others_that_match() {
    let queue = queue(300);
    let all = preview(&queue, r#"{"notification_type": "refund"}"#).await;
    let planned: Vec<PlannedLetter> = all.into_iter().take(7).collect();
    let results = apply(&queue, &planned).await;
    let moved: Vec<String> = queue
        .sent()
        .keys()
        .map(|number| format!("m-{number}"))
        .collect();
    let mut expected: Vec<&str> = planned.iter().map(|one| one.message_id.as_str()).collect();
    expected.sort_by_key(|id| id[2..].parse::<u64>().unwrap());
    assert_eq!(moved, expected);
    assert!(queue.sent().values().all(|times| *times == 1));
    assert_eq!(queue.count_visible(), 293, "the others are visible again");
    assert_eq!(results.len(), 7);
    for applied in results.values() {
        assert!(applied.is_redriven && applied.result.starts_with("moved, now message n-"));
    }
}

#[tokio::test(start_paused = true)]
async fn leaves_a_letter_that_changed_or_is_gone() {
    let before = queue(4);
    let mut planned = preview(&before, r#"{"reason": "NotStored"}"#).await;
    planned.push(PlannedLetter {
        message_id: "m-77".to_owned(),
        notification_id: None,
        reason: DeadLetterReason::NotStored,
    });
    // Meanwhile, other content was stored under the id of one of them.
    let now = queue(4).with_stored("n-1", StoredContent::Item(None));
    let results = apply(&now, &planned).await;
    let result = |key: &str| results[key].result.clone();
    assert!(result("m-1").starts_with("changed since the preview: conflict"));
    assert!(result("m-2").starts_with("moved"));
    assert!(result("m-77").starts_with("gone"), "{}", result("m-77"));
    assert_eq!(Vec::from_iter(now.sent().into_keys()), [2]);
    assert_eq!(now.count_visible(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_letter_has_a_result_if_calls_fail() {
    let queue = queue(3);
    let planned = preview(&queue, r#"{"reason": "NotStored"}"#).await;
    queue.fail_next(0, 1);
    let results = apply(&queue, &planned[..1]).await;
    let copied = &results[&planned[0].message_id];
    assert!(copied.is_redriven && copied.result.contains("could not be deleted"));
    queue.fail_next(1, 0);
    let results = apply(&queue, &planned[1..]).await;
    let failed = &results[&planned[1].message_id];
    assert!(
        !failed.is_redriven && failed.result.contains("SendMessage"),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn says_if_letters_stay_hidden() {
    let queue = queue(3);
    let planned = preview(&queue, r#"{"reason": "NotStored"}"#).await;
    queue.disconnect();
    let results = Mutex::new(0);
    let progress = |_| *results.lock().unwrap() += 1;
    let ended = redrive(&queue, MessageRules::default(), &planned, NEVER, &progress).await;
    assert_eq!(*results.lock().unwrap(), planned.len());
    // Nothing was received, so nothing is hidden.
    assert_eq!(ended, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn moves_no_further_letter_once_the_console_ends() {
    let queue = queue(30);
    let planned = preview(&queue, r#"{"reason": "NotStored"}"#).await;
    let results = Mutex::new(Vec::new());
    let progress = |applied: Applied| results.lock().unwrap().push(applied);
    let is_ending = || results.lock().unwrap().len() >= 3;
    let rules = MessageRules::default();
    let ended = redrive(&queue, rules, &planned, &is_ending, &progress).await;
    assert_eq!(ended, Ok(()));
    let results = results.lock().unwrap();
    let (moved, others): (Vec<_>, Vec<_>) = results.iter().partition(|one| one.is_redriven);
    assert!(moved.len() < planned.len() && moved.len() == queue.sent().len());
    assert_eq!(moved.len() + others.len(), planned.len());
    assert!(
        others.iter().all(|one| one.result.contains("ended")),
        "{others:?}"
    );
    assert_eq!(queue.count_visible(), 30 - moved.len());
}
