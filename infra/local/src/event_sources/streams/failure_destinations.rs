//! Writes to failure destinations: the whole event to S3, the metadata alone to SQS.

use onewrite_event_sources::failure_record::FailureRecord;
use onewrite_event_sources::mapping::{Destination, DestinationKind};

use crate::clients::Clients;
use crate::error::causes;

pub(crate) struct FailureDestinations {
    clients: Clients,
    mapping_uuid: String,
}

impl FailureDestinations {
    pub(crate) fn new(clients: Clients, mapping_uuid: String) -> Self {
        Self {
            clients,
            mapping_uuid,
        }
    }

    pub(super) async fn send(
        &self,
        destination: &Destination,
        failure_record: &FailureRecord,
        event: &str,
    ) -> Result<(), String> {
        // The last part of both `arn:aws:s3:::bucket` and the ARN of a queue.
        let name = destination.arn.rsplit(':').next().unwrap_or_default();
        match destination.kind {
            DestinationKind::S3 => self.put_object(name, failure_record, event).await,
            DestinationKind::Sqs => self.send_message(name, failure_record).await,
            DestinationKind::Sns | DestinationKind::Kafka => Err(format!(
                "{} is not supported by the local stack",
                destination.arn
            )),
        }
    }

    async fn put_object(
        &self,
        bucket: &str,
        failure_record: &FailureRecord,
        event: &str,
    ) -> Result<(), String> {
        let object = failure_record.object(event).to_string();
        let key = failure_record.object_key(&self.mapping_uuid, &random_uuid());
        let put = self.clients.buckets.put_object(bucket, &key, object).await;
        put.map_err(|error| causes(&error))
    }

    async fn send_message(&self, name: &str, failure_record: &FailureRecord) -> Result<(), String> {
        let found = self.clients.sqs.get_queue_url().queue_name(name).send();
        let found = found.await.map_err(|error| causes(&error))?;
        self.clients
            .sqs
            .send_message()
            .queue_url(found.queue_url.unwrap_or_default())
            .message_body(failure_record.body().to_string())
            .send()
            .await
            .map(drop)
            .map_err(|error| causes(&error))
    }
}

/// A version 4 UUID (RFC 9562, section 5.4).
fn random_uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_version_and_variant_of_a_random_uuid() {
        let uuid = random_uuid();
        let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        assert_ne!(uuid, random_uuid());
    }
}
