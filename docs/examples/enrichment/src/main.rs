//! An `ingest` function of your own: adds the size of the payload to each notification.

use lambda_runtime::Error;
use onewrite::{item::Enrichment, notification::Notification};

/// Must be pure: it runs again for each copy of a message.
fn add_size(notification: &Notification) -> Enrichment {
    let mut enrichment = Enrichment::default();
    enrichment.insert("payload_bytes", notification.payload.as_str().len());
    enrichment
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    onewrite_ingest::run(add_size).await
}

#[cfg(test)]
mod tests {
    use onewrite::notification::MessagePointers;

    use super::*;

    #[test]
    fn adds_the_size_of_the_payload() {
        let body = r#"{"notification_id":"rf_1","payload":{"amount":5}}"#;
        let notification = MessagePointers::default().parse(body).unwrap();
        let mut expected = Enrichment::default();
        expected.insert("payload_bytes", r#"{"amount":5}"#.len());
        assert_eq!(add_size(&notification), expected);
    }
}
