use onewrite::completion::{Downstream as _, Effect};
use serde_json::{Value, json};

use super::wire::{
    Answer, Outcome, Wire, accept, busy, deliver, event, failed, fault, large_event, ok, outcome,
    permanent,
};
use crate::targets::{TargetSettings, TransactWriteItem};

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:refund:live";
const LEDGER: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/ledger";

fn settings() -> TargetSettings {
    let tables = [
        LEDGER,
        "arn:aws:dynamodb:eu-west-1:123456789012:table/notifications",
    ];
    TargetSettings {
        notification_table: "notifications".to_owned(),
        tables: tables.iter().map(|table| table.parse().unwrap()).collect(),
        ..TargetSettings::default()
    }
}

async fn answer(body: &Value) -> Outcome {
    let wire = Wire::new([ok(body)]);
    let function = wire.target(FUNCTION, &settings()).await;
    accept(&function, &event("n-1")).await
}

async fn writes(writes: &Value) -> Vec<TransactWriteItem> {
    let wire = Wire::new([ok(&json!({"accepted": true, "writes": writes}))]);
    let function = wire.target(FUNCTION, &settings()).await;
    match function.accept(&event("n-1")).await {
        Ok(Effect::CommitWith(writes)) => writes,
        other => panic!("{:?}", outcome(other)),
    }
}

#[tokio::test(start_paused = true)]
async fn invokes_the_function_with_the_event_and_waits_for_its_answer() {
    let wire = Wire::new([ok(&json!({"accepted": true}))]);
    let function = wire.target(FUNCTION, &settings()).await;
    let event = event("n-1");
    assert_eq!(accept(&function, &event).await, Outcome::Happened);
    let request = wire.only();
    let path = "2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Arefund%3Alive/invocations";
    assert_eq!(
        request.uri,
        format!("https://lambda.eu-west-1.amazonaws.com/{path}")
    );
    assert_eq!(request.headers["x-amz-invocation-type"], "RequestResponse");
    assert_eq!(request.text, event.to_json());
}

#[tokio::test(start_paused = true)]
async fn only_an_explicit_verdict_decides() {
    assert_eq!(
        answer(&json!({"accepted": true, "writes": []})).await,
        Outcome::Happened
    );
    assert_eq!(
        answer(&json!({"accepted": true, "refused": null, "writes": null})).await,
        Outcome::Happened
    );
    assert_eq!(
        answer(&json!({"refused": "account_closed"})).await,
        Outcome::Refused("account_closed".to_owned())
    );
    for body in [
        json!(null),
        json!({}),
        json!([]),
        json!("accepted"),
        json!({"accepted": false}),
        json!({"accepted": "true"}),
        json!({"accepted": true, "refused": "a"}),
        json!({"accepted": false, "refused": "a"}),
        json!({"refused": "a", "writes": []}),
        json!({"refused": true}),
        json!({"writes": []}),
        json!({"accepted": true, "canary-7f3a": 1}),
        json!({"statusCode": 200, "body": "{\"accepted\": true}"}),
    ] {
        let expected = fault("the answer of the function is not a verdict");
        assert_eq!(answer(&body).await, expected, "{body}");
    }
    for code in ["", "Account closed", &"x".repeat(65)] {
        let expected = fault("the code of the function's refusal is not valid");
        assert_eq!(answer(&json!({"refused": code})).await, expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_each_kind_of_write_in_dynamodb_json() {
    use aws_sdk_dynamodb::types::{
        AttributeValue as V, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
        Update,
    };
    let found = writes(&json!([
        {"Put": {
            "TableName": "ledger",
            "Item": {
                "id": {"S": "n-1"}, "amount": {"N": "1.50"}, "raw": {"B": "aGk="},
                "list": {"L": [{"BOOL": true}, {"NULL": true}]}, "map": {"M": {"a": {"SS": ["x"]}}},
            },
            "ConditionExpression": "attribute_not_exists(#id)",
            "ExpressionAttributeNames": {"#id": "id"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }},
        {"Update": {
            "TableName": LEDGER,
            "Key": {"id": {"S": "sum"}},
            "UpdateExpression": "ADD amount :a",
            "ExpressionAttributeValues": {":a": {"N": "1"}},
        }},
        {"Delete": {"TableName": "ledger", "Key": {"id": {"S": "x"}}}},
        {"ConditionCheck": {
            "TableName": "ledger",
            "Key": {"id": {"S": "y"}},
            "ConditionExpression": "attribute_exists(id)",
        }},
    ]))
    .await;
    let text = |text: &str| V::S(text.to_owned());
    let map = V::M([("a".to_owned(), V::Ss(vec!["x".to_owned()]))].into());
    let put = Put::builder()
        .table_name("ledger")
        .item("id", text("n-1"))
        .item("amount", V::N("1.50".to_owned()))
        .item("raw", V::B(b"hi".to_vec().into()))
        .item("list", V::L(vec![V::Bool(true), V::Null(true)]))
        .item("map", map)
        .condition_expression("attribute_not_exists(#id)")
        .expression_attribute_names("#id", "id")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let update = Update::builder()
        .table_name(LEDGER)
        .key("id", text("sum"))
        .update_expression("ADD amount :a")
        .expression_attribute_values(":a", V::N("1".to_owned()));
    let delete = Delete::builder().table_name("ledger").key("id", text("x"));
    let check = ConditionCheck::builder()
        .table_name("ledger")
        .key("id", text("y"))
        .condition_expression("attribute_exists(id)");
    let item = TransactWriteItem::builder;
    let expected = [
        item().put(put.build().unwrap()).build(),
        item().update(update.build().unwrap()).build(),
        item().delete(delete.build().unwrap()).build(),
        item().condition_check(check.build().unwrap()).build(),
    ];
    assert_eq!(found, expected);
}

fn put(table: &str) -> Value {
    json!({"Put": {"TableName": table, "Item": {"id": {"S": "x"}}}})
}

#[tokio::test(start_paused = true)]
async fn writes_go_only_to_listed_tables_and_never_to_the_notification_table() {
    for table in [
        "other",
        "notifications",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/notifications",
        "arn:aws:dynamodb:eu-west-1:210987654321:table/ledger",
        "",
    ] {
        let body = json!({"accepted": true, "writes": [put("ledger"), put(table)]});
        let expected = fault("a write of the function names a table that is not listed");
        assert_eq!(answer(&body).await, expected, "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_99_writes_fit_into_the_transaction_with_done() {
    for (count, expected) in [
        (99, Outcome::Writes(99)),
        (100, fault("the function returned more than 99 writes")),
    ] {
        let body = json!({"accepted": true, "writes": vec![put("ledger"); count]});
        assert_eq!(answer(&body).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_dynamodb_would_read_differently_is_a_fault() {
    let id = json!({"id": {"S": "x"}});
    for write in [
        json!({"Put": {"TableName": "ledger"}}),
        json!({"Put": {"TableName": "ledger", "Item": {"id": "x"}}}),
        json!({"Put": {"TableName": "ledger", "Item": {"id": {"S": "x", "N": "1"}}}}),
        json!({"Put": {"TableName": "ledger", "Item": {"id": {"S": 1}}}}),
        json!({"Put": {"TableName": "ledger", "Item": id, "Condition": "x"}}),
        json!({"Update": {"TableName": "ledger", "Key": id}}),
        json!({"Put": {"TableName": "ledger", "Item": id}, "Delete": {"TableName": "ledger", "Key": id}}),
        json!({"PutItem": {"TableName": "ledger", "Item": id}}),
        json!({}),
    ] {
        let body = json!({"accepted": true, "writes": [write]});
        let expected = fault("the answer of the function is not a verdict");
        assert_eq!(answer(&body).await, expected, "{body}");
    }
    let check = json!({"ConditionCheck": {"TableName": "ledger", "Key": {"id": {"S": "x"}}}});
    let body = json!({"accepted": true, "writes": [check]});
    let expected = fault("a write of the function is incomplete");
    assert_eq!(answer(&body).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_function_has_not_decided_even_if_its_text_looks_like_a_verdict() {
    let header = vec![("x-amz-function-error", "Unhandled".to_owned())];
    let body = json!({"accepted": true}).to_string();
    let answer = deliver(FUNCTION, Answer::Http(200, header, body)).await;
    assert_eq!(answer, fault("the function failed"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_never_a_success() {
    let unknown = |reason: &str| busy(&format!("the outcome at Lambda is unknown: {reason}"));
    let throttled = vec![("x-amzn-errortype", "TooManyRequestsException".to_owned())];
    for (answer, expected) in [
        (Answer::Reset, unknown("connection reset")),
        (
            Answer::Silence,
            unknown("operation attempt timeout (single attempt) occurred after 10s"),
        ),
        (failed(500, "ServiceException"), unknown("ServiceException")),
        (
            failed(502, "EC2ThrottledException"),
            unknown("EC2ThrottledException"),
        ),
        (
            Answer::Http(
                429,
                throttled,
                r#"{"Reason":"ConcurrentInvocationLimitExceeded"}"#.to_owned(),
            ),
            busy("Lambda throttles (TooManyRequestsException)"),
        ),
        (
            failed(404, "ResourceNotFoundException"),
            fault("Lambda returned ResourceNotFoundException"),
        ),
        (
            Answer::Http(200, Vec::new(), "{\"accepted\": true".to_owned()),
            fault("the answer of the function is not a verdict"),
        ),
    ] {
        assert_eq!(
            deliver(FUNCTION, answer.clone()).await,
            expected,
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_above_the_limit_of_an_invocation_is_not_sent() {
    let wire = Wire::new([]);
    let function = wire.target(FUNCTION, &settings()).await;
    let event = large_event("n-1", 6 * 1024 * 1024);
    let expected = permanent("larger than the service allows (Lambda)");
    assert_eq!(accept(&function, &event).await, expected);
}
