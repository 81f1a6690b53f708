//! Disables the emulator's own pollers and restores the numbers of the event source mappings.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_lambda::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_lambda::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lambda::error::BoxError;
use aws_sdk_lambda::types::ScalingConfig;
use serde_json::Value;

use crate::clients::Clients;
use crate::error::{LocalError, Result};

pub(super) async fn fix(clients: &Clients) -> Result<()> {
    for mapping in list_raw(clients).await? {
        let number = |name: &str| parse_integer(&mapping[name]);
        let concurrency = parse_integer(&mapping["ScalingConfig"]["MaximumConcurrency"]);
        let scaling = concurrency.map(|concurrency| {
            ScalingConfig::builder()
                .maximum_concurrency(concurrency)
                .build()
        });
        clients
            .lambda
            .update_event_source_mapping()
            .uuid(mapping["UUID"].as_str().unwrap_or_default())
            .enabled(false)
            .set_batch_size(number("BatchSize"))
            .set_parallelization_factor(number("ParallelizationFactor"))
            .set_maximum_retry_attempts(number("MaximumRetryAttempts"))
            .set_maximum_record_age_in_seconds(number("MaximumRecordAgeInSeconds"))
            .set_scaling_config(scaling)
            .send()
            .await
            .map_err(|error| LocalError::aws("UpdateEventSourceMapping", &error))?;
    }
    Ok(())
}

/// Every mapping as the emulator returns it, because the SDK cannot parse the response.
async fn list_raw(clients: &Clients) -> Result<Vec<Value>> {
    let (mut mappings, mut marker) = (Vec::new(), None);
    loop {
        let body = RawBody::default();
        let response = clients
            .lambda
            .list_event_source_mappings()
            .set_marker(marker)
            .customize()
            .interceptor(body.clone())
            .send()
            .await;
        let page = body.take();
        let Some(entries) = page["EventSourceMappings"].as_array() else {
            let missing = || {
                LocalError::UnexpectedStack("the emulator returned no list of mappings".to_owned())
            };
            return Err(response.err().map_or_else(missing, |error| {
                LocalError::aws("ListEventSourceMappings", &error)
            }));
        };
        mappings.extend(entries.iter().cloned());
        marker = page["NextMarker"].as_str().map(ToOwned::to_owned);
        if marker.is_none() {
            return Ok(mappings);
        }
    }
}

/// Keeps the body of a response, even if the SDK cannot parse it.
#[derive(Debug, Clone, Default)]
struct RawBody(Arc<Mutex<Option<Value>>>);

impl RawBody {
    fn take(&self) -> Value {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.take().unwrap_or_default()
    }
}

impl Intercept for RawBody {
    fn name(&self) -> &'static str {
        "RawBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = serde_json::from_slice(body).ok();
        Ok(())
    }
}

/// Parses an integer, also from text.
fn parse_integer(value: &Value) -> Option<i32> {
    let number = value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))?;
    i32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parses_integers_written_as_text() {
        assert_eq!(parse_integer(&json!(4)), Some(4));
        assert_eq!(parse_integer(&json!("4")), Some(4));
        assert_eq!(parse_integer(&json!("-1")), Some(-1));
        for other in [json!(null), json!("four"), json!([4])] {
            assert_eq!(parse_integer(&other), None);
        }
    }
}
