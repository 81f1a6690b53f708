//! Reads the configuration of a deployed stack. It changes nothing, and records which parts could not be read.

mod more;
mod resources;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        KeyType, MultiRegionConsistency, PointInTimeRecoveryStatus, SseStatus, TableDescription,
        TimeToLiveStatus,
    },
};
use aws_sdk_kinesis::types::EncryptionType;
use aws_sdk_lambda::types::{
    EventSourceMappingConfiguration, FunctionResponseType, ProvisionedPollerConfig, ScalingConfig,
};
use aws_sdk_s3::types::PublicAccessBlockConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_stack::{error::StackError, stack::Stack};
use serde::Deserialize;

use super::snapshot::{
    Consumer, Function, Mapping, Queue, ReadError, ReadResult, StackSnapshot, Stream, Table,
};

/// The error codes for a resource that does not exist.
const NOT_FOUND: [&str; 7] = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "TableNotFoundException",
    "NoSuchBucket",
    "StateMachineDoesNotExist",
    // SNS.
    "NotFound",
];

impl ReadError {
    pub(super) fn from_sdk<E: ProvideErrorMetadata, R: std::fmt::Debug>(
        call: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        match error.code() {
            Some(code) if NOT_FOUND.contains(&code) => Self::NotFound(format!("{call}: {code}")),
            _ => Self::Failed(StackError::from_sdk(call, error).to_string()),
        }
    }

    fn missing_in(call: &str) -> Self {
        Self::Failed(format!("{call}: the response lacks a required field"))
    }
}

impl StackSnapshot {
    /// Reads the configuration of every resource.
    pub async fn read(stack: &Stack) -> Self {
        let queue = queue(stack, &stack.outputs.queue_url).await;
        let (table, table_stream_arn) = match table(stack).await {
            Ok((table, arn)) => (
                Ok(table),
                arn.ok_or_else(|| ReadError::missing_in("DescribeTable")),
            ),
            Err(unread) => (Err(unread.clone()), Err(unread)),
        };
        let (stream, stream_arn) = match stream(stack).await {
            Ok((stream, arn)) => (Ok(stream), Ok(arn)),
            Err(unread) => (Err(unread.clone()), Err(unread)),
        };
        let complete = consumer(stack, &stack.outputs.complete, stream_arn, false).await;
        let queue_arn = queue.as_ref().map(|queue| queue.arn.clone());
        let queue_arn = queue_arn.map_err(ReadError::clone);
        Self {
            parameters: stack.parameters.clone(),
            is_local: stack.is_local,
            table_name: stack.outputs.table.clone(),
            stream_name: stack.outputs.stream.clone(),
            bucket_name: stack.outputs.failure_bucket.clone(),
            queue,
            dead_letter_queue: self::queue(stack, &stack.outputs.dead_letter_queue_url).await,
            orphaned_queues: more::orphaned_queues(stack).await,
            // A table without a stream has no mappings. The table's own check reports that.
            forward: consumer(
                stack,
                &stack.outputs.forward,
                table_stream_arn,
                table.is_ok(),
            )
            .await,
            table,
            time_to_live: time_to_live(stack).await,
            has_point_in_time_recovery: has_point_in_time_recovery(stack).await,
            stream,
            bucket_encryption: bucket_encryption(stack).await,
            disabled_access_blocks: disabled_access_blocks(stack).await,
            bucket_policy: bucket_policy(stack).await,
            bucket_lifecycle: more::bucket_lifecycle(stack).await,
            ingest: consumer(stack, &stack.outputs.ingest, queue_arn, false).await,
            downstream: resources::read(stack, &complete.function).await,
            complete,
            pending: more::pending(stack).await,
            reserved_concurrency: reserved_concurrency(stack).await,
            concurrency_quota: more::concurrency_quota(stack).await,
        }
    }
}

async fn queue(stack: &Stack, url: &str) -> ReadResult<Queue> {
    use QueueAttributeName as Name;
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct RedrivePolicy {
        dead_letter_target_arn: Option<String>,
        max_receive_count: Option<serde_json::Value>,
    }
    let call = "GetQueueAttributes";
    let attributes = stack
        .sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(Name::All)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk(call, &error))?
        .attributes
        .unwrap_or_default();
    let text = |name: Name| attributes.get(&name).filter(|text| !text.is_empty());
    let number = |name: Name| text(name).and_then(|text| text.parse().ok());
    let is_true = |name: Name| text(name).is_some_and(|text| text == "true");
    let redrive: RedrivePolicy = text(Name::RedrivePolicy)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    // SQS accepts a number and a string.
    let max_receives = redrive.max_receive_count.and_then(|count| {
        count
            .as_i64()
            .or_else(|| count.as_str().and_then(|text| text.parse().ok()))
    });
    let needed = |number: Option<i64>| number.ok_or_else(|| ReadError::missing_in(call));
    Ok(Queue {
        url: url.to_owned(),
        arn: text(Name::QueueArn)
            .cloned()
            .ok_or_else(|| ReadError::missing_in(call))?,
        visibility_timeout_seconds: needed(number(Name::VisibilityTimeout))?,
        retention_seconds: needed(number(Name::MessageRetentionPeriod))?,
        dead_letter_target: redrive.dead_letter_target_arn,
        max_receives,
        is_fifo: is_true(Name::FifoQueue),
        is_encrypted: is_true(Name::SqsManagedSseEnabled) || text(Name::KmsMasterKeyId).is_some(),
        kms_key: text(Name::KmsMasterKeyId).cloned(),
        policy: text(Name::Policy).cloned(),
    })
}

/// The table, and the ARN of its stream if it has one.
async fn table(stack: &Stack) -> ReadResult<(Table, Option<String>)> {
    let described = stack
        .dynamodb
        .describe_table()
        .table_name(&stack.outputs.table)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk("DescribeTable", &error))?;
    let table = described
        .table
        .ok_or_else(|| ReadError::missing_in("DescribeTable"))?;
    let stream = table
        .stream_specification()
        .filter(|stream| stream.stream_enabled());
    let arn = stream.and_then(|_| table.latest_stream_arn().map(ToOwned::to_owned));
    Ok((as_table(&table), arn))
}

fn as_table(table: &TableDescription) -> Table {
    let mut key = table.key_schema().to_vec();
    key.sort_by_key(|element| *element.key_type() != KeyType::Hash);
    let stream = table
        .stream_specification()
        .filter(|stream| stream.stream_enabled());
    let replicas = table.replicas().iter();
    Table {
        key: key
            .iter()
            .map(|element| element.attribute_name().to_owned())
            .collect(),
        stream_view: stream
            .and_then(|stream| stream.stream_view_type())
            .map(|view| view.as_str().to_owned()),
        has_kms_key: table
            .sse_description()
            .is_some_and(|sse| sse.status() == Some(&SseStatus::Enabled)),
        is_protected: table.deletion_protection_enabled().unwrap_or_default(),
        replicas: replicas
            .filter_map(|replica| replica.region_name().map(ToOwned::to_owned))
            .collect(),
        is_strongly_consistent: table.multi_region_consistency()
            == Some(&MultiRegionConsistency::Strong),
    }
}

async fn time_to_live(stack: &Stack) -> ReadResult<Option<String>> {
    let call = "DescribeTimeToLive";
    let described = stack
        .dynamodb
        .describe_time_to_live()
        .table_name(&stack.outputs.table)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk(call, &error))?
        .time_to_live_description
        .ok_or_else(|| ReadError::missing_in(call))?;
    let is_on = matches!(
        described.time_to_live_status(),
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    Ok(described.attribute_name.filter(|_| is_on))
}

async fn has_point_in_time_recovery(stack: &Stack) -> ReadResult<bool> {
    let call = "DescribeContinuousBackups";
    let described = stack
        .dynamodb
        .describe_continuous_backups()
        .table_name(&stack.outputs.table)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk(call, &error))?
        .continuous_backups_description
        .ok_or_else(|| ReadError::missing_in(call))?;
    let recovery = described.point_in_time_recovery_description;
    Ok(recovery.is_some_and(|recovery| {
        recovery.point_in_time_recovery_status() == Some(&PointInTimeRecoveryStatus::Enabled)
    }))
}

/// The notification stream and its ARN.
async fn stream(stack: &Stack) -> ReadResult<(Stream, String)> {
    let call = "DescribeStreamSummary";
    let summary = stack
        .kinesis
        .describe_stream_summary()
        .stream_name(&stack.outputs.stream)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk(call, &error))?
        .stream_description_summary
        .ok_or_else(|| ReadError::missing_in(call))?;
    let distribution = summary.record_distribution_strategy();
    let stream = Stream {
        retention_hours: summary.retention_period_hours().into(),
        is_encrypted: summary.encryption_type() == Some(&EncryptionType::Kms),
        kms_key: summary.key_id().map(ToOwned::to_owned),
        distribution: distribution.map(|strategy| strategy.as_str().to_owned()),
    };
    Ok((stream, summary.stream_arn))
}

async fn bucket_encryption(stack: &Stack) -> ReadResult<Option<String>> {
    let got = stack
        .s3
        .get_bucket_encryption()
        .bucket(&stack.outputs.failure_bucket)
        .send()
        .await;
    let got = more::optional(
        "GetBucketEncryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        got,
    )?;
    let rules = got
        .and_then(|got| got.server_side_encryption_configuration)
        .map(|configuration| configuration.rules);
    Ok(rules.into_iter().flatten().find_map(|rule| {
        let default = rule.apply_server_side_encryption_by_default?;
        Some(default.sse_algorithm.as_str().to_owned())
    }))
}

async fn disabled_access_blocks(stack: &Stack) -> ReadResult<Vec<&'static str>> {
    let got = stack
        .s3
        .get_public_access_block()
        .bucket(&stack.outputs.failure_bucket)
        .send()
        .await;
    let got = more::optional(
        "GetPublicAccessBlock",
        "NoSuchPublicAccessBlockConfiguration",
        got,
    )?;
    let block = got.and_then(|got| got.public_access_block_configuration);
    let settings = [
        (
            "BlockPublicAcls",
            block
                .as_ref()
                .and_then(PublicAccessBlockConfiguration::block_public_acls),
        ),
        (
            "IgnorePublicAcls",
            block
                .as_ref()
                .and_then(PublicAccessBlockConfiguration::ignore_public_acls),
        ),
        (
            "BlockPublicPolicy",
            block
                .as_ref()
                .and_then(PublicAccessBlockConfiguration::block_public_policy),
        ),
        (
            "RestrictPublicBuckets",
            block
                .as_ref()
                .and_then(PublicAccessBlockConfiguration::restrict_public_buckets),
        ),
    ];
    let off = settings.into_iter().filter(|(_, on)| *on != Some(true));
    Ok(off.map(|(name, _)| name).collect())
}

async fn bucket_policy(stack: &Stack) -> ReadResult<Option<String>> {
    let got = stack
        .s3
        .get_bucket_policy()
        .bucket(&stack.outputs.failure_bucket)
        .send()
        .await;
    let got = more::optional("GetBucketPolicy", "NoSuchBucketPolicy", got)?;
    Ok(got.and_then(|got| got.policy))
}

/// A function with the mappings of its source. With `may_lack_source`, an absent source has no mappings.
async fn consumer(
    stack: &Stack,
    name: &str,
    source: ReadResult<String>,
    may_lack_source: bool,
) -> Consumer {
    let mappings = match source {
        Ok(arn) => mappings(stack, &arn).await,
        Err(_) if may_lack_source => Ok(Vec::new()),
        Err(unread) => Err(unread),
    };
    let qualified = mappings.as_deref().unwrap_or_default().iter();
    let qualified = qualified
        .filter(|(mapping, _)| mapping.function == name)
        .map(|(_, arn)| arn.clone())
        .next();
    Consumer {
        name: name.to_owned(),
        function: function(stack, qualified.as_deref().unwrap_or(name)).await,
        mappings: mappings
            .map(|mappings| mappings.into_iter().map(|(mapping, _)| mapping).collect()),
    }
}

/// The mappings of a source, each with the ARN that it invokes. They are listed by source and not by function, because
/// other functions that read the source matter too, and because a mapping that was changed by hand may invoke an alias.
async fn mappings(stack: &Stack, source: &str) -> ReadResult<Vec<(Mapping, String)>> {
    let listed: Result<Vec<_>, _> = stack
        .lambda
        .list_event_source_mappings()
        .event_source_arn(source)
        .into_paginator()
        .items()
        .send()
        .collect()
        .await;
    let listed = listed.map_err(|error| ReadError::from_sdk("ListEventSourceMappings", &error))?;
    Ok(listed.iter().map(as_mapping).collect())
}

fn as_mapping(mapping: &EventSourceMappingConfiguration) -> (Mapping, String) {
    let arn = mapping.function_arn().unwrap_or_default().to_owned();
    // arn:aws:lambda:region:account:function:name:qualifier
    let function = arn.split(':').nth(6).unwrap_or(&arn).to_owned();
    let qualifier = arn.split(':').nth(7).filter(|name| *name != "$LATEST");
    let qualifier = qualifier.map(ToOwned::to_owned);
    let pollers = mapping.provisioned_poller_config();
    // Lambda reports -1 for unlimited.
    let limited = |number: Option<i32>| number.map(i64::from).filter(|number| *number >= 0);
    let destination = mapping
        .destination_config()
        .and_then(|config| config.on_failure()?.destination());
    let filters = mapping
        .filter_criteria()
        .map(aws_sdk_lambda::types::FilterCriteria::filters);
    let pattern = |filter: &aws_sdk_lambda::types::Filter| filter.pattern().map(ToOwned::to_owned);
    let mapping = Mapping {
        uuid: mapping.uuid().unwrap_or_default().to_owned(),
        function,
        qualifier,
        state: mapping.state().unwrap_or_default().to_owned(),
        batch_size: mapping.batch_size().unwrap_or_default().into(),
        batching_window_seconds: mapping
            .maximum_batching_window_in_seconds()
            .unwrap_or_default()
            .into(),
        reports_batch_item_failures: mapping
            .function_response_types()
            .contains(&FunctionResponseType::ReportBatchItemFailures),
        starting_position: mapping
            .starting_position()
            .map(|position| position.as_str().to_owned()),
        maximum_retry_attempts: limited(mapping.maximum_retry_attempts()),
        maximum_record_age_seconds: limited(mapping.maximum_record_age_in_seconds()),
        parallelization_factor: mapping.parallelization_factor().map(i64::from),
        bisects: mapping.bisect_batch_on_function_error().unwrap_or_default(),
        failure_destination: destination.map(ToOwned::to_owned),
        filters: filters
            .unwrap_or_default()
            .iter()
            .filter_map(pattern)
            .collect(),
        maximum_concurrency: mapping
            .scaling_config()
            .and_then(ScalingConfig::maximum_concurrency)
            .map(i64::from),
        has_provisioned_pollers: pollers.is_some(),
        minimum_pollers: pollers
            .and_then(ProvisionedPollerConfig::minimum_pollers)
            .map(i64::from),
    };
    (mapping, arn)
}

async fn function(stack: &Stack, name: &str) -> ReadResult<Function> {
    let call = "GetFunctionConfiguration";
    let configuration = stack
        .lambda
        .get_function_configuration()
        .function_name(name)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk(call, &error))?;
    let timeout = configuration
        .timeout()
        .ok_or_else(|| ReadError::missing_in(call));
    let timeout_seconds = timeout?.into();
    let failure = more::function_failure(&configuration);
    // `cargo local` builds for the machine that it runs on, whatever the parameter says.
    let architecture = configuration.architectures().first();
    let architecture = architecture.filter(|_| !stack.is_local);
    let architecture = architecture.map(|one| one.as_str().to_owned());
    let environment = configuration.environment;
    if let Some(error) = environment
        .as_ref()
        .and_then(|environment| environment.error())
    {
        // The variables are encrypted with a key that the caller may not use.
        let code = error.error_code().unwrap_or_default();
        return Err(ReadError::Failed(format!(
            "{call}: cannot read the environment variables: {code}"
        )));
    }
    let variables: HashMap<String, String> = environment
        .and_then(|environment| environment.variables)
        .unwrap_or_default();
    Ok(Function {
        timeout_seconds,
        architecture,
        failure,
        variables: BTreeMap::from_iter(variables),
    })
}

async fn reserved_concurrency(stack: &Stack) -> ReadResult<Option<i32>> {
    let got = stack
        .lambda
        .get_function_concurrency()
        .function_name(&stack.outputs.ingest)
        .send()
        .await
        .map_err(|error| ReadError::from_sdk("GetFunctionConcurrency", &error))?;
    Ok(got.reserved_concurrent_executions)
}
