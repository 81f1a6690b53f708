//! Reads what only some checks need: the account's quota, queues of earlier deployments, lifecycle rules, the state of a
//! function.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::{
    operation::get_function_configuration::GetFunctionConfigurationOutput,
    types::{LastUpdateStatus, State},
};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};
use onewrite_stack::{
    queue,
    scan::{self, PendingItems},
    stack::Stack,
};

use crate::doctor::snapshot::{Lifecycle, OrphanedQueue, ReadError, ReadResult};

/// The logical ids of the template's queues. CloudFormation names a queue after the stack and this id.
const QUEUES: [&str; 2] = ["NotificationQueue", "DeadLetterQueue"];

/// The items in INIT of a stack without downstream.
pub(super) async fn pending(stack: &Stack) -> ReadResult<Option<PendingItems>> {
    if stack.has_downstream() {
        return Ok(None);
    }
    let pending = scan::estimate_pending(stack).await;
    let pending = pending.map_err(|error| ReadError::Failed(error.to_string()))?;
    Ok(Some(pending))
}

/// Maps the error code by which S3 reports an absent setting to `None`.
pub(super) fn optional<T, E: ProvideErrorMetadata, R: std::fmt::Debug>(
    call: &'static str,
    code: &str,
    got: Result<T, SdkError<E, R>>,
) -> ReadResult<Option<T>> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error) if error.code() == Some(code) => Ok(None),
        Err(error) => Err(ReadError::from_sdk(call, &error)),
    }
}

/// Concurrent executions that the account allows. An emulator has no such quota.
pub(super) async fn concurrency_quota(stack: &Stack) -> ReadResult<Option<i64>> {
    if stack.is_local {
        return Ok(None);
    }
    let settings = stack.lambda.get_account_settings().send().await;
    let settings = settings.map_err(|error| ReadError::from_sdk("GetAccountSettings", &error))?;
    let limit = settings.account_limit;
    Ok(limit.map(|limit| limit.concurrent_executions.into()))
}

/// The queues by the stack's naming scheme that are not its queues now, with messages. After a change of `QueueType`, the
/// template keeps the old queues.
pub(super) async fn orphaned_queues(stack: &Stack) -> ReadResult<Vec<OrphanedQueue>> {
    // The host of a URL depends on the endpoint of the request.
    let name_of = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
    let own = [
        name_of(&stack.outputs.queue_url),
        name_of(&stack.outputs.dead_letter_queue_url),
    ];
    let mut orphaned = Vec::new();
    for name in QUEUES {
        let prefix = format!("{}-{name}-", stack.name);
        let pages = stack.sqs.list_queues().queue_name_prefix(prefix);
        let mut urls = pages.into_paginator().page_size(1_000).items().send();
        while let Some(url) = urls.next().await {
            let url = url.map_err(|error| ReadError::from_sdk("ListQueues", &error))?;
            if own.contains(&name_of(&url)) {
                continue;
            }
            let messages = count_messages(stack, &url).await?;
            if messages > 0 {
                orphaned.push(OrphanedQueue { url, messages });
            }
        }
    }
    Ok(orphaned)
}

async fn count_messages(stack: &Stack, url: &str) -> ReadResult<i64> {
    let depth = queue::read_depth(stack, url).await;
    let depth = depth.map_err(|error| ReadError::Failed(error.to_string()))?;
    Ok(i64::try_from(depth.waiting + depth.hidden).unwrap_or(i64::MAX))
}

/// What the lifecycle rules of the failure bucket remove. The emulator's answer is not that of S3.
pub(super) async fn bucket_lifecycle(stack: &Stack) -> ReadResult<Lifecycle> {
    if stack.is_local {
        return Ok(Lifecycle {
            expires_versions: true,
            expires_markers: true,
        });
    }
    let got = stack
        .s3
        .get_bucket_lifecycle_configuration()
        .bucket(&stack.outputs.failure_bucket)
        .send()
        .await;
    let call = "GetBucketLifecycleConfiguration";
    let got = optional(call, "NoSuchLifecycleConfiguration", got)?;
    let rules = got.and_then(|got| got.rules).unwrap_or_default();
    let is_on = |rule: &&LifecycleRule| rule.status == ExpirationStatus::Enabled;
    let enabled: Vec<_> = rules.iter().filter(is_on).collect();
    let removes_markers = |rule: &LifecycleRule| {
        let expiration = rule.expiration();
        expiration.is_some_and(|one| one.expired_object_delete_marker() == Some(true))
    };
    Ok(Lifecycle {
        expires_versions: enabled
            .iter()
            .any(|rule| rule.noncurrent_version_expiration().is_some()),
        expires_markers: enabled.iter().any(|rule| removes_markers(rule)),
    })
}

/// Why Lambda cannot invoke the function, or why its last update failed.
pub(super) fn function_failure(function: &GetFunctionConfigurationOutput) -> Option<String> {
    if function.state() == Some(&State::Failed) {
        let code = function.state_reason_code();
        return Some(format!(
            "State Failed ({})",
            code.map_or("unknown", |code| code.as_str())
        ));
    }
    if function.last_update_status() == Some(&LastUpdateStatus::Failed) {
        let code = function.last_update_status_reason_code();
        let code = code.map_or("unknown", |code| code.as_str());
        return Some(format!("LastUpdateStatus Failed ({code})"));
    }
    None
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{LastUpdateStatusReasonCode, StateReasonCode};

    use super::*;

    #[test]
    fn names_the_reason_of_a_failed_function_or_update() {
        let function = GetFunctionConfigurationOutput::builder;
        let active = function().state(State::Active);
        assert_eq!(function_failure(&active.clone().build()), None);
        let update = active
            .last_update_status(LastUpdateStatus::Failed)
            .last_update_status_reason_code(LastUpdateStatusReasonCode::InvalidSubnet);
        assert_eq!(
            function_failure(&update.build()).as_deref(),
            Some("LastUpdateStatus Failed (InvalidSubnet)")
        );
        let failed = function()
            .state(State::Failed)
            .state_reason_code(StateReasonCode::InvalidSecurityGroup);
        assert_eq!(
            function_failure(&failed.build()).as_deref(),
            Some("State Failed (InvalidSecurityGroup)")
        );
    }
}
