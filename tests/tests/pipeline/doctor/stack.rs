//! A deployed stack whose configuration a test breaks and restores.

use std::collections::BTreeSet;

use aws_sdk_lambda::{
    operation::update_event_source_mapping::builders::UpdateEventSourceMappingFluentBuilder as Update,
    types::{
        Environment, EventSourceMappingConfiguration as Mapping, EventSourcePosition,
        FilterCriteria,
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_local::{clients::Clients, stack::Stack};
use serde_json::Value;

use crate::{operator::onewrite, support::options};

/// A finding: severity, check and place.
pub(super) type FindingKey = (String, String, String);

/// A deployed stack, and the findings that it had right after its deployment.
pub(super) struct DoctorStack {
    pub(super) stack: Stack,
    pub(super) clients: Clients,
    pub(super) initial: BTreeSet<FindingKey>,
}

impl DoctorStack {
    pub(super) async fn new() -> Self {
        let options = options("doctor").parameter("EventSource", "urn:shop");
        let stack = Stack::start(options).await.unwrap();
        let (code, initial) = run_doctor(&stack).await;
        assert_eq!(code, 0, "{initial:?}");
        Self {
            clients: stack.clients().clone(),
            stack,
            initial,
        }
    }

    /// Asserts that `onewrite doctor` reports these findings, the initial ones, and nothing else.
    pub(super) async fn assert_findings(&self, expected: &[(&str, &str, &str)]) {
        let expected = expected.iter().map(|(severity, check, place)| {
            let text = |text: &str| text.to_owned();
            (text(severity), text(check), text(place))
        });
        let expected: BTreeSet<FindingKey> = expected.collect();
        let code = if expected.iter().any(|(severity, ..)| severity == "broken") {
            6
        } else {
            0
        };
        let all: BTreeSet<FindingKey> = expected.union(&self.initial).cloned().collect();
        assert_eq!(run_doctor(&self.stack).await, (code, all), "{expected:?}");
    }

    pub(super) async fn set_queue_attribute(
        &self,
        url: &str,
        name: QueueAttributeName,
        value: impl ToString,
    ) {
        self.clients
            .sqs
            .set_queue_attributes()
            .queue_url(url)
            .attributes(name, value.to_string())
            .send()
            .await
            .unwrap();
    }

    /// Sets an attribute of a queue, asserts the findings, and restores the attribute.
    pub(super) async fn check_queue_attribute(
        &self,
        url: &str,
        name: QueueAttributeName,
        value: impl ToString,
        expected: &[(&str, &str, &str)],
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
        self.set_queue_attribute(url, name.clone(), value).await;
        self.assert_findings(expected).await;
        self.set_queue_attribute(url, name, before).await;
    }

    /// The first mapping of a function.
    pub(super) async fn mapping(&self, function: &str) -> Mapping {
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

    pub(super) async fn update_mapping(
        &self,
        function: &str,
        change: impl FnOnce(Update) -> Update,
    ) {
        let mapping = self.mapping(function).await;
        let update = self.clients.lambda.update_event_source_mapping();
        let update = update.set_uuid(mapping.uuid);
        change(update).send().await.unwrap();
    }

    /// Changes a function's mapping, asserts the findings, and restores the mapping.
    pub(super) async fn check_mapping(
        &self,
        function: &str,
        change: impl FnOnce(Update) -> Update,
        expected: &[(&str, &str, &str)],
    ) {
        let before = self.mapping(function).await;
        self.update_mapping(function, change).await;
        self.assert_findings(expected).await;
        self.restore(function, before).await;
    }

    async fn restore(&self, function: &str, before: Mapping) {
        self.update_mapping(function, |update| {
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

    /// Creates a mapping with the settings of another one.
    pub(super) async fn create_mapping(
        &self,
        like: &Mapping,
        function: &str,
        position: Option<EventSourcePosition>,
    ) -> String {
        let created = self
            .clients
            .lambda
            .create_event_source_mapping()
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

    pub(super) async fn delete_mapping(&self, uuid: &str) {
        let delete = self.clients.lambda.delete_event_source_mapping();
        delete.uuid(uuid).send().await.unwrap();
    }

    /// Sets a variable of a function, asserts the findings, and restores the variable.
    pub(super) async fn check_variable(
        &self,
        function: &str,
        name: &str,
        value: &str,
        expected: &[(&str, &str, &str)],
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
        set(variables).await;
        self.assert_findings(expected).await;
        set(before).await;
        self.assert_findings(&[]).await;
    }
}

/// Runs `onewrite doctor`; returns its exit code and its findings.
pub(super) async fn run_doctor(stack: &Stack) -> (i32, BTreeSet<FindingKey>) {
    let (code, stdout, stderr) = onewrite(stack, &["--output", "json", "doctor"]).await;
    assert_eq!(stderr, "");
    let findings: Vec<Value> = serde_json::from_str(&stdout).unwrap();
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
    let keys = findings.iter().map(|finding| {
        let text = |name| text(finding, name);
        (text("severity"), text("check"), text("place"))
    });
    (code, keys.collect())
}
