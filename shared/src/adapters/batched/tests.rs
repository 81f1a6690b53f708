//! Batches against responses as DynamoDB writes them.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::{
    adapters::replay::{Answer, Endpoint, error, ok},
    limits::OPERATION_TIMEOUT,
    testing::contract::notification,
};

const CANARY: &str = "canary-7f3a";

fn item(id: &str) -> NotificationItem {
    notification(id, &format!(r#"{{"note":"{CANARY}"}}"#))
}

fn items(count: usize) -> Vec<NotificationItem> {
    (0..count).map(|n| item(&format!("n-{n}"))).collect()
}

fn created() -> Value {
    json!({"TableName": "notifications"})
}

fn failed(code: &str) -> Value {
    json!({"TableName": "notifications", "Error": {"Code": code, "Message": "a message"}})
}

fn answers(responses: &[Value]) -> Answer {
    ok(&json!({"Responses": responses}))
}

async fn table(endpoint: &Endpoint) -> BatchedInserts {
    BatchedInserts::new(&endpoint.config().await, "notifications")
}

async fn insert_all(
    endpoint: &Endpoint,
    items: &[NotificationItem],
) -> Vec<Result<Inserted, TableError>> {
    let table = table(endpoint).await;
    let inserted = join_all(items.iter().map(|item| table.insert(item))).await;
    let texts = format!("{inserted:?}");
    assert!(!texts.contains(CANARY), "{texts}");
    inserted
}

async fn insert(endpoint: &Endpoint) -> Result<Inserted, TableError> {
    insert_all(endpoint, &items(1)).await.remove(0)
}

fn ids_sent(body: &Value) -> Vec<String> {
    let statements = body["Statements"].as_array().unwrap().iter();
    let id = |statement: &Value| {
        let names = statement["Statement"]
            .as_str()
            .unwrap()
            .split(['{', '}'])
            .nth(1);
        let place = names
            .unwrap()
            .split(',')
            .position(|name| name == "'notification_id':?");
        statement["Parameters"][place.unwrap()]["S"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    statements.map(id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_item_is_created_by_one_insert_with_all_its_attributes() {
    let endpoint = Endpoint::new([answers(&[created()])]);
    let item = item("n-0");
    let inserted = table(&endpoint).await.insert(&item).await;
    assert_eq!(inserted.unwrap(), Inserted::Created);
    let sent = endpoint.only();
    assert_eq!(sent.target, "DynamoDB_20120810.BatchExecuteStatement");
    let statement = &sent.body["Statements"][0];
    assert_eq!(statement["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
    let text = statement["Statement"].as_str().unwrap();
    let names = text
        .strip_prefix("INSERT INTO \"notifications\" VALUE {'")
        .unwrap();
    let names = names.strip_suffix("':?}").unwrap().split("':?,'");
    let values = statement["Parameters"].as_array().unwrap().iter().cloned();
    let written: serde_json::Map<_, _> = names.map(str::to_owned).zip(values).collect();
    let expected = serde_json::to_value(item.to_item()).unwrap();
    assert_eq!(Value::from(written), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_inserted_at_the_same_time_goes_together_up_to_the_limit() {
    let endpoint = Endpoint::new([
        answers(&vec![created(); MAX_BATCH_STATEMENTS]),
        answers(&vec![created(); 7]),
    ]);
    let items = items(MAX_BATCH_STATEMENTS + 7);
    for inserted in insert_all(&endpoint, &items).await {
        assert_eq!(inserted.unwrap(), Inserted::Created);
    }
    let sent: Vec<_> = endpoint
        .sent()
        .iter()
        .flat_map(|sent| ids_sent(&sent.body))
        .collect();
    let ids: Vec<_> = items
        .iter()
        .map(|item| item.notification.id.to_string())
        .collect();
    assert_eq!(sent, ids, "oldest first");
}

#[tokio::test(start_paused = true)]
async fn each_insert_has_the_answer_of_its_own_statement() {
    let items = items(4);
    let mut told = failed("DuplicateItem");
    told["Error"]["Item"] = serde_json::to_value(item("n-1").to_item()).unwrap();
    let endpoint = Endpoint::new([answers(&[
        created(),
        told,
        failed("ValidationError"),
        created(),
    ])]);
    let inserted = insert_all(&endpoint, &items).await;
    assert_eq!(*inserted[0].as_ref().unwrap(), Inserted::Created);
    let fingerprint = Some(items[1].notification.fingerprint);
    assert_eq!(
        *inserted[1].as_ref().unwrap(),
        Inserted::Exists { fingerprint }
    );
    let error = inserted[2].as_ref().unwrap_err();
    assert!(
        matches!(error, TableError::Refused { code } if code == "ValidationError"),
        "{error}"
    );
    assert_eq!(*inserted[3].as_ref().unwrap(), Inserted::Created);
}

#[tokio::test(start_paused = true)]
async fn no_request_names_an_item_twice_and_its_copies_need_none() {
    let (one, conflict) = (item("n-1"), notification("n-1", "2"));
    let endpoint = Endpoint::new([answers(&[created(), created()])]);
    let items = [one.clone(), item("n-2"), one.clone(), conflict];
    let inserted = insert_all(&endpoint, &items).await;
    let fingerprint = Some(one.notification.fingerprint);
    assert_eq!(*inserted[0].as_ref().unwrap(), Inserted::Created);
    for copy in &inserted[2..] {
        let exists = Inserted::Exists { fingerprint };
        assert_eq!(*copy.as_ref().unwrap(), exists);
    }
    assert_eq!(ids_sent(&endpoint.only().body), ["n-1", "n-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_which_nothing_is_told_is_read() {
    let stored = notification("n-0", "2").notification.fingerprint;
    let found = json!({"Item": {"fingerprint": {"S": stored.to_string()}}});
    let edited = json!({"Item": {}});
    for (read, fingerprint) in [(found, Some(stored)), (edited, None)] {
        let endpoint = Endpoint::new([answers(&[failed("DuplicateItem")]), ok(&read)]);
        let exists = Inserted::Exists { fingerprint };
        assert_eq!(insert(&endpoint).await.unwrap(), exists);
        let sent = endpoint.sent();
        assert_eq!(sent[1].target, "DynamoDB_20120810.GetItem");
        assert_eq!(
            sent[1].body,
            json!({
                "TableName": "notifications",
                "Key": {"notification_id": {"S": "n-0"}},
                "ProjectionExpression": "fingerprint",
                "ConsistentRead": true,
            })
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_is_gone_when_it_is_read_is_inserted_again() {
    let endpoint = Endpoint::new([
        answers(&[failed("DuplicateItem")]),
        ok(&json!({})),
        answers(&[created()]),
    ]);
    assert_eq!(insert(&endpoint).await.unwrap(), Inserted::Created);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_failed_for_now_is_tried_again() {
    for code in [
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "TransactionConflict",
        "InternalServerError",
    ] {
        let failed = || answers(&[failed(code)]);
        let endpoint = Endpoint::new([failed(), answers(&[created()])]);
        assert_eq!(
            insert(&endpoint).await.unwrap(),
            Inserted::Created,
            "{code}"
        );
        let endpoint = Endpoint::new(vec![failed(); MAX_ATTEMPTS as usize]);
        let error = insert(&endpoint).await.unwrap_err();
        let expected = if code == "InternalServerError" {
            "Unknown"
        } else {
            "Throttled"
        };
        assert_eq!(error.name(), expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_refused_is_not_tried_again() {
    for code in [
        "AccessDenied",
        "ResourceNotFound",
        "ItemCollectionSizeLimitExceeded",
        "Other",
    ] {
        let endpoint = Endpoint::new([answers(&[failed(code)])]);
        assert_eq!(
            insert(&endpoint).await.unwrap_err().name(),
            "Refused",
            "{code}"
        );
    }
    let endpoint = Endpoint::new([answers(&[json!({"Error": {}})])]);
    assert_eq!(insert(&endpoint).await.unwrap_err().name(), "Refused");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_leaves_every_insert_of_it_open() {
    let lost = || vec![Answer::Reset; MAX_ATTEMPTS as usize];
    for (answers, expected) in [
        (lost(), "Unknown"),
        (vec![error(400, "AccessDeniedException")], "Refused"),
        (
            vec![Answer::Http(200, format!("<html>{CANARY}"))],
            "Unknown",
        ),
    ] {
        let endpoint = Endpoint::new(answers);
        for inserted in insert_all(&endpoint, &items(3)).await {
            assert_eq!(inserted.unwrap_err().name(), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_another_number_of_answers_none_is_believed() {
    for answered in [0, 1, 3] {
        let endpoint = Endpoint::new([answers(&vec![created(); answered])]);
        for inserted in insert_all(&endpoint, &items(2)).await {
            assert_eq!(inserted.unwrap_err().name(), "Unknown", "{answered}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_given_up_leaves_those_it_took_along_open_and_is_taken_along_by_nobody() {
    let endpoint = Endpoint::new([Answer::Silence, answers(&[created()])]);
    let table = table(&endpoint).await;
    let (first, second, third) = (item("n-1"), item("n-2"), item("n-3"));
    let given_up = tokio::time::timeout(Duration::from_millis(1), table.insert(&first));
    let both = futures::future::join(given_up, table.insert(&second));
    let (given_up, taken_along) = both.await;
    assert!(given_up.is_err());
    assert_eq!(taken_along.unwrap_err().name(), "Unknown");
    // Given up before any request took it.
    let unsent = Box::pin(table.insert(&first));
    let futures::future::Either::Right(_) =
        futures::future::select(unsent, std::future::ready(())).await
    else {
        panic!("it had an answer before it was sent");
    };
    assert_eq!(table.insert(&third).await.unwrap(), Inserted::Created);
    assert_eq!(ids_sent(&endpoint.sent()[1].body), ["n-3"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_holds_nobody_for_ever() {
    let endpoint = Endpoint::new(vec![Answer::Silence; MAX_ATTEMPTS as usize]);
    let began = tokio::time::Instant::now();
    for inserted in insert_all(&endpoint, &items(2)).await {
        assert_eq!(inserted.unwrap_err().name(), "Unknown");
    }
    assert!(began.elapsed() <= OPERATION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_by_its_place_and_never_by_what_is_in_it() {
    let endpoint = Endpoint::new([]);
    let table = table(&endpoint).await;
    let item = item("n-1");
    let mut insert = Box::pin(table.insert(&item));
    assert!(futures::poll!(&mut insert).is_pending());
    let told = format!("{table:?}");
    assert!(told.contains("Waiting(0)"), "{told}");
    assert!(!told.contains(CANARY), "{told}");
}
