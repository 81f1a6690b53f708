//! Tests reads of current states.

use super::*;

fn id(text: &str) -> NotificationId {
    NotificationId::parse(text).unwrap()
}

fn state_json(id: &str, status: &str, version: &str) -> Value {
    json!({
        "notification_id": {"S": id},
        "status": {"S": status},
        "version": {"N": version},
        "fingerprint": {"S": completion("n-1").fingerprint.to_string()},
    })
}

fn found(items: &[Value]) -> Answer {
    ok(&json!({"Responses": {"notifications": items}, "UnprocessedKeys": {}}))
}

#[tokio::test(start_paused = true)]
async fn reads_states_by_one_strongly_consistent_call() {
    let items = [
        state_json("n-2", "REFUSED", "2"),
        state_json("n-1", "INIT", "1"),
    ];
    let endpoint = Endpoint::new([found(&items)]);
    let ids = [id("n-1"), id("n-2"), id("n-3"), id("n-1")];
    let states = table(&endpoint).await.current_states(&ids).await.unwrap();
    let sent = endpoint.only();
    assert_eq!(sent.target, "DynamoDB_20120810.BatchGetItem");
    let keys = ["n-1", "n-2", "n-3"].map(|id| json!({"notification_id": {"S": id}}));
    assert_eq!(
        sent.body,
        json!({"RequestItems": {"notifications": {
            "Keys": keys,
            "ConsistentRead": true,
            "ProjectionExpression": "notification_id, #status, version, fingerprint",
            "ExpressionAttributeNames": {"#status": "status"},
        }}})
    );
    let state = |status: Status| CurrentState {
        status,
        version: status.version(),
        fingerprint: Some(completion("n-1").fingerprint),
    };
    let expected = [
        (id("n-1"), state(Status::Init)),
        (id("n-2"), state(Status::Refused)),
    ];
    assert_eq!(states, expected.into());
}

#[tokio::test(start_paused = true)]
async fn reads_at_most_100_ids_per_call() {
    let endpoint = Endpoint::new([found(&[]), found(&[])]);
    let ids: Vec<_> = (0..=MAX_BATCH_GET)
        .map(|number| id(&format!("n-{number}")))
        .collect();
    let states = table(&endpoint).await.current_states(&ids).await.unwrap();
    assert!(states.is_empty());
    let keys = |sent: &crate::replay::Sent| {
        let keys = &sent.body["RequestItems"]["notifications"]["Keys"];
        keys.as_array().unwrap().len()
    };
    assert_eq!(
        endpoint.sent().iter().map(keys).collect::<Vec<_>>(),
        [100, 1]
    );
}

#[tokio::test(start_paused = true)]
async fn asks_again_for_unprocessed_keys() {
    let left = json!({
        "Keys": [{"notification_id": {"S": "n-2"}}],
        "ConsistentRead": true,
        "ProjectionExpression": "notification_id, #status, version, fingerprint",
        "ExpressionAttributeNames": {"#status": "status"},
    });
    let partial = ok(&json!({
        "Responses": {"notifications": [state_json("n-1", "INIT", "1")]},
        "UnprocessedKeys": {"notifications": left},
    }));
    let endpoint = Endpoint::new([partial.clone(), found(&[state_json("n-2", "DONE", "2")])]);
    let ids = [id("n-1"), id("n-2")];
    let states = table(&endpoint).await.current_states(&ids).await.unwrap();
    assert_eq!(states.len(), 2);
    assert_eq!(
        endpoint.sent()[1].body,
        json!({"RequestItems": {"notifications": left}})
    );

    // An id for which DynamoDB never answers must not look like one without an item.
    let endpoint = Endpoint::new(vec![partial; MAX_BATCH_GET_CALLS as usize]);
    let states = table(&endpoint).await.current_states(&ids).await;
    assert!(
        matches!(&states, Err(TableError::Service(error)) if error.is_transient()),
        "{states:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edited_item_has_no_state_that_an_event_can_have() {
    let mut without_version = state_json("n-1", "DONE", "2");
    drop(without_version.as_object_mut().unwrap().remove("version"));
    for item in [
        without_version,
        state_json("n-1", "PAID", "2"),
        state_json("n-1", "DONE", "-1"),
    ] {
        let endpoint = Endpoint::new([found(std::slice::from_ref(&item))]);
        let states = table(&endpoint)
            .await
            .current_states(&[id("n-1")])
            .await
            .unwrap();
        let state = states[&id("n-1")];
        assert_eq!((state.status, state.version), (Status::Init, 0), "{item}");
    }
}
