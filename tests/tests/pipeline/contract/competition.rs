//! Consumers in Python and JavaScript compete for the same notifications on the emulator, with duplicates, lost answers and
//! other faults on the wire: each notification is settled once, and its effect happens once.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use onewrite::{event::NotificationEvent, item::NotificationItem, table::NewNotifications as _};
use onewrite_aws::dynamodb::DynamoDbTable;
use onewrite_local::{
    clients::{self, Clients},
    emulator::{Emulator, REGION},
    python::Interpreter,
};
use onewrite_testing::{StoredRecord, lambda_event};
use onewrite_tests::{
    fault_proxy::{FaultProxy, WireFault},
    script,
    template::repository,
};
use serde_json::{Value, json};

use super::{
    batches::record,
    fixtures::{item, older_item_json},
    helpers::{run_node, run_python},
    wire::TABLE,
};

const LEDGER: &str = "ledger";

const NOTIFICATIONS: usize = 40;

/// The consumers refuse each notification whose number is a multiple of this one.
const REFUSED_EVERY: usize = 5;

/// Consumers of each language.
const COMPETITORS: usize = 2;

fn items() -> Vec<NotificationItem> {
    let item = |n| item(&format!("rf_{n}"), "refund", &format!(r#"{{"n":{n}}}"#));
    (0..NOTIFICATIONS).map(item).collect()
}

/// Each record twice, the second time in the reverse order.
fn batch(items: &[NotificationItem]) -> Value {
    let copies = items.iter().chain(items.iter().rev());
    let records: Vec<StoredRecord> = copies
        .enumerate()
        .map(|(number, item)| {
            let document = NotificationEvent::from_item(item).to_json();
            record(&number.to_string(), document.into_bytes())
        })
        .collect();
    lambda_event::kinesis_json(&records)
}

async fn create_table(clients: &Clients, name: &str, key: &str) {
    let attribute = AttributeDefinition::builder()
        .attribute_name(key)
        .attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder()
        .attribute_name(key)
        .key_type(KeyType::Hash);
    let request = clients.dynamodb.create_table().table_name(name);
    let request = request.billing_mode(BillingMode::PayPerRequest);
    let request = request.attribute_definitions(attribute.build().unwrap());
    let request = request.key_schema(schema.build().unwrap());
    request.send().await.unwrap();
}

/// Stores an item as an older version of onewrite did.
async fn put_older(clients: &Clients, item: &NotificationItem) {
    let older = older_item_json(item);
    let attributes = older.as_object().unwrap().iter().map(|(name, value)| {
        let text = |kind: &str| value[kind].as_str().map(str::to_owned);
        let number = || text("N").map(AttributeValue::N);
        let value = text("S").map(AttributeValue::S).or_else(number);
        (name.clone(), value.unwrap())
    });
    let put = clients.dynamodb.put_item().table_name(TABLE);
    let put = put.set_item(Some(attributes.collect()));
    put.send().await.unwrap();
}

async fn scan(clients: &Clients, table: &str) -> Vec<HashMap<String, AttributeValue>> {
    let request = clients.dynamodb.scan().table_name(table);
    let output = request.consistent_read(true).send().await.unwrap();
    output.items.unwrap()
}

/// Lets one notification after the other meet a fault: before the write, or after it, so that its answer is lost.
fn inject_faults(proxy: &FaultProxy) {
    let faults = [
        WireFault::CutAfter,
        WireFault::InternalError,
        WireFault::None,
        WireFault::CutBefore,
        WireFault::CutAfter,
        WireFault::Throttled,
        WireFault::None,
    ];
    for operation in ["TransactWriteItems", "UpdateItem"] {
        let many = faults.iter().copied().cycle().take(NOTIFICATIONS);
        proxy.script(operation, many);
    }
    proxy.script("BatchGetItem", [WireFault::None, WireFault::InternalError]);
}

#[tokio::test(flavor = "multi_thread")]
async fn competing_consumers_settle_once_with_one_effect_under_faults() {
    let directory = tempfile::tempdir().unwrap();
    let interpreter = Interpreter::find().await.unwrap();
    let environment = script::python(&interpreter).await.unwrap();
    let emulator = Emulator::start(&environment, &interpreter, directory.path(), None);
    let emulator = emulator.await.unwrap();
    let clients = Clients::new(&emulator.endpoint(), emulator.credentials());
    create_table(&clients, TABLE, "notification_id").await;
    create_table(&clients, LEDGER, "entry_id").await;
    let config = clients::config(&emulator.endpoint(), emulator.credentials());
    let table = DynamoDbTable::new(&config, TABLE);
    let items = items();
    for (number, item) in items.iter().enumerate() {
        if number % 2 == 0 {
            table.insert(item).await.unwrap();
        } else {
            put_older(&clients, item).await;
        }
    }
    let address = emulator.endpoint().replace("http://", "");
    let proxy = FaultProxy::start(address.parse().unwrap()).await.unwrap();
    inject_faults(&proxy);
    let task = json!({
        "endpoint": proxy.endpoint(),
        "region": REGION,
        "access_key_id": emulator.credentials().access_key_id,
        "secret_access_key": emulator.credentials().secret_access_key,
        "table": TABLE,
        "ledger": LEDGER,
        "refused_every": REFUSED_EVERY,
        "batch": batch(&items),
    });
    let settled = compete(&task).await;
    assert!(proxy.injected()[&WireFault::CutAfter] > 1);
    assert_each_is_settled_once(&clients, settled).await;
    emulator.end().await;
}

/// Runs all consumers at once. Returns how many of them won a notification, summed over all of them.
async fn compete(task: &Value) -> u64 {
    let mut running = Vec::new();
    for number in 0..2 * COMPETITORS {
        let task = task.clone();
        running.push(tokio::task::spawn_blocking(move || {
            if number % 2 == 0 {
                let helper = repository("shared/contract/python");
                Some(run_python("compete.py", &[&helper], &task))
            } else {
                let helper = repository("shared/contract/javascript/onewrite.mjs");
                run_node("compete.mjs", &[&helper], &task)
            }
        }));
    }
    let mut settled = 0;
    for consumer in running {
        if let Some(printed) = consumer.await.unwrap() {
            assert_eq!(printed["left"], 0, "{printed}");
            settled += printed["settled"].as_u64().unwrap();
        }
    }
    settled
}

/// A winner whose answer was lost does not know that it has won, so there are at most as many as notifications.
async fn assert_each_is_settled_once(clients: &Clients, settled: u64) {
    assert!(settled <= NOTIFICATIONS as u64, "{settled} winners");
    let (mut done, mut refused) = (Vec::new(), 0);
    for item in scan(clients, TABLE).await {
        assert_eq!(item["version"].as_n().unwrap(), "2");
        let settled_by = item["settled_by"].as_s().unwrap().as_str();
        assert!(
            ["python", "javascript"].contains(&settled_by),
            "{settled_by}"
        );
        match item["status"].as_s().unwrap().as_str() {
            "DONE" => done.push(item["notification_id"].as_s().unwrap().clone()),
            "REFUSED" => {
                assert_eq!(item["refusal"].as_s().unwrap(), "account_closed");
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused, NOTIFICATIONS / REFUSED_EVERY);
    assert_eq!(done.len() + refused, NOTIFICATIONS);
    let mut entries = Vec::new();
    for entry in scan(clients, LEDGER).await {
        assert_eq!(entry["effects"].as_n().unwrap(), "1");
        entries.push(entry["entry_id"].as_s().unwrap().clone());
    }
    done.sort_unstable();
    entries.sort_unstable();
    assert_eq!(entries, done);
}
