//! `onewrite doctor` beside a whole stack: what it says of a fresh one, and of one that was misconfigured. What the
//! emulator cannot be made to be (a FIFO queue that was a standard one, replicas, distribution of records by Kinesis, a
//! bucket that does not encrypt, a caller who may not look) is judged in the tool's own tests.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    PointInTimeRecoverySpecification, SseSpecification, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};
use aws_sdk_kinesis::types::EncryptionType;
use aws_sdk_lambda::{
    operation::update_event_source_mapping::builders::UpdateEventSourceMappingFluentBuilder as Update,
    types::{
        DestinationConfig, Environment, EventSourceMappingConfiguration as Mapping,
        EventSourcePosition, Filter, FilterCriteria, FunctionResponseType, OnFailure,
        ScalingConfig,
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_local::{clients::Clients, stack::Stack};
use serde_json::{Value, json};

use super::{operator::onewrite, options};

/// A finding: severity, check and place.
type Found = (String, String, String);

/// A stack that was fresh once.
struct Patient {
    stack: Stack,
    clients: Clients,
    fresh: BTreeSet<Found>,
}

impl Patient {
    async fn new() -> Self {
        let stack = Stack::start(options("doctor")).await.unwrap();
        let (code, fresh) = examine(&stack).await;
        assert_eq!(code, 0, "{fresh:?}");
        Self {
            clients: stack.clients().clone(),
            stack,
            fresh,
        }
    }

    /// Asserts that the doctor finds these, beside what it says of a fresh stack, and nothing else.
    async fn shows(&self, wanted: &[(&str, &str, &str)]) {
        let wanted = wanted.iter().map(|(severity, check, place)| {
            let text = |text: &str| text.to_owned();
            (text(severity), text(check), text(place))
        });
        let wanted: BTreeSet<Found> = wanted.collect();
        let code = if wanted.iter().any(|(severity, ..)| severity == "broken") {
            6
        } else {
            0
        };
        let all: BTreeSet<Found> = wanted.union(&self.fresh).cloned().collect();
        assert_eq!(examine(&self.stack).await, (code, all), "{wanted:?}");
    }

    async fn queue(&self, url: &str, name: QueueAttributeName, value: impl ToString) {
        self.clients
            .sqs
            .set_queue_attributes()
            .queue_url(url)
            .attributes(name, value.to_string())
            .send()
            .await
            .unwrap();
    }

    /// Sets an attribute of a queue, sees what the doctor says, and sets it back.
    async fn with_queue(
        &self,
        url: &str,
        name: QueueAttributeName,
        value: impl ToString,
        wanted: &[(&str, &str, &str)],
    ) {
        let attributes = self
            .clients
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .unwrap();
        let before = attributes.attributes().unwrap()[&name].clone();
        self.queue(url, name.clone(), value).await;
        self.shows(wanted).await;
        self.queue(url, name, before).await;
    }

    /// The mapping of a function.
    async fn mapping(&self, function: &str) -> Mapping {
        let listed = self
            .clients
            .lambda
            .list_event_source_mappings()
            .function_name(function)
            .send()
            .await
            .unwrap();
        listed.event_source_mappings()[0].clone()
    }

    async fn update(&self, function: &str, change: impl FnOnce(Update) -> Update) {
        let mapping = self.mapping(function).await;
        let update = self.clients.lambda.update_event_source_mapping();
        let update = update.set_uuid(mapping.uuid);
        change(update).send().await.unwrap();
    }

    /// Changes a function's mapping, sees what the doctor says, and changes it back.
    async fn with_mapping(
        &self,
        function: &str,
        change: impl FnOnce(Update) -> Update,
        wanted: &[(&str, &str, &str)],
    ) {
        let before = self.mapping(function).await;
        self.update(function, change).await;
        self.shows(wanted).await;
        self.restore(function, before).await;
    }

    async fn restore(&self, function: &str, before: Mapping) {
        self.update(function, |update| {
            update
                .set_function_response_types(before.function_response_types)
                .set_destination_config(before.destination_config)
                .set_maximum_record_age_in_seconds(before.maximum_record_age_in_seconds)
                .set_maximum_retry_attempts(before.maximum_retry_attempts)
                .set_bisect_batch_on_function_error(before.bisect_batch_on_function_error)
                .set_scaling_config(before.scaling_config)
                .filter_criteria(
                    before
                        .filter_criteria
                        .unwrap_or_else(|| FilterCriteria::builder().build()),
                )
        })
        .await;
    }

    /// Makes a mapping of a source, which polls nothing, as another was.
    async fn create(
        &self,
        like: &Mapping,
        function: &str,
        position: Option<EventSourcePosition>,
    ) -> String {
        let created = self
            .clients
            .lambda
            .create_event_source_mapping()
            .enabled(false)
            .function_name(function)
            .set_event_source_arn(like.event_source_arn.clone())
            .set_starting_position(position)
            .set_batch_size(like.batch_size)
            .set_parallelization_factor(like.parallelization_factor)
            .set_function_response_types(like.function_response_types.clone())
            .set_destination_config(like.destination_config.clone())
            .set_maximum_record_age_in_seconds(like.maximum_record_age_in_seconds)
            .set_maximum_retry_attempts(like.maximum_retry_attempts)
            .set_bisect_batch_on_function_error(like.bisect_batch_on_function_error)
            .set_filter_criteria(like.filter_criteria.clone())
            .send()
            .await
            .unwrap();
        created.uuid.unwrap()
    }

    async fn delete(&self, uuid: &str) {
        let delete = self.clients.lambda.delete_event_source_mapping();
        delete.uuid(uuid).send().await.unwrap();
    }

    /// Has the alias that the mapping invokes be a version with this variable, sees what the doctor says, and has it be
    /// what it was.
    async fn with_variable(
        &self,
        function: &str,
        name: &str,
        value: &str,
        wanted: &[(&str, &str, &str)],
    ) {
        let lambda = &self.clients.lambda;
        let configuration = lambda.get_function_configuration();
        let configuration = configuration.function_name(function).send().await.unwrap();
        let before = configuration.environment.unwrap().variables.unwrap();
        let mut variables = before.clone();
        variables.insert(name.to_owned(), value.to_owned());
        let set = async |variables| {
            lambda
                .update_function_configuration()
                .function_name(function)
                .environment(
                    Environment::builder()
                        .set_variables(Some(variables))
                        .build(),
                )
                .send()
                .await
                .unwrap();
        };
        let alias = lambda.get_alias().function_name(function).name("live");
        let version = alias.send().await.unwrap().function_version.unwrap();
        let point = async |version: &str| {
            lambda
                .update_alias()
                .function_name(function)
                .name("live")
                .function_version(version)
                .send()
                .await
                .unwrap();
        };
        set(variables).await;
        let publish = lambda.publish_version().function_name(function);
        let published = publish.send().await.unwrap().version.unwrap();
        // What counts is what the mapping invokes, not what was written last.
        set(before).await;
        self.shows(&[]).await;
        point(&published).await;
        self.shows(wanted).await;
        point(&version).await;
    }
}

/// What the doctor says, and its exit code.
async fn examine(stack: &Stack) -> (i32, BTreeSet<Found>) {
    let (code, said, complaints) = onewrite(stack, &["--output", "json", "doctor"]).await;
    assert_eq!(complaints, "");
    let findings: Vec<Value> = serde_json::from_str(&said).unwrap();
    let text = |finding: &Value, name: &str| {
        let text = finding[name].as_str().unwrap();
        assert!(!text.is_empty(), "{finding}");
        text.to_owned()
    };
    for finding in &findings {
        for name in ["found", "needed", "breaks", "why", "repair"] {
            text(finding, name);
        }
    }
    let found = findings.iter().map(|finding| {
        let text = |name| text(finding, name);
        (text("severity"), text("check"), text("place"))
    });
    (code, found.collect())
}

fn filters(pattern: &str) -> FilterCriteria {
    let filter = Filter::builder().pattern(pattern).build();
    FilterCriteria::builder().filters(filter).build()
}

fn destination(arn: &str) -> DestinationConfig {
    let on_failure = OnFailure::builder().destination(arn).build();
    DestinationConfig::builder().on_failure(on_failure).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misconfiguration_is_named_and_nothing_else() {
    let patient = Patient::new().await;
    // What the local parameters ask for, and the one thing that is so by the template's own default.
    let fresh: Vec<(&str, &str, &str)> = patient
        .fresh
        .iter()
        .map(|(severity, check, place)| (severity.as_str(), check.as_str(), place.as_str()))
        .collect();
    assert_eq!(
        fresh,
        [
            ("advice", "deletion-protection", "table"),
            ("advice", "paused", "complete"),
            ("advice", "paused", "forward"),
            ("advice", "paused", "ingest"),
            ("advice", "stream-retention", "stream"),
            ("advice", "tls", "dead-letter queue"),
            ("advice", "tls", "failure bucket"),
            ("advice", "tls", "queue"),
        ]
    );
    let (_, said, _) = onewrite(&patient.stack, &["doctor"]).await;
    assert!(
        said.ends_with("\n0 broken, 0 could not be checked, 8 advice.\n"),
        "{said}"
    );

    queues(&patient).await;
    mappings(&patient).await;
    readers(&patient).await;
    functions(&patient).await;
    stores(&patient).await;
    patient.shows(&[]).await;
    pauses(&patient).await;
    losses(&patient).await;
    patient.stack.stop().await;
}

async fn queues(patient: &Patient) {
    use QueueAttributeName as Name;
    let outputs = patient.stack.outputs();
    let (queue, dead_letters) = (&outputs.queue_url, &outputs.dead_letter_queue_url);
    let broken = |check, place| [("broken", check, place)];
    patient
        .with_queue(
            queue,
            Name::VisibilityTimeout,
            5,
            &broken("visibility-timeout", "queue"),
        )
        .await;
    let (_, said, _) = onewrite(&patient.stack, &["doctor"]).await;
    assert!(!said.contains("BROKEN"), "{said}");

    let arn = &outputs.all["NotificationQueueArn"];
    for (policy, check) in [
        (
            json!({"deadLetterTargetArn": arn, "maxReceiveCount": 6}).to_string(),
            "dead-letter-queue",
        ),
        (String::new(), "dead-letter-queue"),
    ] {
        patient
            .with_queue(queue, Name::RedrivePolicy, policy, &broken(check, "queue"))
            .await;
    }
    let attributes = patient.clients.sqs.get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(Name::RedrivePolicy).send().await;
    let policy = attributes.unwrap().attributes.unwrap()[&Name::RedrivePolicy].clone();
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    policy["maxReceiveCount"] = json!(5);
    patient
        .with_queue(
            queue,
            Name::RedrivePolicy,
            policy,
            &broken("max-receives", "queue"),
        )
        .await;
    patient
        .with_queue(
            dead_letters,
            Name::MessageRetentionPeriod,
            345_600,
            &broken("dead-letter-retention", "dead-letter queue"),
        )
        .await;
    for (url, place) in [(queue, "queue"), (dead_letters, "dead-letter queue")] {
        patient
            .with_queue(
                url,
                Name::SqsManagedSseEnabled,
                false,
                &broken("encryption", place),
            )
            .await;
    }
}

async fn mappings(patient: &Patient) {
    let outputs = patient.stack.outputs();
    let places = [
        ("ingest", &outputs.ingest),
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ];
    let none: Option<Vec<FunctionResponseType>> = Some(Vec::new());
    for (place, function) in places {
        let change = |update: Update| update.set_function_response_types(none.clone());
        let wanted = [("broken", "partial-responses", place)];
        patient.with_mapping(function, change, &wanted).await;
    }
    for (place, function) in &places[1..] {
        let broken = |check| [("broken", check, *place)];
        let nowhere = DestinationConfig::builder().build();
        patient
            .with_mapping(
                function,
                |update| update.destination_config(nowhere),
                &broken("failure-destination"),
            )
            .await;
        let elsewhere = destination("arn:aws:s3:::another-bucket");
        patient
            .with_mapping(
                function,
                |update| update.destination_config(elsewhere),
                &broken("failure-destination"),
            )
            .await;
        // Without end, and for as long as either stream keeps a record.
        for age in [-1, 86_400] {
            patient
                .with_mapping(
                    function,
                    |update| update.maximum_record_age_in_seconds(age),
                    &broken("record-age"),
                )
                .await;
        }
        patient
            .with_mapping(
                function,
                |update| update.bisect_batch_on_function_error(false),
                &[("advice", "bisect", place)],
            )
            .await;
        patient
            .with_mapping(
                function,
                |update| {
                    update
                        .bisect_batch_on_function_error(false)
                        .set_function_response_types(none.clone())
                },
                &[
                    ("broken", "bisect", place),
                    ("broken", "partial-responses", place),
                ],
            )
            .await;
    }
    patient
        .with_mapping(
            &outputs.complete,
            |update| update.maximum_retry_attempts(-1),
            &[("broken", "retry-attempts", "complete")],
        )
        .await;
    patient
        .with_mapping(
            &outputs.forward,
            |update| update.maximum_retry_attempts(5),
            &[("advice", "retry-attempts", "forward")],
        )
        .await;
    patient
        .with_mapping(
            &outputs.ingest,
            |update| update.scaling_config(ScalingConfig::builder().build()),
            &[("advice", "maximum-concurrency", "ingest")],
        )
        .await;

    let criteria = [
        (
            &outputs.ingest,
            r#"{"body": {"type": ["refund"]}}"#,
            "ingest-filter",
            "ingest",
        ),
        (
            &outputs.forward,
            r#"{"eventName": ["INSERT"]}"#,
            "forward-filter",
            "forward",
        ),
        (
            &outputs.forward,
            r#"{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"type": {"S": ["charge"]}}}}"#,
            "forward-filter",
            "forward",
        ),
        (
            &outputs.complete,
            r#"{"data": {"type": [{"suffix": ".done"}]}}"#,
            "complete-filter",
            "complete",
        ),
    ];
    for (function, pattern, check, place) in criteria {
        patient
            .with_mapping(
                function,
                |update| update.filter_criteria(filters(pattern)),
                &[("broken", check, place)],
            )
            .await;
    }
    let no_filter = FilterCriteria::builder().build();
    patient
        .with_mapping(
            &outputs.forward,
            |update| update.filter_criteria(no_filter.clone()),
            &[],
        )
        .await;
    patient
        .with_mapping(
            &outputs.complete,
            |update| update.filter_criteria(no_filter.clone()),
            &[("advice", "complete-filter", "complete")],
        )
        .await;
}

/// Readers that are missing, that begin at the wrong end, and that are too many.
async fn readers(patient: &Patient) {
    let outputs = patient.stack.outputs();
    for (place, function) in [
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ] {
        let before = patient.mapping(function).await;
        let alias = format!("{function}:live");
        patient.delete(before.uuid().unwrap()).await;
        let paused = ("advice".to_owned(), "paused".to_owned(), place.to_owned());
        let (code, found) = examine(&patient.stack).await;
        let mut wanted = patient.fresh.clone();
        wanted.remove(&paused);
        wanted.insert(("broken".to_owned(), "mapping".to_owned(), place.to_owned()));
        assert_eq!((code, found), (6, wanted));

        let latest = patient
            .create(&before, &alias, Some(EventSourcePosition::Latest))
            .await;
        patient
            .shows(&[("broken", "starting-position", place)])
            .await;
        patient.delete(&latest).await;
        patient
            .create(&before, &alias, Some(EventSourcePosition::TrimHorizon))
            .await;
        patient.shows(&[]).await;
    }

    let like = patient.mapping(&outputs.forward).await;
    let complete = &outputs.complete;
    let begin = Some(EventSourcePosition::TrimHorizon);
    let second = patient.create(&like, complete, begin.clone()).await;
    patient.shows(&[]).await;
    let third = patient.create(&like, complete, begin).await;
    patient
        .shows(&[("broken", "table-stream-readers", "table")])
        .await;
    for uuid in [second, third] {
        patient.delete(&uuid).await;
    }

    let like = patient.mapping(&outputs.ingest).await;
    let thief = patient.create(&like, &outputs.forward, None).await;
    patient.shows(&[("broken", "queue-readers", "queue")]).await;
    patient.delete(&thief).await;
}

async fn functions(patient: &Patient) {
    let outputs = patient.stack.outputs();
    let pointers = ["notification_id", "", "/payload", "/type"].map(|pointer| {
        (
            &outputs.ingest,
            "NOTIFICATION_ID_POINTER",
            pointer,
            "pointers",
            "ingest",
        )
    });
    let others = [
        (
            &outputs.ingest,
            "PAYLOAD_POINTER",
            "/a~2",
            "pointers",
            "ingest",
        ),
        (
            &outputs.ingest,
            "TABLE_NAME",
            "another",
            "environment",
            "ingest",
        ),
        (
            &outputs.forward,
            "STREAM_NAME",
            "another",
            "environment",
            "forward",
        ),
        (
            &outputs.complete,
            "TABLE_NAME",
            "another",
            "environment",
            "complete",
        ),
        (
            &outputs.complete,
            "DONE_RETENTION_DAYS",
            "28",
            "done-retention",
            "complete",
        ),
    ];
    for (function, name, value, check, place) in pointers.into_iter().chain(others) {
        let wanted = [("broken", check, place)];
        patient.with_variable(function, name, value, &wanted).await;
    }
    patient
        .with_variable(&outputs.complete, "DONE_RETENTION_DAYS", "29", &[])
        .await;

    let lambda = &patient.clients.lambda;
    let reserve = lambda.put_function_concurrency();
    let reserve = reserve.function_name(&outputs.ingest);
    reserve
        .reserved_concurrent_executions(4)
        .send()
        .await
        .unwrap();
    patient
        .shows(&[("broken", "reserved-concurrency", "ingest")])
        .await;
    let free = lambda.delete_function_concurrency();
    free.function_name(&outputs.ingest).send().await.unwrap();
}

async fn stores(patient: &Patient) {
    let outputs = patient.stack.outputs();
    let Clients {
        dynamodb,
        kinesis,
        s3,
        ..
    } = &patient.clients;
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
    patient.shows(&[]).await;
    patient
        .with_variable(
            &outputs.complete,
            "DONE_RETENTION_DAYS",
            "29",
            &[("advice", "time-to-live", "table")],
        )
        .await;
    expire_by("created_at", true).await;
    patient.shows(&[("broken", "time-to-live", "table")]).await;
    expire_by("created_at", false).await;
    expire_by("expires_at", true).await;

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
    patient
        .shows(&[("broken", "point-in-time-recovery", "table")])
        .await;
    recover(true).await;

    let update = || dynamodb.update_table().table_name(&outputs.table);
    let key = |is_on| SseSpecification::builder().enabled(is_on).build();
    update().sse_specification(key(false)).send().await.unwrap();
    patient.shows(&[("advice", "encryption", "table")]).await;
    update().sse_specification(key(true)).send().await.unwrap();

    let view = |view| {
        StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(view)
            .build()
            .unwrap()
    };
    // The emulator lets a stream's view be changed, where AWS would have it be another stream.
    let keys = view(StreamViewType::KeysOnly);
    update().stream_specification(keys).send().await.unwrap();
    patient.shows(&[("broken", "table-stream", "table")]).await;
    let both = view(StreamViewType::NewAndOldImages);
    update().stream_specification(both).send().await.unwrap();

    let stop = kinesis.stop_stream_encryption();
    let stop = stop
        .stream_name(&outputs.stream)
        .encryption_type(EncryptionType::Kms);
    stop.key_id("alias/aws/kinesis").send().await.unwrap();
    patient.shows(&[("broken", "encryption", "stream")]).await;
    let start = kinesis.start_stream_encryption();
    let start = start
        .stream_name(&outputs.stream)
        .encryption_type(EncryptionType::Kms);
    start.key_id("alias/aws/kinesis").send().await.unwrap();

    let bucket = &outputs.failure_bucket;
    let before = s3.get_public_access_block().bucket(bucket).send().await;
    let before = before.unwrap().public_access_block_configuration;
    s3.delete_public_access_block()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    patient
        .shows(&[("broken", "public-access", "failure bucket")])
        .await;
    let put = s3.put_public_access_block().bucket(bucket);
    put.set_public_access_block_configuration(before)
        .send()
        .await
        .unwrap();
}

/// All that stands still was asked to. With one of them at work, the others fall behind for good.
async fn pauses(patient: &Patient) {
    let ingest = &patient.stack.outputs().ingest;
    patient.update(ingest, |update| update.enabled(true)).await;
    let paused: Vec<_> = {
        let (code, found) = examine(&patient.stack).await;
        assert_eq!(code, 6, "{found:?}");
        found
            .into_iter()
            .filter(|(_, check, _)| check == "paused")
            .collect()
    };
    let broken = |place: &str| ("broken".to_owned(), "paused".to_owned(), place.to_owned());
    assert_eq!(paused, [broken("complete"), broken("forward")]);
    patient.update(ingest, |update| update.enabled(false)).await;
}

/// What was deleted is told as such, not as something that could not be read.
async fn losses(patient: &Patient) {
    let url = &patient.stack.outputs().dead_letter_queue_url;
    let delete = patient.clients.sqs.delete_queue().queue_url(url);
    delete.send().await.unwrap();
    let (code, found) = examine(&patient.stack).await;
    let of_it = found
        .iter()
        .filter(|(.., place)| place == "dead-letter queue");
    let of_it: Vec<_> = of_it
        .map(|(severity, check, _)| (severity.as_str(), check.as_str()))
        .collect();
    assert_eq!((code, of_it), (6, vec![("broken", "missing")]));
}
