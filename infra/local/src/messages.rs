//! Reads messages from a user's file of JSON lines, determines the meaning of each, and sends them.

use std::path::Path;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::stream::{FuturesOrdered, StreamExt};
use onewrite::item::{Enrichment, NotificationItem, PayloadCompression};
use onewrite::limits::MAX_MESSAGE_BYTES;
use onewrite::notification::MessagePointers;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::oracle::{Meaning, SentMessage};
use crate::sample::Sample;

/// Batches in flight at the same time.
pub(crate) const MAX_SENDS_IN_FLIGHT: usize = 8;

/// Messages per `SendMessageBatch` (SQS quotas).
const BATCH_MESSAGES: usize = 10;

/// Reads the lines of a file, or of standard input for `-`. Empty lines are skipped.
///
/// # Errors
/// [`LocalError::File`], or [`LocalError::MessageFile`] for a line that SQS would reject.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|source| LocalError::file(path, source))?;
    let mut messages = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let invalid = |reason: String| LocalError::MessageFile {
            path: path.into(),
            line: index + 1,
            reason,
        };
        let text = std::str::from_utf8(line)
            .map_err(|_| invalid("it is not UTF-8".into()))?
            .trim_end_matches('\r');
        if text.trim().is_empty() {
            continue;
        }
        check(text).map_err(invalid)?;
        messages.push(text.to_owned());
    }
    Ok(messages)
}

/// Checks that SQS accepts a message.
///
/// # Errors
/// The reason why it does not, without the text of the message.
pub fn check(text: &str) -> std::result::Result<(), String> {
    if text.len() > MAX_MESSAGE_BYTES {
        let length = text.len();
        return Err(format!(
            "it has {length} bytes, but at most {MAX_MESSAGE_BYTES} are allowed"
        ));
    }
    match text.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(format!(
            "SQS does not accept U+{:04X}",
            u32::from(character)
        )),
        None => Ok(()),
    }
}

/// The characters that an SQS message may contain (SQS API reference, SendMessage).
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Determines the meaning of a user's messages with the functions' own parser.
#[must_use]
pub fn classify(bodies: Vec<String>) -> Vec<Sample> {
    let pointers = MessagePointers::default();
    let sample = |body: String| Sample {
        meaning: meaning(&body, &pointers),
        body,
    };
    bodies.into_iter().map(sample).collect()
}

/// Determines the meaning of one message.
#[must_use]
pub fn meaning(body: &str, pointers: &MessagePointers) -> Meaning {
    let Ok(notification) = pointers.parse(body) else {
        return Meaning::Malformed;
    };
    let valid = Meaning::Valid {
        id: notification.id.as_str().to_owned(),
        kind: notification.kind.as_str().to_owned(),
        content: notification.fingerprint.to_string(),
        payload: notification.payload.as_str().to_owned(),
    };
    // The item contains the message id too. SQS's ids have 36 characters.
    let message_id = "0".repeat(36);
    let item = NotificationItem::new(
        notification,
        &Enrichment::default(),
        message_id,
        None,
        jiff::Timestamp::UNIX_EPOCH,
        PayloadCompression::Auto,
    );
    if item.is_ok() {
        valid
    } else {
        Meaning::Malformed
    }
}

/// A message that a queue has accepted.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) message: &'a Sample,
    pub(crate) message_id: String,
}

/// Sends messages, several batches at a time. Calls `progress` with the number of accepted messages.
///
/// On a FIFO queue the message group is the notification id. Each message has its own deduplication id, so that SQS does
/// not drop copies.
///
/// # Errors
/// [`LocalError::Aws`] if the queue does not accept a message.
pub async fn send(
    clients: &Clients,
    queue_url: &str,
    messages: &[Sample],
    mut progress: impl FnMut(usize),
) -> Result<Vec<SentMessage>> {
    let mut sent = Vec::with_capacity(messages.len());
    let accept = |batch: Vec<Accepted<'_>>| {
        sent.extend(batch.into_iter().map(|one| SentMessage {
            message_id: one.message_id,
            meaning: one.message.meaning.clone(),
        }));
        progress(sent.len());
    };
    send_while(clients, queue_url, messages, || true, accept).await?;
    Ok(sent)
}

/// Sends messages like [`send`], as long as `goes_on` is true and the queue accepts them. Passes the accepted messages of each batch
/// to `accept`, also those of batches that are in flight when it ends.
///
/// # Errors
/// [`LocalError::Aws`] if the queue does not accept a message. If the response was lost, it may have accepted the batch.
pub(crate) async fn send_while<'a>(
    clients: &Clients,
    queue_url: &str,
    messages: &'a [Sample],
    goes_on: impl Fn() -> bool,
    mut accept: impl FnMut(Vec<Accepted<'a>>),
) -> Result<()> {
    let in_flight = if is_fifo(queue_url) {
        1
    } else {
        MAX_SENDS_IN_FLIGHT
    };
    // Collected first, so that a task may send. Each starts when it is polled.
    let batches = batches(messages).into_iter();
    let sends: Vec<_> = batches
        .map(|batch| send_batch(clients, queue_url, batch))
        .collect();
    let (mut sends, mut running, mut result) = (sends.into_iter(), FuturesOrdered::new(), Ok(()));
    loop {
        while running.len() < in_flight && result.is_ok() && goes_on() {
            let Some(send) = sends.next() else { break };
            running.push_back(send);
        }
        let Some((accepted, sent)) = running.next().await else {
            return result;
        };
        accept(accepted);
        result = result.and(sent);
    }
}

fn is_fifo(queue_url: &str) -> bool {
    queue_url.ends_with(".fifo")
}

/// Splits messages into batches: at most ten messages, with a total size of at most one message's limit.
fn batches(messages: &[Sample]) -> Vec<&[Sample]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, message) in messages.iter().enumerate() {
        if index - start == BATCH_MESSAGES || bytes + message.body.len() > MAX_MESSAGE_BYTES {
            batches.push(&messages[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += message.body.len();
    }
    batches.push(&messages[start..]);
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// Sends one batch. Returns what the queue has accepted, which can be a part of it.
async fn send_batch<'a>(
    clients: &Clients,
    queue_url: &str,
    messages: &'a [Sample],
) -> (Vec<Accepted<'a>>, Result<()>) {
    let output = match call(clients, queue_url, messages).await {
        Ok(output) => output,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut accepted: Vec<_> = messages.iter().map(|_| None).collect();
    for entry in output.successful {
        if let Some(index) = index(&entry.id, messages) {
            accepted[index] = Some(Accepted {
                message: &messages[index],
                message_id: entry.message_id,
            });
        }
    }
    let accepted: Vec<_> = accepted.into_iter().flatten().collect();
    let reason = match output.failed.first() {
        Some(failed) => failed.code.clone(),
        None if accepted.len() == messages.len() => return (accepted, Ok(())),
        None => "the response is missing an entry".to_owned(),
    };
    let call = "SendMessageBatch";
    (accepted, Err(LocalError::Aws { call, reason }))
}

async fn call(
    clients: &Clients,
    queue_url: &str,
    messages: &[Sample],
) -> Result<SendMessageBatchOutput> {
    let entries = messages
        .iter()
        .enumerate()
        .map(|(index, message)| entry(index, message, is_fifo(queue_url)));
    let entries = entries.collect::<std::result::Result<Vec<_>, _>>();
    let entries = entries.map_err(|error| LocalError::aws("SendMessageBatch", &error))?;
    let request = clients
        .sqs
        .send_message_batch()
        .queue_url(queue_url)
        .set_entries(Some(entries));
    let output = request.send().await;
    output.map_err(|error| LocalError::aws("SendMessageBatch", &error))
}

fn entry(
    index: usize,
    message: &Sample,
    is_fifo: bool,
) -> std::result::Result<SendMessageBatchRequestEntry, BuildError> {
    let entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(&message.body);
    if !is_fifo {
        return entry.build();
    }
    let deduplication_id = format!("{:032x}", rand::random::<u128>());
    // A malformed message is in its own group, so that it blocks no other. A group id has at most 128 characters;
    // notifications that share the first 128 are in one group. It contains no space (SQS API reference, SendMessage).
    let id = message.meaning.id().unwrap_or(&deduplication_id);
    let group_id: String = id.replace(' ', "_").chars().take(128).collect();
    entry
        .message_group_id(group_id)
        .message_deduplication_id(deduplication_id)
        .build()
}

fn index(id: &str, messages: &[Sample]) -> Option<usize> {
    id.parse().ok().filter(|index| *index < messages.len())
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, distr::Alphanumeric, rngs::StdRng};

    use super::*;

    fn meaning(body: &str) -> Meaning {
        super::meaning(body, &MessagePointers::default())
    }

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn reads_lines_byte_for_byte() {
        let file = file(b"{\"a\": 1.0}\r\n\n  \n{\"b\":2}");
        assert_eq!(read(file.path()).unwrap(), ["{\"a\": 1.0}", "{\"b\":2}"]);
    }

    #[test]
    fn names_lines_that_sqs_rejects_without_their_text() {
        for (text, reason) in [
            (&b"{}\ncanary\x01"[..], "SQS does not accept U+0001"),
            (&b"{}\ncanary\xff"[..], "it is not UTF-8"),
            (
                &[b"{}\n".to_vec(), vec![b'c'; MAX_MESSAGE_BYTES + 1]].concat()[..],
                "it has 1048577 bytes",
            ),
        ] {
            let error = read(file(text).path()).unwrap_err().to_string();
            assert!(
                error.contains("line 2") && error.contains(reason),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn determines_meaning_with_the_functions_parser() {
        let one = meaning(r#"{"notification_id":"a","payload":{"x":1,"y":2}}"#);
        let Meaning::Valid {
            content,
            payload,
            kind,
            ..
        } = &one
        else {
            panic!()
        };
        assert_eq!(
            (payload.as_str(), kind.as_str()),
            (r#"{"x":1,"y":2}"#, "notification")
        );
        let Meaning::Valid { content: same, .. } =
            meaning(r#"{"payload":{"y":2,"x":1},"notification_id":"a"}"#)
        else {
            panic!()
        };
        assert_eq!(*content, same);
        assert_eq!(meaning("no json"), Meaning::Malformed);
        let large = |payload: &str| {
            meaning(&format!(
                r#"{{"notification_id":"a","payload":"{payload}"}}"#
            ))
        };
        let repeated = large(&"x".repeat(900_000));
        assert!(matches!(repeated, Meaning::Valid { .. }));
        // Random letters and digits become a quarter smaller.
        let random = StdRng::seed_from_u64(1).sample_iter(Alphanumeric);
        let random: String = random.take(900_000).map(char::from).collect();
        assert_eq!(large(&random), Meaning::Malformed);
    }

    #[test]
    fn batches_respect_sqs_limits_and_order() {
        let message = |bytes: usize| Sample {
            body: "x".repeat(bytes),
            meaning: Meaning::Malformed,
        };
        let messages: Vec<Sample> = (0..25).map(|_| message(10)).collect();
        assert_eq!(
            batches(&messages)
                .iter()
                .map(|batch| batch.len())
                .collect::<Vec<_>>(),
            [10, 10, 5]
        );
        let messages = [
            message(MAX_MESSAGE_BYTES),
            message(1),
            message(MAX_MESSAGE_BYTES - 1),
            message(1),
        ];
        assert_eq!(
            batches(&messages)
                .iter()
                .map(|batch| batch.len())
                .collect::<Vec<_>>(),
            [1, 2, 1]
        );
        assert!(batches(&[]).is_empty());
    }
}
