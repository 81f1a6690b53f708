//! Gives the table and the stream the safeguards of the template, which the emulator's CloudFormation ignores.

use aws_sdk_dynamodb::types::{
    PointInTimeRecoverySpecification, SseSpecification, TimeToLiveSpecification,
};
use aws_sdk_kinesis::types::EncryptionType;
use onewrite::item::attribute;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use onewrite_stack::outputs::StackOutputs;

pub(super) async fn fix(clients: &Clients, outputs: &StackOutputs) -> Result<()> {
    let (dynamodb, table) = (&clients.dynamodb, &outputs.table);
    dynamodb
        .update_table()
        .table_name(table)
        .deletion_protection_enabled(true)
        .sse_specification(SseSpecification::builder().enabled(true).build())
        .send()
        .await
        .map_err(|error| LocalError::aws("UpdateTable", &error))?;
    let recovery = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(true)
        .build()
        .map_err(|error| LocalError::UnexpectedStack(error.to_string()))?;
    dynamodb
        .update_continuous_backups()
        .table_name(table)
        .point_in_time_recovery_specification(recovery)
        .send()
        .await
        .map_err(|error| LocalError::aws("UpdateContinuousBackups", &error))?;
    let expiry = TimeToLiveSpecification::builder()
        .attribute_name(attribute::EXPIRES_AT)
        .enabled(true)
        .build()
        .map_err(|error| LocalError::UnexpectedStack(error.to_string()))?;
    dynamodb
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .map_err(|error| LocalError::aws("UpdateTimeToLive", &error))?;
    clients
        .kinesis
        .start_stream_encryption()
        .stream_name(&outputs.stream)
        .encryption_type(EncryptionType::Kms)
        .key_id("alias/aws/kinesis")
        .send()
        .await
        .map_err(|error| LocalError::aws("StartStreamEncryption", &error))?;
    Ok(())
}
