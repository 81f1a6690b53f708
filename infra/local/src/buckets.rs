//! The calls of S3's API that this tool needs.

use aws_config::SdkConfig;
use onewrite_aws::signed_service::{Request, SendError, SignedService, encode_segment};

/// A client of S3. The bucket's name is in the path, because emulators have no host name for each bucket.
#[derive(Debug, Clone)]
pub struct Buckets(SignedService);

impl Buckets {
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self(SignedService::s3(config))
    }

    /// `CreateBucket`.
    pub(crate) async fn create(&self, bucket: &str) -> Result<(), SendError> {
        let path = format!("/{}", encode_segment(bucket));
        self.put("CreateBucket", path, String::new()).await
    }

    /// `PutObject`.
    pub(crate) async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        body: String,
    ) -> Result<(), SendError> {
        let segments = key.split('/').map(encode_segment);
        let key = segments.collect::<Vec<_>>().join("/");
        let path = format!("/{}/{key}", encode_segment(bucket));
        self.put("PutObject", path, body).await
    }

    async fn put(&self, call: &'static str, path: String, body: String) -> Result<(), SendError> {
        let request = Request {
            method: "PUT",
            path,
            headers: Vec::new(),
            body,
        };
        self.0.send(call, request).await.map(drop)
    }
}
