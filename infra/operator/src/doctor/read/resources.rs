//! Reads the resources that `DownstreamArns` names: each in its own region, and never the value of a secret.

use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_aws::{
    json_service::{JsonProtocol, JsonService},
    signed_service::{Request, SendError, SignedService},
    targets::{AddressKind, TargetAddress},
};
use onewrite_stack::stack::Stack;
use serde_json::{Value, json};

use crate::doctor::{
    downstream::ARNS_VARIABLE,
    snapshot::{DownstreamResource, Function, ReadError, ReadResult, ResourceSettings},
};

/// Reads the resources as `complete` runs with them.
pub(super) async fn read(
    stack: &Stack,
    complete: &ReadResult<Function>,
) -> Vec<DownstreamResource> {
    let arns = complete.as_ref().ok();
    let arns = arns.and_then(|function| function.variable(ARNS_VARIABLE));
    let arns = arns.unwrap_or_default().split(',').map(str::trim);
    let mut resources = Vec::new();
    for arn in arns.filter(|arn| !arn.is_empty()) {
        resources.push(resource(&stack.config, arn).await);
    }
    resources
}

async fn resource(config: &SdkConfig, arn: &str) -> DownstreamResource {
    let address = arn.parse::<TargetAddress>();
    let address = address.map_err(|error| error.to_string());
    // A URL belongs into another parameter, and may be a secret.
    let address = address.and_then(|address| match address.kind() {
        AddressKind::Url => Err("a URL belongs into DownstreamUrl".to_owned()),
        _ => Ok(address),
    });
    let settings = match &address {
        Ok(address) => Reader::new(config, arn).read(address).await,
        Err(_) => Ok(ResourceSettings::default()),
    };
    DownstreamResource {
        arn: if arn.starts_with("arn:") {
            arn
        } else {
            "(not an ARN)"
        }
        .to_owned(),
        address,
        settings: settings.map_err(|error| match error {
            ReadError::NotFound(call) => ReadError::NotFound(call),
            ReadError::Failed(reason) => ReadError::Failed(format!("{arn}: {reason}")),
        }),
    }
}

/// Reads one resource.
struct Reader<'a> {
    /// With the region of the resource.
    config: SdkConfig,
    arn: &'a str,
}

impl<'a> Reader<'a> {
    fn new(config: &SdkConfig, arn: &'a str) -> Self {
        let region = part(arn, 3).to_owned();
        let config = config.to_builder().region(Region::new(region));
        Self {
            config: config.build(),
            arn,
        }
    }

    async fn read(&self, address: &TargetAddress) -> ReadResult<ResourceSettings> {
        let exists = |_| ResourceSettings::default();
        match address.kind() {
            AddressKind::Queue => self.queue(address.name()).await,
            AddressKind::Function => self.function().await,
            AddressKind::StateMachine => self.state_machine().await,
            AddressKind::Topic => self.topic().await,
            AddressKind::EventBus => {
                let input = json!({"Name": self.arn});
                let bus = self.call(&EVENT_BRIDGE, "DescribeEventBus", &input);
                bus.await.map(exists)
            }
            AddressKind::Secret => self.secret().await,
            AddressKind::Parameter => self.parameter(address.name()).await,
            AddressKind::Table => self.table().await,
            AddressKind::Url => Ok(ResourceSettings::default()),
        }
    }

    async fn queue(&self, name: &str) -> ReadResult<ResourceSettings> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let url = client.get_queue_url().queue_name(name);
        let url = url
            .queue_owner_aws_account_id(part(self.arn, 4))
            .send()
            .await;
        let url = url.map_err(|error| ReadError::from_sdk("GetQueueUrl", &error))?;
        let attributes = client.get_queue_attributes().set_queue_url(url.queue_url);
        let attributes = attributes.attribute_names(QueueAttributeName::All).send();
        let attributes = attributes.await;
        let attributes =
            attributes.map_err(|error| ReadError::from_sdk("GetQueueAttributes", &error))?;
        let attributes = attributes.attributes.unwrap_or_default();
        let is_fifo = attributes.get(&QueueAttributeName::FifoQueue);
        Ok(ResourceSettings {
            is_fifo: is_fifo.is_some_and(|text| text == "true"),
            is_express: false,
        })
    }

    async fn function(&self) -> ReadResult<ResourceSettings> {
        let client = aws_sdk_lambda::Client::new(&self.config);
        let function = client.get_function_configuration();
        let function = function.function_name(self.arn).send().await;
        function.map_err(|error| ReadError::from_sdk("GetFunctionConfiguration", &error))?;
        Ok(ResourceSettings::default())
    }

    async fn table(&self) -> ReadResult<ResourceSettings> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let table = client.describe_table().table_name(self.arn).send().await;
        table.map_err(|error| ReadError::from_sdk("DescribeTable", &error))?;
        Ok(ResourceSettings::default())
    }

    async fn state_machine(&self) -> ReadResult<ResourceSettings> {
        // Versions and aliases have the type of their state machine. The call does not accept an alias.
        let parts: Vec<_> = self.arn.split(':').take(7).collect();
        let input = json!({"stateMachineArn": parts.join(":")});
        let machine = self.call(&STEP_FUNCTIONS, "DescribeStateMachine", &input);
        Ok(ResourceSettings {
            is_fifo: false,
            is_express: machine.await?["type"] == "EXPRESS",
        })
    }

    async fn secret(&self) -> ReadResult<ResourceSettings> {
        let (call, input) = ("DescribeSecret", json!({"SecretId": self.arn}));
        let secret = self.call(&SECRETS_MANAGER, call, &input).await?;
        if secret["DeletedDate"].is_null() {
            Ok(ResourceSettings::default())
        } else {
            let reason = format!("{call}: scheduled for deletion");
            Err(ReadError::NotFound(reason))
        }
    }

    async fn parameter(&self, name: &str) -> ReadResult<ResourceSettings> {
        // The ARN of a parameter in a hierarchy has one slash less than its name and the prefix of the ARN together.
        let name = if name.contains('/') {
            format!("/{name}")
        } else {
            name.to_owned()
        };
        let call = "DescribeParameters";
        let filter = json!({"Key": "Name", "Option": "Equals", "Values": [name]});
        let input = json!({"ParameterFilters": [filter]});
        let found = self.call(&PARAMETER_STORE, call, &input).await?;
        if found["Parameters"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            Ok(ResourceSettings::default())
        } else {
            Err(ReadError::NotFound(format!("{call}: no such parameter")))
        }
    }

    async fn topic(&self) -> ReadResult<ResourceSettings> {
        let call = "GetTopicAttributes";
        let (version, arn) = ("2010-03-31", self.arn);
        let content_type = "application/x-www-form-urlencoded".to_owned();
        let request = Request {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![("content-type", content_type)],
            body: format!("Action={call}&Version={version}&TopicArn={arn}"),
        };
        let service = SignedService::new(&self.config, "sns", "SNS");
        let response = service.send(call, request).await;
        let response = response.map_err(|error: SendError| ReadError::from_sdk(call, &error))?;
        let body = String::from_utf8_lossy(&response.body);
        // `<entry><key>FifoTopic</key><value>true</value></entry>` (SNS API reference, "GetTopicAttributes").
        let value = body.split_once("<key>FifoTopic</key>");
        Ok(ResourceSettings {
            is_fifo: value.is_some_and(|(_, rest)| rest.trim_start().starts_with("<value>true")),
            is_express: false,
        })
    }

    async fn call(&self, api: &Api, operation: &'static str, input: &Value) -> ReadResult<Value> {
        let service = SignedService::new(&self.config, api.name, api.id);
        let service = JsonService::new(service, api.protocol);
        let response = service.call(operation, input.to_string()).await;
        let response =
            response.map_err(|error: SendError| ReadError::from_sdk(operation, &error))?;
        serde_json::from_slice(&response.body).map_err(|_| ReadError::missing_in(operation))
    }
}

/// A service with a JSON protocol.
struct Api {
    name: &'static str,
    id: &'static str,
    protocol: JsonProtocol,
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

const fn api(
    name: &'static str,
    id: &'static str,
    target: &'static str,
    content_type: &'static str,
) -> Api {
    let protocol = JsonProtocol {
        target,
        content_type,
    };
    Api { name, id, protocol }
}

const EVENT_BRIDGE: Api = api("events", "EventBridge", "AWSEvents", JSON_1_1);
const STEP_FUNCTIONS: Api = api("states", "SFN", "AWSStepFunctions", JSON_1_0);
const SECRETS_MANAGER: Api = api(
    "secretsmanager",
    "Secrets Manager",
    "secretsmanager",
    JSON_1_1,
);
const PARAMETER_STORE: Api = api("ssm", "SSM", "AmazonSSM", JSON_1_1);

/// A part of an ARN, which has the form `arn:partition:service:region:account:resource`.
fn part(arn: &str, index: usize) -> &str {
    arn.split(':').nth(index).unwrap_or_default()
}
