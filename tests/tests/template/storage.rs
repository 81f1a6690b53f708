//! Retention and encryption of everything that contains notifications.

use onewrite::item::attribute;
use onewrite::limits::MAX_RECORD_BYTES;
use serde_json::{Value, json};

use crate::{FUNCTIONS, reference, template};

#[test]
fn retains_resources_with_notifications() {
    let template = template();
    // If the first deployment fails, CloudFormation removes what it created, except for the table, whose deletion protection
    // would make the rollback fail. The policies of queues and bucket are kept with them.
    let kinds = [
        ("AWS::SQS::Queue", 2, "RetainExceptOnCreate"),
        ("AWS::SQS::QueuePolicy", 2, "RetainExceptOnCreate"),
        ("AWS::Kinesis::Stream", 1, "RetainExceptOnCreate"),
        ("AWS::S3::Bucket", 1, "RetainExceptOnCreate"),
        ("AWS::S3::BucketPolicy", 1, "RetainExceptOnCreate"),
        ("AWS::DynamoDB::Table", 1, "Retain"),
    ];
    for (kind, count, deletion) in kinds {
        let kept = template.resources(kind).inspect(|(name, resource)| {
            assert_eq!(resource["DeletionPolicy"], deletion, "{name}");
            assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
        });
        assert_eq!(kept.count(), count, "{kind}");
    }
}

#[test]
fn table_matches_the_attributes_that_the_code_writes() {
    let template = template();
    let property = |name: &str| template.property("NotificationTable", name);
    assert_eq!(
        *property("KeySchema"),
        json!([{"AttributeName": attribute::NOTIFICATION_ID, "KeyType": "HASH"}])
    );
    assert_eq!(
        *property("AttributeDefinitions"),
        json!([{"AttributeName": attribute::NOTIFICATION_ID, "AttributeType": "S"}])
    );
    assert_eq!(
        *property("TimeToLiveSpecification"),
        json!({"AttributeName": attribute::EXPIRES_AT, "Enabled": true})
    );
    assert_eq!(
        *property("StreamSpecification"),
        json!({"StreamViewType": "NEW_AND_OLD_IMAGES"})
    );
    assert_eq!(*property("BillingMode"), "PAY_PER_REQUEST");
    assert_eq!(
        *property("PointInTimeRecoverySpecification"),
        json!({"PointInTimeRecoveryEnabled": true})
    );
    assert_eq!(*property("DeletionProtectionEnabled"), true);
}

#[test]
fn stream_accepts_the_largest_record() {
    let template = template();
    let kib = template.property("NotificationStream", "MaxRecordSizeInKiB");
    assert_eq!(kib.as_u64(), Some(MAX_RECORD_BYTES as u64 / 1_024));
}

#[test]
fn encrypts_everything_that_contains_payloads() {
    let template = template();
    let key = reference("KmsKeyArn");
    let with_key_or =
        |with_key: Value, without: Value| json!({"Fn::If": ["HasKey", with_key, without]});
    assert_eq!(
        *template.property("NotificationTable", "SSESpecification"),
        with_key_or(
            json!({"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": key}),
            json!({"SSEEnabled": true})
        )
    );
    let nothing = reference("AWS::NoValue");
    for queue in ["NotificationQueue", "DeadLetterQueue"] {
        let managed = with_key_or(false.into(), true.into());
        assert_eq!(*template.property(queue, "SqsManagedSseEnabled"), managed);
        let own = with_key_or(key.clone(), nothing.clone());
        assert_eq!(*template.property(queue, "KmsMasterKeyId"), own);
    }
    assert_eq!(
        *template.property("NotificationStream", "StreamEncryption"),
        json!({"EncryptionType": "KMS", "KeyId": with_key_or(key.clone(), "alias/aws/kinesis".into())})
    );
    let bucket = template.property(
        "FailureBucket",
        "BucketEncryption/ServerSideEncryptionConfiguration/0",
    );
    assert_eq!(
        bucket["ServerSideEncryptionByDefault"],
        with_key_or(
            json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}),
            json!({"SSEAlgorithm": "AES256"})
        )
    );
    for name in FUNCTIONS {
        let logs = template.property(&format!("{name}Logs"), "KmsKeyId");
        assert_eq!(*logs, with_key_or(key.clone(), nothing.clone()));
    }
    for setting in [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ] {
        let path = format!("PublicAccessBlockConfiguration/{setting}");
        assert_eq!(
            *template.property("FailureBucket", &path),
            true,
            "{setting}"
        );
    }
}
