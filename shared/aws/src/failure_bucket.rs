//! The failure bucket, which keeps the events that a function gives up.

use aws_config::SdkConfig;
use onewrite::error::ServiceError;

use crate::{
    failure::from_sdk_error,
    signed_service::{Request, SignedService, encode_segment},
};

/// A bucket in S3.
#[derive(Debug, Clone)]
pub struct FailureBucket {
    service: SignedService,
    /// The name is in the path, because emulators have no host name for each bucket.
    name: String,
}

impl FailureBucket {
    /// The bucket with this name. Nothing is called.
    #[must_use]
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        Self {
            service: SignedService::s3(config),
            name: name.into(),
        }
    }

    /// Writes an object, or replaces the one with the same key.
    ///
    /// # Errors
    /// [`ServiceError`]: the object may not exist.
    pub async fn put(&self, key: &str, object: String) -> Result<(), ServiceError> {
        let segments: Vec<String> = key.split('/').map(encode_segment).collect();
        let request = Request {
            method: "PUT",
            path: format!("/{}/{}", encode_segment(&self.name), segments.join("/")),
            headers: vec![("content-type", "application/json".to_owned())],
            body: object,
        };
        let response = Box::pin(self.service.send("PutObject", request)).await;
        response.map(drop).map_err(|error| from_sdk_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Answer, Endpoint, http};

    async fn put(
        answers: impl IntoIterator<Item = Answer>,
    ) -> (Result<(), ServiceError>, Endpoint) {
        let endpoint = Endpoint::new(answers);
        let bucket = FailureBucket::new(&endpoint.config().await, "failures");
        let result = bucket.put("complete/shard-0/17 b", r#"{"a":1}"#.to_owned());
        (result.await, endpoint)
    }

    #[tokio::test(start_paused = true)]
    async fn puts_a_signed_object_under_its_key() {
        let (result, endpoint) = put([http(200, "")]).await;
        assert_eq!(result, Ok(()));
        let sent = &endpoint.sent()[0];
        let expected = "https://s3.us-east-1.amazonaws.com/failures/complete/shard-0/17%20b";
        assert_eq!(sent.uri, expected);
        assert_eq!(sent.body["a"], 1);
        assert!(sent.headers["authorization"].contains("/us-east-1/s3/aws4_request"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_call_is_never_a_success() {
        let denied = "<Error><Code>AccessDenied</Code></Error>";
        let (result, _) = put([http(403, denied)]).await;
        assert!(
            matches!(result, Err(ServiceError::Refused { .. })),
            "{result:?}"
        );
        let (result, endpoint) = put([Answer::Reset, Answer::Silence, http(200, "")]).await;
        assert_eq!((result, endpoint.attempts()), (Ok(()), 3));
    }
}
