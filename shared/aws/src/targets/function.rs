//! A Lambda function, invoked once for each event. Its answer decides, and can be writes that are committed with DONE.

mod answer;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::{
    completion::{Downstream, DownstreamError, Effect},
    event::NotificationEvent,
};

use self::answer::WritableTables;
use super::{address::Arn, call::Service, limits::MAX_INVOCATION_BYTES, settings::TargetSettings};
use crate::signed_service::{Request, SignedService, encode_segment};

const LAMBDA: Service = Service {
    name: "lambda",
    id: "Lambda",
};

/// Invokes a function and waits for its answer. See [`answer`] for what it must be.
#[derive(Debug)]
pub(super) struct Function {
    service: SignedService,
    path: String,
    tables: WritableTables,
}

impl Function {
    pub(super) fn new(config: &SdkConfig, arn: &Arn, settings: &TargetSettings) -> Self {
        let function = encode_segment(&arn.text);
        let tables = settings.tables.iter().filter_map(|table| table.arn());
        Self {
            service: LAMBDA.signed(config, arn),
            path: format!("/2015-03-31/functions/{function}/invocations"),
            tables: WritableTables::new(&settings.notification_table, tables),
        }
    }
}

impl Downstream<TransactWriteItem> for Function {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let body = event.to_json();
        if body.len() > MAX_INVOCATION_BYTES {
            return Err(LAMBDA.too_large());
        }
        let request = Request {
            method: "POST",
            path: self.path.clone(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("x-amz-invocation-type", "RequestResponse".to_owned()),
            ],
            body,
        };
        let response = Box::pin(self.service.send("Invoke", request)).await;
        let response = LAMBDA
            .answer(response)
            .map_err(|error| LAMBDA.failure(&error))?;
        // The function failed or timed out (Lambda API reference, "Invoke": `FunctionError`). The body has its message.
        if response.header("x-amz-function-error").is_some() {
            return Err(DownstreamError::new("the function failed"));
        }
        answer::parse(&response.body, &self.tables)
            .map_err(|error| DownstreamError::new(error.to_string()))
    }
}
