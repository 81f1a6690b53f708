//! Misconfigured table, stream and failure bucket.

use aws_sdk_dynamodb::types::{
    PointInTimeRecoverySpecification, SseSpecification, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};
use aws_sdk_kinesis::types::EncryptionType;

use super::stack::DoctorStack;

pub(super) async fn check(stack: &DoctorStack) {
    check_time_to_live(stack).await;
    check_point_in_time_recovery(stack).await;
    check_table(stack).await;
    check_stream(stack).await;
    check_bucket(stack).await;
}

async fn check_time_to_live(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let dynamodb = &stack.clients.dynamodb;
    let expire_by = async |attribute: &str, is_on| {
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name(attribute)
            .enabled(is_on)
            .build()
            .unwrap();
        dynamodb
            .update_time_to_live()
            .table_name(&outputs.table)
            .time_to_live_specification(expiry)
            .send()
            .await
            .unwrap();
    };
    expire_by("expires_at", false).await;
    stack.assert_findings(&[]).await;
    stack
        .check_variable(
            &outputs.complete,
            "DONE_RETENTION_DAYS",
            "29",
            &[("advice", "time-to-live", "table")],
        )
        .await;
    expire_by("created_at", true).await;
    stack
        .assert_findings(&[("broken", "time-to-live", "table")])
        .await;
    expire_by("created_at", false).await;
    expire_by("expires_at", true).await;
}

async fn check_point_in_time_recovery(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let dynamodb = &stack.clients.dynamodb;
    let recover = async |is_on| {
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(is_on)
            .build()
            .unwrap();
        dynamodb
            .update_continuous_backups()
            .table_name(&outputs.table)
            .point_in_time_recovery_specification(recovery)
            .send()
            .await
            .unwrap();
    };
    recover(false).await;
    stack
        .assert_findings(&[("broken", "point-in-time-recovery", "table")])
        .await;
    recover(true).await;
}

async fn check_table(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let dynamodb = &stack.clients.dynamodb;
    let update = || dynamodb.update_table().table_name(&outputs.table);
    let protect = async |is_on| {
        let update = update().deletion_protection_enabled(is_on);
        update.send().await.unwrap();
    };
    protect(false).await;
    stack
        .assert_findings(&[("broken", "deletion-protection", "table")])
        .await;
    protect(true).await;
    let key = |is_on| SseSpecification::builder().enabled(is_on).build();
    update().sse_specification(key(false)).send().await.unwrap();
    stack
        .assert_findings(&[("advice", "encryption", "table")])
        .await;
    update().sse_specification(key(true)).send().await.unwrap();

    let view = |view| {
        StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(view)
            .build()
            .unwrap()
    };
    // The emulator can change the view type of a stream. On AWS that needs a new stream.
    let keys = view(StreamViewType::KeysOnly);
    update().stream_specification(keys).send().await.unwrap();
    stack
        .assert_findings(&[("broken", "table-stream", "table")])
        .await;
    let both = view(StreamViewType::NewAndOldImages);
    update().stream_specification(both).send().await.unwrap();
}

async fn check_stream(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let kinesis = &stack.clients.kinesis;
    let stop = kinesis.stop_stream_encryption();
    let stop = stop
        .stream_name(&outputs.stream)
        .encryption_type(EncryptionType::Kms);
    stop.key_id("alias/aws/kinesis").send().await.unwrap();
    stack
        .assert_findings(&[("broken", "encryption", "stream")])
        .await;
    let start = kinesis.start_stream_encryption();
    let start = start
        .stream_name(&outputs.stream)
        .encryption_type(EncryptionType::Kms);
    start.key_id("alias/aws/kinesis").send().await.unwrap();
}

async fn check_bucket(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let s3 = &stack.clients.s3;
    let bucket = &outputs.failure_bucket;
    let before = s3.get_public_access_block().bucket(bucket).send().await;
    let before = before.unwrap().public_access_block_configuration;
    s3.delete_public_access_block()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    stack
        .assert_findings(&[("broken", "public-access", "failure bucket")])
        .await;
    let put = s3.put_public_access_block().bucket(bucket);
    put.set_public_access_block_configuration(before)
        .send()
        .await
        .unwrap();
}
