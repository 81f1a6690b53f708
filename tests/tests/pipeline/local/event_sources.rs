//! Event sources of both kinds of stream, against the emulator: every record is delivered completely and in order, and the
//! failure destination receives discarded batches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_lambda::types::{
    DestinationConfig, EventSourcePosition, FunctionCode, OnFailure, Runtime,
};
use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use onewrite_event_sources::choices::Choices;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_local::clients::Clients;
use onewrite_local::emulator::{Emulator, REGION};
use onewrite_local::event_sources::{
    EventSources, Function, InvocationResult, Invoker, LambdaMetrics,
};
use onewrite_local::progress::Progress;
use onewrite_local::python::{self, Environment, Interpreter};
use onewrite_local::workspace::Workspace;
use serde_json::{Value, json};

use crate::support::boto3;

const LIMIT: Duration = Duration::from_secs(120);
const ROLE: &str = "arn:aws:iam::000000000000:role/reader";
const FUNCTION: &str = "reader";
const REQUEST_ID: &str = "c9b8fa9f-5a7f-4c0e-af9c-0c604cde93a5";

/// An archive without files. The function is never invoked in the emulator.
const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

struct TestStack {
    clients: Clients,
    emulator: Emulator,
    _directory: tempfile::TempDir,
}

impl TestStack {
    async fn start() -> Self {
        let interpreter = Interpreter::find().await.unwrap();
        let requirements = python::EMULATOR;
        let workspace = Workspace::here();
        let environment =
            python::environment(&workspace, &interpreter, requirements, Progress::Silent)
                .await
                .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(&environment, &interpreter, directory.path(), None)
            .await
            .unwrap();
        let clients = Clients::new(&emulator.endpoint(), emulator.credentials());
        create_role(&environment, &emulator);
        let zip = aws_sdk_lambda::primitives::Blob::new(EMPTY_ZIP);
        clients
            .lambda
            .create_function()
            .function_name(FUNCTION)
            .role(ROLE)
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .code(FunctionCode::builder().zip_file(zip).build())
            .send()
            .await
            .unwrap();
        Self {
            clients,
            emulator,
            _directory: directory,
        }
    }

    /// Creates a table. Returns the ARN of its stream.
    async fn create_table(&self, name: &str) -> String {
        let key = AttributeDefinition::builder()
            .attribute_name("id")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap();
        let schema = KeySchemaElement::builder()
            .attribute_name("id")
            .key_type(KeyType::Hash)
            .build()
            .unwrap();
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .unwrap();
        let created = self
            .clients
            .dynamodb
            .create_table()
            .table_name(name)
            .attribute_definitions(key)
            .key_schema(schema)
            .billing_mode(BillingMode::PayPerRequest)
            .stream_specification(stream)
            .send()
            .await
            .unwrap();
        let table = created.table_description.unwrap();
        table.latest_stream_arn.unwrap()
    }

    /// Creates a Kinesis stream. Returns its ARN.
    async fn create_stream(&self, name: &str, shards: i32) -> String {
        let kinesis = &self.clients.kinesis;
        let create = kinesis.create_stream().stream_name(name);
        create.shard_count(shards).send().await.unwrap();
        let described = kinesis.describe_stream_summary().stream_name(name).send();
        let summary = described.await.unwrap().stream_description_summary.unwrap();
        summary.stream_arn
    }

    async fn put_records(&self, stream: &str, records: impl Iterator<Item = (String, Vec<u8>)>) {
        let entries = records.map(|(key, data)| {
            let entry = PutRecordsRequestEntry::builder().partition_key(key);
            entry.data(Blob::new(data)).build().unwrap()
        });
        let put = self.clients.kinesis.put_records().stream_name(stream);
        let put = put.set_records(Some(entries.collect()));
        let answer = put.send().await.unwrap();
        assert_eq!(answer.failed_record_count, Some(0));
    }

    async fn create_mapping(
        &self,
        source: &str,
        start: EventSourcePosition,
        destination: Option<&str>,
    ) {
        let on_failure = destination.map(|arn| {
            let on_failure = OnFailure::builder().destination(arn).build();
            DestinationConfig::builder().on_failure(on_failure).build()
        });
        self.clients
            .lambda
            .create_event_source_mapping()
            .function_name(FUNCTION)
            .event_source_arn(source)
            .starting_position(start)
            .batch_size(7)
            .set_maximum_retry_attempts(destination.map(|_| 0))
            .set_destination_config(on_failure)
            .send()
            .await
            .unwrap();
    }

    async fn start_event_sources(&self, invoker: &Arc<RecordingInvoker>) -> EventSources {
        let invoker = Arc::clone(invoker) as Arc<dyn Invoker>;
        EventSources::start(
            &self.clients,
            invoker,
            Choices::default_outcomes(),
            &LambdaMetrics::default(),
            Arc::new(()),
        )
        .await
        .unwrap()
    }
}

/// Uses the emulator's own boto3, because an IAM client for this one call would be another SDK to compile.
fn create_role(environment: &Environment, emulator: &Emulator) {
    const SCRIPT: &str = "import boto3; boto3.client('iam').create_role(RoleName='reader', AssumeRolePolicyDocument=\
        '{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\
        \"Principal\":{\"Service\":\"lambda.amazonaws.com\"}}]}')";
    let (endpoint, credentials) = (emulator.endpoint(), emulator.credentials());
    let created = boto3(environment, endpoint, credentials, SCRIPT)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&created.stderr);
    assert!(created.status.success(), "{stderr}");
}

/// Records the events of invocations. Returns success unless `failing` is set.
#[derive(Default)]
struct RecordingInvoker {
    events: Mutex<Vec<Value>>,
    failing: AtomicBool,
}

impl RecordingInvoker {
    fn failing() -> Self {
        Self {
            failing: true.into(),
            ..Self::default()
        }
    }

    fn records(&self) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        let records = events
            .iter()
            .flat_map(|event| event["Records"].as_array().unwrap());
        records.cloned().collect()
    }
}

#[async_trait]
impl Invoker for RecordingInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        assert_eq!(function.name, FUNCTION);
        let event = serde_json::from_str(&payload).unwrap();
        self.events.lock().unwrap().push(event);
        let outcome = if self.failing.load(Ordering::SeqCst) {
            InvocationOutcome::FunctionError("Unhandled".to_owned())
        } else {
            InvocationOutcome::Response("{}".to_owned())
        };
        InvocationResult {
            outcome,
            request_id: Some(REQUEST_ID.to_owned()),
        }
    }
}

async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sequence_numbers(records: &[Value], service: &str) -> Vec<String> {
    let numbers = records.iter().map(|record| match service {
        "dynamodb" => record["dynamodb"]["SequenceNumber"].as_str(),
        _ => record["kinesis"]["sequenceNumber"].as_str(),
    });
    numbers.map(|number| number.unwrap().to_owned()).collect()
}

fn item(number: usize) -> BTreeMap<&'static str, AttributeValue> {
    use AttributeValue as A;
    let blob = || aws_sdk_dynamodb::primitives::Blob::new([0, 255]);
    BTreeMap::from([
        ("id", A::S(format!("item-{number:03}"))),
        ("n", A::N("9007199254740993".to_owned())),
        ("b", A::B(blob())),
        ("bool", A::Bool(true)),
        ("null", A::Null(true)),
        (
            "m",
            A::M(
                [("k".to_owned(), A::S("v".to_owned()))]
                    .into_iter()
                    .collect(),
            ),
        ),
        (
            "l",
            A::L(vec![A::N("1".to_owned()), A::S("é\"\u{1}".to_owned())]),
        ),
        ("ss", A::Ss(vec!["a".to_owned()])),
        ("ns", A::Ns(vec!["2".to_owned()])),
        ("bs", A::Bs(vec![blob()])),
    ])
}

fn image(number: usize) -> Value {
    json!({
        "id": {"S": format!("item-{number:03}")}, "n": {"N": "9007199254740993"}, "b": {"B": "AP8="},
        "bool": {"BOOL": true}, "null": {"NULL": true}, "m": {"M": {"k": {"S": "v"}}},
        "l": {"L": [{"N": "1"}, {"S": "é\"\u{1}"}]}, "ss": {"SS": ["a"]}, "ns": {"NS": ["2"]}, "bs": {"BS": ["AP8="]},
    })
}

#[tokio::test]
async fn d5_d27_delivers_every_table_change_once_in_order_and_complete() {
    const ITEMS: usize = 60;
    let stack = TestStack::start().await;
    let arn = stack.create_table("items").await;
    stack
        .create_mapping(&arn, EventSourcePosition::TrimHorizon, None)
        .await;
    let put = async |number: usize| {
        let mut put = stack.clients.dynamodb.put_item().table_name("items");
        for (name, value) in item(number) {
            put = put.item(name, value);
        }
        put.send().await.unwrap();
    };
    // Half is written before the poller starts, half while it runs.
    for number in 0..ITEMS / 2 {
        put(number).await;
    }
    let invoker = Arc::new(RecordingInvoker::default());
    let sources = stack.start_event_sources(&invoker).await;
    for number in ITEMS / 2..ITEMS {
        put(number).await;
    }
    let delete = stack.clients.dynamodb.delete_item().table_name("items");
    let key = AttributeValue::S("item-000".to_owned());
    delete.key("id", key).send().await.unwrap();

    wait_until("every change is delivered", async || {
        invoker.records().len() > ITEMS && sources.is_idle()
    })
    .await;
    let records = invoker.records();
    assert_eq!(records.len(), ITEMS + 1);
    let numbers = sequence_numbers(&records, "dynamodb");
    assert!(numbers.is_sorted_by(|earlier, later| earlier < later));
    for (number, record) in records[..ITEMS].iter().enumerate() {
        assert_eq!(record["eventName"], "INSERT");
        assert_eq!(record["dynamodb"]["NewImage"], image(number));
        assert_eq!(record["dynamodb"].get("OldImage"), None);
    }
    let removal = &records[ITEMS];
    assert_eq!(removal["eventName"], "REMOVE");
    assert_eq!(removal["eventSource"], "aws:dynamodb");
    assert_eq!(removal["eventVersion"], "1.1");
    assert_eq!(removal["awsRegion"], REGION);
    assert_eq!(removal["eventSourceARN"], json!(arn));
    assert_eq!(removal.get("userIdentity"), None);
    assert!(!removal["eventID"].as_str().unwrap().is_empty());
    let change = &removal["dynamodb"];
    assert_eq!(change["Keys"], json!({"id": {"S": "item-000"}}));
    assert_eq!(change["OldImage"], image(0));
    assert_eq!(change.get("NewImage"), None);
    assert_eq!(change["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert!(change["ApproximateCreationDateTime"].as_f64().unwrap() > 1_700_000_000.0);
    drop(sources);
    stack.emulator.end().await;
}

/// Checks the fields that are the same in every Kinesis record, and its time.
fn assert_constant_fields(record: &Value, arn: &str) {
    let kinesis = &record["kinesis"];
    assert_eq!(kinesis["kinesisSchemaVersion"], "1.0");
    assert!(kinesis["approximateArrivalTimestamp"].as_f64().unwrap() > 1.7e9);
    assert_eq!(record["eventSource"], "aws:kinesis");
    assert_eq!(record["eventName"], "aws:kinesis:record");
    assert_eq!(record["invokeIdentityArn"], ROLE);
    assert_eq!(record["awsRegion"], REGION);
    assert_eq!(record["eventSourceARN"], json!(arn));
}

#[tokio::test]
async fn k5_delivers_every_kinesis_record_once_in_shard_order() {
    const RECORDS: usize = 60;
    let stack = TestStack::start().await;
    let arn = stack.create_stream("events", 3).await;
    stack
        .create_mapping(&arn, EventSourcePosition::TrimHorizon, None)
        .await;
    let data = |number: usize| (format!("key-{}", number % 9), vec![number as u8, 255, 0]);
    stack
        .put_records("events", (0..RECORDS / 2).map(data))
        .await;
    let invoker = Arc::new(RecordingInvoker::default());
    let sources = stack.start_event_sources(&invoker).await;
    stack
        .put_records("events", (RECORDS / 2..RECORDS).map(data))
        .await;

    wait_until("every record is delivered", async || {
        invoker.records().len() >= RECORDS && sources.is_idle()
    })
    .await;
    let records = invoker.records();
    assert_eq!(records.len(), RECORDS);
    let mut shards: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut seen = Vec::new();
    for record in records {
        let kinesis = &record["kinesis"];
        let bytes = BASE64_STANDARD
            .decode(kinesis["data"].as_str().unwrap())
            .unwrap();
        let number = usize::from(bytes[0]);
        let (key, expected) = data(number);
        assert_eq!(
            (bytes, &kinesis["partitionKey"]),
            (expected, &Value::from(key))
        );
        assert_constant_fields(&record, &arn);
        let event_id = record["eventID"].as_str().unwrap();
        let (shard, sequence_number) = event_id.split_once(':').unwrap();
        assert_eq!(kinesis["sequenceNumber"], sequence_number);
        seen.push(number);
        shards
            .entry(shard.to_owned())
            .or_default()
            .push(record.clone());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..RECORDS).collect::<Vec<_>>());
    assert_eq!(shards.len(), 3);
    for records in shards.values() {
        let numbers = sequence_numbers(records, "kinesis");
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later));
    }
    drop(sources);
    stack.emulator.end().await;
}

#[tokio::test]
async fn x12_a_mapping_at_latest_without_checkpoint_resumes_with_its_first_record() {
    let stack = TestStack::start().await;
    let arn = stack.create_stream("events", 1).await;
    stack
        .put_records("events", [("key".to_owned(), b"old".to_vec())].into_iter())
        .await;
    stack
        .create_mapping(&arn, EventSourcePosition::Latest, None)
        .await;
    let invoker = Arc::new(RecordingInvoker::failing());
    let sources = stack.start_event_sources(&invoker).await;
    // Only records written after the poller's first read are delivered, and that time is unknown. So write one at a time.
    let mut written = 0_usize;
    wait_until("a record is delivered", async || {
        let data = written.to_string().into_bytes();
        stack
            .put_records("events", [("key".to_owned(), data)].into_iter())
            .await;
        written += 1;
        !invoker.records().is_empty()
    })
    .await;
    sources.disable();
    wait_until("the mapping is idle", async || sources.is_idle()).await;
    let first = invoker.records()[0].clone();
    invoker.events.lock().unwrap().clear();
    invoker.failing.store(false, Ordering::SeqCst);
    sources.enable();

    let numbers = || -> Vec<usize> {
        let number = |record: &Value| {
            let data = record["kinesis"]["data"].as_str().unwrap().to_owned();
            let text = String::from_utf8(BASE64_STANDARD.decode(data).unwrap()).unwrap();
            text.parse().expect("a record written before the mapping")
        };
        invoker.records().iter().map(number).collect()
    };
    wait_until("the newest record is delivered", async || {
        numbers().last() == Some(&(written - 1)) && sources.is_idle()
    })
    .await;
    assert_eq!(invoker.records()[0], first);
    let numbers = numbers();
    assert_eq!(numbers, (numbers[0]..written).collect::<Vec<_>>());
    drop(sources);
    stack.emulator.end().await;
}

/// Waits for the object in the failure bucket.
async fn failure_object(stack: &TestStack) -> Value {
    let mut objects = Vec::new();
    wait_until("the bucket has an object", async || {
        let listed = stack
            .clients
            .s3
            .list_objects_v2()
            .bucket("failures")
            .send()
            .await;
        objects = listed.unwrap().contents.unwrap_or_default();
        !objects.is_empty()
    })
    .await;
    let key = objects[0].key.clone().unwrap();
    assert!(
        key.starts_with("aws/lambda/") && key.contains("/shardId-"),
        "{key}"
    );
    let object = stack
        .clients
        .s3
        .get_object()
        .bucket("failures")
        .key(key)
        .send()
        .await
        .unwrap();
    let object = object.body.collect().await.unwrap().into_bytes();
    serde_json::from_slice(&object).unwrap()
}

/// Waits for the message in the failure queue.
async fn failure_message(stack: &TestStack, url: &str) -> Value {
    let mut messages = Vec::new();
    wait_until("the queue has a message", async || {
        let received = stack
            .clients
            .sqs
            .receive_message()
            .queue_url(url)
            .send()
            .await;
        messages = received.unwrap().messages.unwrap_or_default();
        !messages.is_empty()
    })
    .await;
    serde_json::from_str(messages[0].body().unwrap()).unwrap()
}

#[tokio::test]
async fn d21_d23_sends_discarded_batches_to_a_bucket_with_event_and_a_queue_without() {
    let stack = TestStack::start().await;
    let clients = &stack.clients;
    let bucket = clients.s3.create_bucket().bucket("failures");
    bucket.send().await.unwrap();
    let queue = clients.sqs.create_queue().queue_name("failures").send();
    let url = queue.await.unwrap().queue_url.unwrap();
    let attributes = clients.sqs.get_queue_attributes().queue_url(&url);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn);
    let queue_arn = attributes.send().await.unwrap().attributes.unwrap();
    let queue_arn = &queue_arn[&QueueAttributeName::QueueArn];
    let to_bucket = stack.create_stream("to-bucket", 1).await;
    let to_queue = stack.create_stream("to-queue", 1).await;
    let horizon = EventSourcePosition::TrimHorizon;
    stack
        .create_mapping(&to_bucket, horizon.clone(), Some("arn:aws:s3:::failures"))
        .await;
    stack
        .create_mapping(&to_queue, horizon, Some(queue_arn))
        .await;
    for stream in ["to-bucket", "to-queue"] {
        stack
            .put_records(stream, [("key".to_owned(), b"data".to_vec())].into_iter())
            .await;
    }
    let invoker = Arc::new(RecordingInvoker::failing());
    let sources = stack.start_event_sources(&invoker).await;

    let object = failure_object(&stack).await;
    assert_eq!(
        object["requestContext"]["requestId"], REQUEST_ID,
        "the request id in the function's log"
    );
    assert_eq!(
        object["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    assert_eq!(object["KinesisBatchInfo"]["streamArn"], json!(to_bucket));
    let event: Value = serde_json::from_str(object["payload"].as_str().unwrap()).unwrap();
    assert!(invoker.events.lock().unwrap().contains(&event));

    let notice = failure_message(&stack, &url).await;
    assert_eq!(notice["KinesisBatchInfo"]["streamArn"], json!(to_queue));
    assert_eq!(notice["KinesisBatchInfo"]["batchSize"], 1);
    assert_eq!(notice.get("payload"), None);
    wait_until("the mappings are idle", async || sources.is_idle()).await;
    drop(sources);
    stack.emulator.end().await;
}
