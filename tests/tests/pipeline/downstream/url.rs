//! An HTTP receiver with every bad habit of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{
    StatusCode,
    header::{HeaderName, RETRY_AFTER},
};
use onewrite_local::{
    ledger_receiver::{Behaviour, LedgerReceiver, ReceivedRequest},
    messages,
    stack::Stack,
};
use serde_json::{Value, json};

use super::{assert_settled, verdicts};
use crate::{
    least_privilege::run_script,
    support::{CANARY, options, settle, start_event_sources, valid},
};

/// The signing secret. A secret may hold several keys while one is replaced.
const SECRET: &str =
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const CREATE_SECRET: &str = r#"
import json, sys, boto3
secret = boto3.client("secretsmanager").create_secret(Name="webhook", SecretString=json.load(sys.stdin))
print(json.dumps(secret["ARN"]))
"#;

/// The parameter store has the same secret, encrypted.
const CREATE_PARAMETER: &str = r#"
import json, sys, boto3
boto3.client("ssm").put_parameter(Name="/webhook/key", Value=json.load(sys.stdin), Type="SecureString")
"#;

/// The parameter in the account of the emulator.
const PARAMETER_ARN: &str = "arn:aws:ssm:us-east-1:000000000000:parameter/webhook/key";

/// The algorithm that Standard Webhooks publishes ("Verifying signatures"), in another language than the product's. Prints
/// how many requests have a valid signature, and how many would have with another body.
const VERIFY: &str = r#"
import base64, hashlib, hmac, json, sys

def is_signed(request, secret, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{request['id']}.{request['timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, given) for given in request["signature"].split(" "))

given = json.load(sys.stdin)
counts = [0, 0]
for request in given["requests"]:
    body = base64.b64decode(request["body"])
    counts[0] += all(is_signed(request, secret, body) for secret in given["secrets"])
    counts[1] += any(is_signed(request, secret, body + b" ") for secret in given["secrets"])
print(json.dumps(counts))
"#;

/// What the receiver does with the notifications whose ids begin with a name, and their final verdict.
const HABITS: [(&str, &str); 10] = [
    ("accepts", "DONE"),
    ("slow", "DONE"),
    ("broken", "DONE"),
    ("overloaded", "DONE"),
    ("unavailable", "DONE"),
    ("denied", "DONE"),
    ("hangs_up_before", "DONE"),
    ("hangs_up_after", "DONE"),
    ("gone", "http_410"),
    ("closed", "account_closed"),
];

fn behave(request: &ReceivedRequest) -> Behaviour {
    let (habit, _) = request.idempotency_key.split_once('-').unwrap();
    let answer = Behaviour::answer;
    let is_first = request.attempt == 1;
    match habit {
        "slow" => Behaviour::accept().delay(Duration::from_secs(1)),
        "broken" if request.attempt <= 2 => answer(StatusCode::INTERNAL_SERVER_ERROR),
        "overloaded" if is_first => {
            answer(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, 1.into())
        }
        "unavailable" if is_first => answer(StatusCode::SERVICE_UNAVAILABLE),
        "denied" if is_first => answer(StatusCode::FORBIDDEN),
        "hangs_up_before" if is_first => Behaviour::drop_before_booking(),
        "hangs_up_after" if is_first => Behaviour::drop_after_booking(),
        "gone" => answer(StatusCode::GONE),
        "closed" => answer(StatusCode::UNPROCESSABLE_ENTITY).header(
            HeaderName::from_static("onewrite-refusal"),
            "account_closed".parse().unwrap(),
        ),
        _ => Behaviour::accept(),
    }
}

type Requests = Arc<Mutex<Vec<ReceivedRequest>>>;

/// A receiver with these habits, and its requests.
async fn start_receiver() -> (LedgerReceiver, Requests) {
    let receiver = LedgerReceiver::start().await.unwrap();
    let requests = Requests::default();
    let recorded = Arc::clone(&requests);
    receiver.script(move |request| {
        recorded.lock().unwrap().push(request.clone());
        behave(request)
    });
    (receiver, requests)
}

async fn assert_signatures(stack: &Stack, requests: &[ReceivedRequest]) {
    let header = |request: &ReceivedRequest, name| {
        request
            .headers
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let signed: Vec<Value> = requests
        .iter()
        .map(|request| {
            json!({
                "id": header(request, "webhook-id"),
                "timestamp": header(request, "webhook-timestamp"),
                "signature": header(request, "webhook-signature"),
                "body": BASE64_STANDARD.encode(&request.body),
            })
        })
        .collect();
    let secrets: Vec<&str> = SECRET.split(' ').collect();
    let input = json!({"requests": signed, "secrets": secrets});
    let counts: [usize; 2] =
        serde_json::from_slice(&run_script(stack, VERIFY, &input).await).unwrap();
    assert_eq!(counts, [requests.len(), 0]);
}

fn assert_events(requests: &[ReceivedRequest]) {
    for request in requests {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(event["subject"], request.idempotency_key.as_str());
        assert_eq!(event["status"], "INIT");
        assert_eq!(event["data"], CANARY);
        let kind = request.headers.get("content-type").unwrap();
        assert_eq!(kind, "application/cloudevents+json; charset=utf-8");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_notification_is_settled_by_a_receiver_that_fails_in_every_way() {
    let (receiver, requests) = start_receiver().await;
    let options = options("url").parameter("DownstreamUrl", &receiver.url());
    let mut stack = Stack::start(options).await.unwrap();
    // The ARN of a secret has random characters.
    let secret = run_script(&stack, CREATE_SECRET, &json!(SECRET)).await;
    let arn: String = serde_json::from_slice(&secret).unwrap();
    let changed = BTreeMap::from([("DownstreamArns".to_owned(), arn)]);
    stack.redeploy(&changed).await.unwrap();
    start_event_sources(&mut stack).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let payload = json!(CANARY).to_string();
    let mut expected = BTreeMap::new();
    let mut samples = Vec::new();
    for (habit, verdict) in HABITS {
        for number in 0..3 {
            let id = format!("{habit}-{number}");
            samples.push(valid(&id, &payload));
            expected.insert(id, verdict.to_owned());
        }
    }
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    settle(&mut stack, sent.len()).await;

    assert_eq!(verdicts(&stack).await, expected);
    let ledger = receiver.ledger();
    expected.retain(|_, verdict| verdict == "DONE");
    let done: BTreeSet<String> = expected.into_keys().collect();
    assert_eq!(ledger.booked, done);
    let requests = requests.lock().unwrap().clone();
    assert_events(&requests);
    assert_signatures(&stack, &requests).await;
    assert_settled(&stack, &sent).await;
    let log = std::fs::read_to_string(stack.log()).unwrap();
    assert!(!log.contains(CANARY) && !log.contains("whsec_"));
    stack.stop().await;
}

/// The role may read the parameter by its ARN, and nothing else signs.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_with_the_secret_of_a_parameter() {
    let (receiver, requests) = start_receiver().await;
    let options = options("parameter")
        .parameter("DownstreamUrl", &receiver.url())
        .parameter("DownstreamArns", PARAMETER_ARN);
    let mut stack = Stack::start(options).await.unwrap();
    run_script(&stack, CREATE_PARAMETER, &json!(SECRET)).await;
    start_event_sources(&mut stack).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let samples: Vec<_> = (0..3)
        .map(|number| valid(&format!("accepts-{number}"), &json!(CANARY).to_string()))
        .collect();
    let sent = messages::send(&clients, &outputs.queue_url, &samples, |_| {}).await;
    let sent = sent.unwrap();
    settle(&mut stack, sent.len()).await;

    let requests = requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 3);
    assert_signatures(&stack, &requests).await;
    assert_settled(&stack, &sent).await;
    stack.stop().await;
}
