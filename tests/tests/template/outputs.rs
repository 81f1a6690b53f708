//! The outputs of the stack.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{get_att, reference, template};

#[test]
fn outputs_name_every_resource() {
    let template = template();
    let outputs = template.at("/Outputs").as_object().unwrap();
    let values: BTreeMap<&str, &Value> = outputs
        .iter()
        .map(|(name, output)| (name.as_str(), &output["Value"]))
        .collect();
    let arn = get_att("NotificationQueue.Arn");
    let named = [
        ("NotificationQueueUrl", "NotificationQueue"),
        ("DeadLetterQueueUrl", "DeadLetterQueue"),
        ("NotificationStreamName", "NotificationStream"),
        ("FailureBucketName", "FailureBucket"),
        ("IngestFunctionName", "IngestFunction"),
        ("ForwardFunctionName", "ForwardFunction"),
        ("CompleteFunctionName", "CompleteFunction"),
    ]
    .map(|(output, resource)| (output, reference(resource)));
    let mut expected: BTreeMap<&str, &Value> = named
        .iter()
        .map(|(output, value)| (*output, value))
        .collect();
    expected.insert("NotificationQueueArn", &arn);
    let table = json!({"Fn::If": [
        "CreatesTable",
        reference("NotificationTable"),
        {"Fn::Select": [1, {"Fn::Split": ["/", {"Fn::Sub": "${ExistingTableStreamArn}/"}]}]},
    ]});
    expected.insert("NotificationTableName", &table);
    let dashboard = &outputs["DashboardUrl"]["Value"];
    expected.insert("DashboardUrl", dashboard);
    assert_eq!(values, expected);
}
