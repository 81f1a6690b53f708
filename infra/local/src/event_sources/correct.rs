//! What the emulator makes of deployed mappings, put right.
//!
//! Its CloudFormation hands parameters on as the texts they are: it takes `"false"` for true, so that its own pollers
//! run, and lists numbers as texts, which no SDK reads. AWS turns both into what the resource's schema says.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_lambda::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_lambda::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lambda::error::BoxError;
use aws_sdk_lambda::types::ScalingConfig;
use serde_json::Value;

use crate::clients::Clients;
use crate::error::{LocalError, Result};

/// Stops the emulator's own pollers, and has each mapping's numbers be numbers.
///
/// # Errors
/// A failed call.
pub(super) async fn correct(clients: &Clients) -> Result<()> {
    for mapping in listed(clients).await? {
        let number = |name: &str| whole(&mapping[name]);
        let concurrency = whole(&mapping["ScalingConfig"]["MaximumConcurrency"]);
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

/// Every mapping in the emulator's own words.
async fn listed(clients: &Clients) -> Result<Vec<Value>> {
    let (mut mappings, mut marker) = (Vec::new(), None);
    loop {
        let words = Words::default();
        let answer = clients
            .lambda
            .list_event_source_mappings()
            .set_marker(marker)
            .customize()
            .interceptor(words.clone())
            .send()
            .await;
        let page = words.json();
        let Some(listed) = page["EventSourceMappings"].as_array() else {
            let none = || LocalError::Deployed("the emulator lists no mappings".to_owned());
            return Err(answer.err().map_or_else(none, |error| {
                LocalError::aws("ListEventSourceMappings", &error)
            }));
        };
        mappings.extend(listed.iter().cloned());
        marker = page["NextMarker"].as_str().map(ToOwned::to_owned);
        if marker.is_none() {
            return Ok(mappings);
        }
    }
}

/// Keeps the body of a response, whether or not the SDK can read it.
#[derive(Debug, Clone, Default)]
struct Words(Arc<Mutex<Option<Value>>>);

impl Words {
    fn json(&self) -> Value {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.take().unwrap_or_default()
    }
}

impl Intercept for Words {
    fn name(&self) -> &'static str {
        "Words"
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

/// A whole number, also where it is written as a text.
fn whole(value: &Value) -> Option<i32> {
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
    fn a_number_is_a_number_however_it_is_written() {
        assert_eq!(whole(&json!(4)), Some(4));
        assert_eq!(whole(&json!("4")), Some(4));
        assert_eq!(whole(&json!("-1")), Some(-1));
        for none in [json!(null), json!("four"), json!([4])] {
            assert_eq!(whole(&none), None);
        }
    }
}
