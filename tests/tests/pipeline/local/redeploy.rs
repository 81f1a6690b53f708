//! A deployment with changed parameters reaches the running functions while messages flow, in both directions.

use std::collections::BTreeMap;

use onewrite::item::attribute;
use onewrite_local::error::LocalError;
use onewrite_local::inspect;
use onewrite_local::profile::Profile;
use onewrite_local::stack::{Stack, StackOptions};

use super::traffic::{Traffic, send, text, wait_for_items, wait_until_done};

/// The messages that are sent after each deployment.
const PROBES: usize = 20;

/// Deploys another pointer to the payload. Returns the ids of messages that were sent afterwards.
async fn deploy_pointer(stack: &mut Stack, number: usize, pointer: &str) -> Vec<String> {
    let changed = BTreeMap::from([("PayloadPointer".to_owned(), pointer.to_owned())]);
    stack.redeploy(&changed).await.unwrap();
    let ids: Vec<String> = (0..PROBES)
        .map(|probe| format!("probe-{number}-{probe}"))
        .collect();
    for id in &ids {
        send(stack, id).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_parameter_reaches_the_functions_under_traffic() {
    let options = StackOptions {
        profile: Profile::ReleaseDirect,
        ..StackOptions::new("redeploy")
    };
    let mut stack = Stack::start(options).await.unwrap();
    let traffic = Traffic::start(&stack);
    wait_for_items(&stack, "until messages flow", |items| !items.is_empty()).await;

    for (number, pointer) in ["/data", "/payload"].into_iter().enumerate() {
        let ids = deploy_pointer(&mut stack, number, pointer).await;
        let items = wait_until_done(&stack, &ids).await;
        for id in &ids {
            let payload = text(&items[id], attribute::PAYLOAD);
            let expected = format!(r#"{{"at":"{pointer}"}}"#);
            assert_eq!(payload, expected, "{id}");
        }
    }

    let sent = traffic.stop().await;
    let ids: Vec<String> = (0..sent)
        .map(|number| format!("traffic-{number}"))
        .collect();
    wait_until_done(&stack, &ids).await;
    let dead_letters = &stack.outputs().dead_letter_queue_url;
    let depth = inspect::read_queue_depth(stack.clients(), dead_letters).await;
    assert_eq!(depth.unwrap().total(), 0);

    let unknown = BTreeMap::from([("NoSuchParameter".to_owned(), "1".to_owned())]);
    let error = stack.redeploy(&unknown).await.unwrap_err();
    assert!(
        matches!(error, LocalError::UnknownParameter { .. }),
        "{error}"
    );
    stack.stop().await;
}
