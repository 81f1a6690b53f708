//! Generates sample messages: new ones, duplicates, conflicts and malformed ones. The same seed gives the same messages.
//!
//! The meaning of each message is known from how it was generated, not from parsing it. So the oracle's expectation does
//! not depend on the code under test.

use onewrite_event_sources::choices::Mixer;

use crate::oracle::Meaning;

/// The default prefix of the sample messages' ids.
pub const ID_PREFIX: &str = "refund";

/// A message to send and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The SQS body.
    pub body: String,
    pub meaning: Meaning,
}

/// Generates `count` messages. A third of them, rounded down, are duplicates, conflicts and malformed ones in turn.
///
/// A message that repeats an id is placed anywhere after the first one with the id. So it can be in the same batch, in a
/// concurrent batch, or later.
#[must_use]
pub fn messages(count: usize, seed: u64) -> Vec<Sample> {
    messages_with_prefix(ID_PREFIX, count, seed)
}

/// Generates the same messages with ids that begin with `prefix`, for a table with other notifications.
#[must_use]
pub fn messages_with_prefix(prefix: &str, count: usize, seed: u64) -> Vec<Sample> {
    let id = |index: usize| format!("{prefix}-{index:06}");
    let special_count = count / 3;
    let new_count = count - special_count;
    let mut mixer = Mixer::new(seed);
    let mut messages: Vec<Sample> = (0..new_count)
        .map(|index| valid(id(index), index, 0, format(&mut mixer, &FORMATS)))
        .collect();
    for number in 0..special_count {
        let original = below(&mut mixer, new_count);
        let id = id(original);
        let after = position(&messages, &id) + 1;
        let (message, earliest) = match number % 3 {
            0 => (
                valid(id, original, 0, format(&mut mixer, &DUPLICATE_FORMATS)),
                after,
            ),
            1 => (
                valid(id, original, 1 + number, format(&mut mixer, &FORMATS)),
                after,
            ),
            _ => (malformed(number, &id), 0),
        };
        let place = earliest + below(&mut mixer, messages.len() - earliest + 1);
        messages.insert(place, message);
    }
    messages
}

/// The JSON format of a body. The same content in two formats is the same notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Spaced,
    Reordered,
}

const FORMATS: [Format; 2] = [Format::Plain, Format::Spaced];
const DUPLICATE_FORMATS: [Format; 3] = [Format::Plain, Format::Spaced, Format::Reordered];

fn format(mixer: &mut Mixer, among: &[Format]) -> Format {
    among[below(mixer, among.len())]
}

fn below(mixer: &mut Mixer, bound: usize) -> usize {
    usize::try_from(mixer.next() % (bound.max(1) as u64)).unwrap_or(0)
}

/// The index of the first message with an id.
fn position(messages: &[Sample], id: &String) -> usize {
    messages
        .iter()
        .position(|message| message.meaning.id() == Some(id))
        .unwrap_or(0)
}

/// The amount exceeds 2^53 and the rate ends in a zero: both change if any component parses them as numbers.
fn valid(id: String, index: usize, variant: usize, format: Format) -> Sample {
    let kind = "refund";
    let amount = 9_007_199_254_740_993 + u64::try_from(index + variant * 1_000_000).unwrap_or(0);
    let payload = match format {
        Format::Plain => {
            format!(r#"{{"amount":{amount},"rate":1.0,"note":"Müller & Söhne #{index}"}}"#)
        }
        Format::Spaced => format!(
            r#"{{ "amount" : {amount}, "rate" : 1.0, "note" : "Müller & Söhne #{index}" }}"#
        ),
        Format::Reordered => format!(
            r#"{{"note":"M\u00fcller & S\u00f6hne #{index}","rate":1.0,"amount":{amount}}}"#
        ),
    };
    let body = match format {
        Format::Plain | Format::Spaced => {
            format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":{payload}}}"#)
        }
        Format::Reordered => {
            format!(r#"{{"payload":{payload}, "type":"{kind}", "notification_id":"{id}"}}"#)
        }
    };
    let content = format!("variant {variant}");
    Sample {
        body,
        meaning: Meaning::Valid {
            id,
            kind: kind.into(),
            content,
            payload,
        },
    }
}

fn malformed(number: usize, id: &str) -> Sample {
    let body = match number / 3 % 7 {
        0 => format!(r#"{{"notification_id":"{id}","payload":"#),
        1 => r#"{"type":"refund","payload":{"amount":1}}"#.to_owned(),
        2 => r#"{"notification_id":" space first","payload":{}}"#.to_owned(),
        3 => format!(r#"{{"notification_id":"{id}","payload":{{"amount":1,"amount":2}}}}"#),
        4 => format!(
            r#"{{"notification_id":"{id}","payload":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        ),
        5 => format!("plain text about {id}"),
        _ => format!(r#"{{"notification_id":"{id}"}}"#),
    };
    // Trailing white space makes each body unique, because a FIFO queue drops bodies that it has already received.
    Sample {
        body: body + &" ".repeat(number / 21 + 1),
        meaning: Meaning::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onewrite::notification::MessagePointers;

    use super::*;

    #[test]
    fn same_seed_generates_same_messages() {
        assert_eq!(messages(100, 7), messages(100, 7));
        assert_ne!(messages(100, 7), messages(100, 8));
    }

    #[test]
    fn a_third_are_duplicates_conflicts_or_malformed() {
        let sample = messages(999, 1);
        assert_eq!(sample.len(), 999);
        let malformed = sample
            .iter()
            .filter(|message| message.meaning == Meaning::Malformed)
            .count();
        let ids: std::collections::BTreeSet<_> = sample
            .iter()
            .filter_map(|message| message.meaning.id())
            .collect();
        assert_eq!((ids.len(), malformed), (666, 111));
    }

    #[test]
    fn meaning_agrees_with_the_functions_parser() {
        let mut fingerprints = BTreeMap::new();
        for message in messages(600, 3) {
            let read = MessagePointers::default().parse(&message.body);
            match message.meaning {
                Meaning::Malformed => assert!(read.is_err(), "{}", message.body),
                Meaning::Valid {
                    id,
                    content,
                    payload,
                    ..
                } => {
                    let read = read.unwrap();
                    assert_eq!(
                        (read.id.as_str(), read.payload.as_str()),
                        (id.as_str(), payload.as_str())
                    );
                    let known = fingerprints
                        .entry((id, content))
                        .or_insert(read.fingerprint);
                    assert_eq!(
                        *known, read.fingerprint,
                        "same content, different fingerprint"
                    );
                }
            }
        }
        let mut distinct: Vec<String> = fingerprints.values().map(ToString::to_string).collect();
        let all = distinct.len();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), all, "different content, same fingerprint");
    }

    #[test]
    fn prefix_changes_only_the_ids() {
        let (ours, theirs) = (messages(60, 1), messages_with_prefix("demo-7", 60, 1));
        for (our, their) in ours.iter().zip(theirs) {
            let renamed = our.meaning.id().map(|id| id.replace("refund", "demo-7"));
            assert_eq!(their.meaning.id(), renamed.as_ref());
        }
    }

    #[test]
    fn generates_exactly_the_requested_count() {
        for count in 0..7 {
            assert_eq!(messages(count, 0).len(), count);
        }
    }
}
