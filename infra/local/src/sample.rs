//! The built-in messages: new ones, and among them duplicates, conflicts and malformed ones, the same for a seed.
//!
//! What each message is, is known from how it was made, never from reading it: so the oracle's expectation does not
//! rest on the code under test.

use onewrite_event_sources::choices::Mixer;

use crate::oracle::Meaning;

/// How the ids of the built-in messages begin where nothing else is asked for.
pub const NAME: &str = "refund";

/// A message to send, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The SQS body.
    pub body: String,
    /// What must become of it.
    pub meaning: Meaning,
}

/// `count` messages of which a third, rounded down, are duplicates, conflicts and malformed ones in turn.
///
/// One that repeats an id comes anywhere after the first of its id, so that it meets it in one batch, in another batch
/// that runs at the same time, or later.
#[must_use]
pub fn messages(count: usize, seed: u64) -> Vec<Sample> {
    messages_named(NAME, count, seed)
}

/// The same with ids that begin with `name`, for a table that has other notifications.
#[must_use]
pub fn messages_named(name: &str, count: usize, seed: u64) -> Vec<Sample> {
    let id = |index: usize| format!("{name}-{index:06}");
    let odd = count / 3;
    let news = count - odd;
    let mut mixer = Mixer::new(seed);
    let mut messages: Vec<Sample> = (0..news)
        .map(|index| valid(id(index), index, 0, spelling(&mut mixer, &FIRST)))
        .collect();
    for number in 0..odd {
        let original = below(&mut mixer, news);
        let id = id(original);
        let after = position(&messages, &id) + 1;
        let (message, earliest) = match number % 3 {
            0 => (valid(id, original, 0, spelling(&mut mixer, &AGAIN)), after),
            1 => (
                valid(id, original, 1 + number, spelling(&mut mixer, &FIRST)),
                after,
            ),
            _ => (malformed(number, &id), 0),
        };
        let place = earliest + below(&mut mixer, messages.len() - earliest + 1);
        messages.insert(place, message);
    }
    messages
}

/// How a body is written. Two spellings of one content are the same notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Plain,
    Spaced,
    Reordered,
}

const FIRST: [Spelling; 2] = [Spelling::Plain, Spelling::Spaced];
const AGAIN: [Spelling; 3] = [Spelling::Plain, Spelling::Spaced, Spelling::Reordered];

fn spelling(mixer: &mut Mixer, among: &[Spelling]) -> Spelling {
    among[below(mixer, among.len())]
}

fn below(mixer: &mut Mixer, bound: usize) -> usize {
    usize::try_from(mixer.next() % (bound.max(1) as u64)).unwrap_or(0)
}

/// Where the first message of an id stands.
fn position(messages: &[Sample], id: &String) -> usize {
    messages
        .iter()
        .position(|message| message.meaning.id() == Some(id))
        .unwrap_or(0)
}

/// The amount is beyond 2^53 and its rate ends in a zero: both change if anything on the way reads them as numbers.
fn valid(id: String, index: usize, variant: usize, spelling: Spelling) -> Sample {
    let kind = "refund";
    let amount = 9_007_199_254_740_993 + u64::try_from(index + variant * 1_000_000).unwrap_or(0);
    let payload = match spelling {
        Spelling::Plain => {
            format!(r#"{{"amount":{amount},"rate":1.0,"note":"Müller & Söhne #{index}"}}"#)
        }
        Spelling::Spaced => format!(
            r#"{{ "amount" : {amount}, "rate" : 1.0, "note" : "Müller & Söhne #{index}" }}"#
        ),
        Spelling::Reordered => format!(
            r#"{{"note":"M\u00fcller & S\u00f6hne #{index}","rate":1.0,"amount":{amount}}}"#
        ),
    };
    let body = match spelling {
        Spelling::Plain | Spelling::Spaced => {
            format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":{payload}}}"#)
        }
        Spelling::Reordered => {
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
        2 => r#"{"notification_id":"two words","payload":{}}"#.to_owned(),
        3 => format!(r#"{{"notification_id":"{id}","payload":{{"amount":1,"amount":2}}}}"#),
        4 => format!(
            r#"{{"notification_id":"{id}","payload":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        ),
        5 => format!("plain text about {id}"),
        _ => format!(r#"{{"notification_id":"{id}"}}"#),
    };
    // Numbered outside the JSON value, where white space means nothing: a FIFO queue drops bodies it has seen.
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
    fn the_same_seed_makes_the_same_messages() {
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
    fn what_a_message_is_agrees_with_how_the_functions_read_it() {
        let mut fingerprints = BTreeMap::new();
        for message in messages(600, 3) {
            let read = MessagePointers::default().parse(message.body.as_bytes());
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
                    assert_eq!(*known, read.fingerprint, "one content, one fingerprint");
                }
            }
        }
        let mut distinct: Vec<String> = fingerprints.values().map(ToString::to_string).collect();
        let all = distinct.len();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), all, "another content, another fingerprint");
    }

    #[test]
    fn another_name_makes_other_ids_of_the_same_messages() {
        let (ours, theirs) = (messages(60, 1), messages_named("demo-7", 60, 1));
        for (our, their) in ours.iter().zip(theirs) {
            let renamed = our.meaning.id().map(|id| id.replace("refund", "demo-7"));
            assert_eq!(their.meaning.id(), renamed.as_ref());
        }
    }

    #[test]
    fn small_counts_work() {
        for count in 0..7 {
            assert_eq!(messages(count, 0).len(), count);
        }
    }
}
