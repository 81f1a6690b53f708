//! A Step Functions state machine: one execution per notification. The input is the event.

use aws_config::SdkConfig;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    error::ServiceError,
    event::NotificationEvent,
};
use serde::{Deserialize, Serialize};

use super::{
    address::Arn, call::Service, limits::MAX_EXECUTION_INPUT_BYTES, names::execution_name,
};
use crate::json_service::JsonService;

const STEP_FUNCTIONS: Service = Service {
    name: "states",
    id: "SFN",
};

/// Starts one execution for each notification. A standard state machine starts none with the name of another for 90 days
/// (Step Functions API reference, "StartExecution"); an express one does.
#[derive(Debug)]
pub(super) struct StateMachine {
    service: JsonService,
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    state_machine_arn: &'a str,
    name: String,
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(rename = "executionArn")]
    _execution_arn: String,
}

impl StateMachine {
    pub(super) fn new(config: &SdkConfig, arn: &Arn) -> Self {
        let content_type = "application/x-amz-json-1.0";
        Self {
            service: STEP_FUNCTIONS.json(config, arn, "AWSStepFunctions", content_type),
            arn: arn.text.clone(),
        }
    }
}

impl<W: Send> Downstream<W> for StateMachine {
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
        let request = Request {
            state_machine_arn: &self.arn,
            name: execution_name(&event.subject, event.fingerprint),
            input: event.to_json(),
        };
        if request.input.len() > MAX_EXECUTION_INPUT_BYTES {
            return Err(STEP_FUNCTIONS.too_large());
        }
        let request = serde_json::to_string(&request)
            .map_err(|_| DownstreamError::new("the request cannot be formatted"))?;
        let response = Box::pin(self.service.call("StartExecution", request)).await;
        match STEP_FUNCTIONS.answer(response) {
            Ok(response) => serde_json::from_slice::<Response>(&response.body)
                .map(|_| Effect::Happened)
                .map_err(|_| STEP_FUNCTIONS.unreadable()),
            // The name contains the fingerprint, so it is an execution of this notification.
            Err(ServiceError::Refused { code }) if code == "ExecutionAlreadyExists" => {
                Ok(Effect::Happened)
            }
            Err(error) => Err(STEP_FUNCTIONS.failure(&error)),
        }
    }
}
