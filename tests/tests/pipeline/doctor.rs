//! `onewrite doctor` beside a whole stack: what it says of a fresh one, and of one that was misconfigured.

use onewrite_local::stack::Stack;
use serde_json::Value;

use super::{operator::onewrite, options};

/// The findings of the doctor, and its exit code.
async fn doctor(stack: &Stack) -> (i32, Vec<Value>) {
    let (code, said, complaints) = onewrite(stack, &["--output", "json", "doctor"]).await;
    assert_eq!(complaints, "");
    (code, serde_json::from_str(&said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misconfiguration_is_named_and_nothing_else() {
    let stack = Stack::start(options("doctor")).await.unwrap();
    let (code, findings) = doctor(&stack).await;
    println!("{code} {findings:#?}");
    let (_, said, _) = onewrite(&stack, &["doctor"]).await;
    println!("{said}");
    stack.stop().await;
    panic!("probe");
}
