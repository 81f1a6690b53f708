# Generated from the parameters of template.yaml (.github/CONTRIBUTING.md, "Add a setting").

variable "message_pointer" {
  description = "JSON pointer (RFC 6901) to the message in the body of an SQS message: to an object, or to a string with JSON text, as in /Message of SNS. The other pointers apply inside the message. If empty, the message is the whole body."
  type        = string
  default     = null
}

variable "notification_id_pointer" {
  description = "JSON pointer to the notification id in a message. Up to four pointers, separated by commas without spaces, identify messages by all these values together, as in /source,/id of CloudEvents."
  type        = string
  default     = null
}

variable "notification_type_pointer" {
  description = "JSON pointer to the notification type. If nothing is there, the type is \"notification\"."
  type        = string
  default     = null
}

variable "payload_pointer" {
  description = "JSON pointer to the payload. An empty pointer selects the whole message."
  type        = string
  default     = null
}

variable "event_source" {
  description = "The CloudEvents \"source\" of every event. Must be a URI reference."
  type        = string
  default     = null
}

variable "queue_type" {
  description = "Type of the queue and of its dead-letter queue. Do not change it while messages wait: a change creates new queues, and nothing reads the old ones any more."
  type        = string
  default     = null
}

variable "ingest_timeout_seconds" {
  description = "Timeout of ingest. It determines the visibility timeout of the queue (see the mapping Visibility)."
  type        = number
  default     = null
}

variable "ingest_batch_size" {
  description = "Maximum messages per invocation. Values above 10 require a batching window. Ignored for FIFO queues, whose batches hold one message."
  type        = number
  default     = null
}

variable "ingest_concurrency" {
  description = "Maximum concurrent invocations of ingest. Unlike reserved concurrency, this limit does not use up receives of messages that were never processed. Or, as in 2-200, minimum and maximum number of provisioned event pollers for the queue, for bursts. Each supports ten concurrent invocations and is billed by the hour."
  type        = string
  default     = null
}

variable "batching_window_seconds" {
  description = "How long Lambda waits for a batch of ingest or of forward to fill. A longer window means fewer invocations and later events. ingest ignores it for FIFO queues."
  type        = number
  default     = null
}

variable "shard_count" {
  description = "Shards of the notification stream. 0 selects on-demand mode. Kinesis allows one change to at most double and at least half the number of shards."
  type        = number
  default     = null
}

variable "stream_retention_hours" {
  description = "How long the notification stream keeps its records. complete gives up records an hour earlier, and after 7 days at the latest (see the mapping RecordAge)."
  type        = number
  default     = null
}

variable "stream_function_timeout_seconds" {
  description = "Timeout of forward and complete."
  type        = number
  default     = null
}

variable "stream_parallelization_factor" {
  description = "Concurrent invocations of forward per shard of the table stream, and of complete per shard of the notification stream. Order is kept per notification."
  type        = number
  default     = null
}

variable "complete_maximum_retry_attempts" {
  description = "How often Lambda retries events that cannot be completed before it sends them to the failure bucket. Their items stay in INIT. Meanwhile, later events of the same lane wait. With -1, only their age ends the retries (see the mapping RecordAge), so that they outlast an outage of the downstream."
  type        = number
  default     = null
}

variable "downstream_arns" {
  description = "ARNs of the targets to which complete delivers each notification: SQS queues, Lambda functions, Step Functions state machines, EventBridge event buses and SNS topics. Also of the secret or parameter that signs requests to DownstreamUrl, and of the tables that the writes of a function may change. If this and DownstreamUrl are empty, notifications stay in INIT for your own consumer."
  type        = string
  default     = null
}

variable "downstream_url" {
  description = "HTTPS endpoint to which complete posts each notification. It has 10 seconds to answer. Everybody who may read the stack can read the URL, so it must not contain a secret."
  type        = string
  default     = null
}

variable "downstream_types" {
  description = "Notification types of each target, as in refunds=refund.*,audit=*: the name of the target without alias or version, or url, and a type as in the message or, with an asterisk at the end, the beginning of types. Several entries for a target add up. A target without an entry gets every type."
  type        = string
  default     = null
}

variable "downstream_refusal_statuses" {
  description = "HTTP statuses by which DownstreamUrl refuses a notification for good, which makes it REFUSED. Every other failure is retried."
  type        = string
  default     = null
}

variable "downstream_max_per_second" {
  description = "Maximum notifications per second to each target, of each running instance of complete. There are up to StreamParallelizationFactor instances per shard. 0 means no limit."
  type        = number
  default     = null
}

variable "downstream_max_concurrency" {
  description = "Maximum notifications of one invocation that complete processes concurrently."
  type        = number
  default     = null
}

variable "done_retention_days" {
  description = "Days after DONE or REFUSED when DynamoDB may remove an item; 0 keeps items forever. A removed id can be written again, so keep items longer than any copy of their message can exist: at least 29 days, the retention of both queues."
  type        = number
  default     = null
}

variable "payload_compression" {
  description = "With auto, ingest stores a payload compressed if this saves a write unit. With never, payloads are stored as text."
  type        = string
  default     = null
}

variable "function_memory_megabytes" {
  description = "Memory of each function. Lambda allocates CPU in proportion. New AWS accounts may allow at most 3,008."
  type        = number
  default     = null
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps the logs."
  type        = number
  default     = null
}

variable "log_level" {
  description = "Lowest severity that the functions log."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Instruction set of the functions. `sam build` and `sam deploy` must get the same value."
  type        = string
  default     = null
}

variable "existing_table_stream_arn" {
  description = "ARN of the change stream of an existing table, for example of one restored from a backup. If set, the pipeline uses that table, and the stack creates none."
  type        = string
  default     = null
}

variable "event_sources_enabled" {
  description = "Functions that their event source mappings invoke. An empty value deploys the pipeline paused. \"true\" means all of them, \"false\" none."
  type        = string
  default     = null
}

variable "sender_principal_arns" {
  description = "ARNs of the roles and users that may send messages. If this or SenderSourceArns is set, only they and the operators may send. If both are empty, the account's IAM policies decide."
  type        = string
  default     = null
}

variable "sender_source_arns" {
  description = "ARNs of the topics and rules for which SNS and EventBridge may send messages (aws:SourceArn). A pipe sends with its own role, which belongs in SenderPrincipalArns. A bucket cannot be a sender: let it send its events to EventBridge."
  type        = string
  default     = null
}

variable "operator_principal_arns" {
  description = "ARNs of the roles and users that may read and move dead letters. If set, nobody else may. If empty, the account's IAM policies decide."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for queues, table, stream, bucket and logs. If empty, each service uses its own key. The key policy must allow this account's IAM, CloudWatch Logs and every sender to use the key."
  type        = string
  default     = null
}

variable "previous_kms_key_arn" {
  description = "The KMS key that was used before. The functions may still decrypt with it. Needed for 14 days after KmsKeyArn changes or is removed."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role, if your account requires one."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets of the functions. If empty, the functions run outside a VPC. The subnets must reach DynamoDB, Kinesis, SQS, S3, and the targets and the signing secret of complete through VPC endpoints or NAT."
  type        = string
  default     = null
}

variable "security_group_ids" {
  description = "Security groups of the functions. Required with SubnetIds, ignored without."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "SNS topic that receives alarm notifications. If empty, alarms notify nobody."
  type        = string
  default     = null
}

variable "delay_alarm_seconds" {
  description = "Age of the oldest message in the queue, and iterator age of forward or complete, that triggers an alarm."
  type        = number
  default     = null
}

variable "metrics" {
  description = "With essential, the functions emit the metrics that alarms and `onewrite status` need. With all, there are also the other metrics, those of the event source mappings, traces of invocations and the dashboard."
  type        = string
  default     = null
}

locals {
  template_parameters = {
    MessagePointer               = var.message_pointer
    NotificationIdPointer        = var.notification_id_pointer
    NotificationTypePointer      = var.notification_type_pointer
    PayloadPointer               = var.payload_pointer
    EventSource                  = var.event_source
    QueueType                    = var.queue_type
    IngestTimeoutSeconds         = var.ingest_timeout_seconds
    IngestBatchSize              = var.ingest_batch_size
    IngestConcurrency            = var.ingest_concurrency
    BatchingWindowSeconds        = var.batching_window_seconds
    ShardCount                   = var.shard_count
    StreamRetentionHours         = var.stream_retention_hours
    StreamFunctionTimeoutSeconds = var.stream_function_timeout_seconds
    StreamParallelizationFactor  = var.stream_parallelization_factor
    CompleteMaximumRetryAttempts = var.complete_maximum_retry_attempts
    DownstreamArns               = var.downstream_arns
    DownstreamUrl                = var.downstream_url
    DownstreamTypes              = var.downstream_types
    DownstreamRefusalStatuses    = var.downstream_refusal_statuses
    DownstreamMaxPerSecond       = var.downstream_max_per_second
    DownstreamMaxConcurrency     = var.downstream_max_concurrency
    DoneRetentionDays            = var.done_retention_days
    PayloadCompression           = var.payload_compression
    FunctionMemoryMegabytes      = var.function_memory_megabytes
    LogRetentionDays             = var.log_retention_days
    LogLevel                     = var.log_level
    Architecture                 = var.architecture
    ExistingTableStreamArn       = var.existing_table_stream_arn
    EventSourcesEnabled          = var.event_sources_enabled
    SenderPrincipalArns          = var.sender_principal_arns
    SenderSourceArns             = var.sender_source_arns
    OperatorPrincipalArns        = var.operator_principal_arns
    KmsKeyArn                    = var.kms_key_arn
    PreviousKmsKeyArn            = var.previous_kms_key_arn
    PermissionsBoundaryArn       = var.permissions_boundary_arn
    SubnetIds                    = var.subnet_ids
    SecurityGroupIds             = var.security_group_ids
    AlarmTopicArn                = var.alarm_topic_arn
    DelayAlarmSeconds            = var.delay_alarm_seconds
    Metrics                      = var.metrics
  }
}
