//! The policies of both queues: who may send messages, and who may read dead letters.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_tests::template::Template;
use serde_json::{Value, json};

use crate::{reference, template};

/// The statements of a policy by `Sid`, each with the template condition that includes it. The one for TLS is always included.
fn statements(template: &Template, policy: &str) -> BTreeMap<String, (String, Value)> {
    let listed = template.property(policy, "PolicyDocument/Statement");
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            if choice["Sid"] == "OnlyOverTls" {
                return (
                    "OnlyOverTls".to_owned(),
                    ("always".to_owned(), choice.clone()),
                );
            }
            let [condition, statement, otherwise] = &choice["Fn::If"].as_array().unwrap()[..]
            else {
                panic!("{choice}");
            };
            assert_eq!(*otherwise, reference("AWS::NoValue"));
            let sid = statement["Sid"].as_str().unwrap().to_owned();
            let condition = condition.as_str().unwrap().to_owned();
            (sid, (condition, statement.clone()))
        })
        .collect()
}

#[test]
fn only_parameters_restrict_senders_and_readers_of_dead_letters() {
    let list = |parameter: &str| json!({"Fn::Split": [",", reference(parameter)]});
    let template = template();
    let queue = statements(&template, "QueuePolicy");
    let conditions: BTreeMap<&str, (&str, &str)> = queue
        .iter()
        .map(|(sid, (condition, statement))| {
            let effect = statement["Effect"].as_str().unwrap();
            (sid.as_str(), (condition.as_str(), effect))
        })
        .collect();
    assert_eq!(
        conditions,
        BTreeMap::from([
            ("OnlyOverTls", ("always", "Deny")),
            ("SendersMaySend", ("HasSenderPrincipals", "Allow")),
            (
                "ServicesMaySendForTheirSources",
                ("HasSenderSources", "Allow")
            ),
            ("NobodyElseMaySend", ("HasSenders", "Deny")),
        ])
    );
    assert_eq!(
        queue["ServicesMaySendForTheirSources"].1["Condition"],
        json!({"ArnEquals": {"aws:SourceArn": list("SenderSourceArns")}})
    );
    let denied = &queue["NobodyElseMaySend"].1;
    assert_eq!(denied["Action"], "sqs:SendMessage");
    let exempt = denied["Condition"]["ArnNotEquals"].as_object().unwrap();
    let keys: BTreeSet<&str> = exempt.keys().map(String::as_str).collect();
    assert_eq!(keys, ["aws:PrincipalArn", "aws:SourceArn"].into());

    let dead_letter_queue = statements(&template, "DeadLetterQueuePolicy");
    assert_eq!(dead_letter_queue.len(), 2);
    let (condition, statement) = &dead_letter_queue["OnlyOperators"];
    assert_eq!(
        (condition.as_str(), &statement["Effect"]),
        ("HasOperators", &"Deny".into())
    );
    assert_eq!(
        statement["Condition"],
        json!({"ArnNotEquals": {"aws:PrincipalArn": list("OperatorPrincipalArns")}})
    );
    for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"] {
        let actions = statement["Action"].as_array().unwrap();
        assert!(actions.contains(&action.into()), "{action}");
    }
    assert_eq!(dead_letter_queue["OnlyOverTls"].0, "always");
}
