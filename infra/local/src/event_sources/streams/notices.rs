//! Failure destinations: an object with the whole event in S3, the metadata alone in SQS.

use aws_sdk_s3::primitives::ByteStream;
use onewrite_event_sources::mapping::{Destination, DestinationKind};
use onewrite_event_sources::notice::Notice;

use crate::clients::Clients;
use crate::error::causes;

pub(in super::super) struct Notices {
    clients: Clients,
    mapping_uuid: String,
}

impl Notices {
    pub(in super::super) fn new(clients: Clients, mapping_uuid: String) -> Self {
        Self {
            clients,
            mapping_uuid,
        }
    }

    pub(super) async fn send(
        &self,
        destination: &Destination,
        notice: &Notice,
        event: &str,
    ) -> Result<(), String> {
        // Of `arn:aws:s3:::bucket`, and of a queue's.
        let name = destination.arn.rsplit(':').next().unwrap_or_default();
        match destination.kind {
            DestinationKind::S3 => self.put(name, notice, event).await,
            DestinationKind::Sqs => self.queue(name, notice).await,
            DestinationKind::Sns | DestinationKind::Kafka => {
                Err(format!("{} cannot be reached here", destination.arn))
            }
        }
    }

    async fn put(&self, bucket: &str, notice: &Notice, event: &str) -> Result<(), String> {
        let object = notice.object(event).to_string();
        self.clients
            .s3
            .put_object()
            .bucket(bucket)
            .key(notice.object_key(&self.mapping_uuid, &random_uuid()))
            .body(ByteStream::from(object.into_bytes()))
            .send()
            .await
            .map(drop)
            .map_err(|error| causes(&error))
    }

    async fn queue(&self, name: &str, notice: &Notice) -> Result<(), String> {
        let found = self.clients.sqs.get_queue_url().queue_name(name).send();
        let found = found.await.map_err(|error| causes(&error))?;
        self.clients
            .sqs
            .send_message()
            .queue_url(found.queue_url.unwrap_or_default())
            .message_body(notice.body().to_string())
            .send()
            .await
            .map(drop)
            .map_err(|error| causes(&error))
    }
}

/// Version 4 (RFC 9562, section 5.4).
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
    fn a_random_uuid_says_that_it_is_one() {
        let uuid = random_uuid();
        let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        assert_ne!(uuid, random_uuid());
    }
}
