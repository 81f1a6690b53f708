//! The messages behind the buttons of the console.

use onewrite::notification::MessagePointers;

use crate::messages;
use crate::sample::Sample;

/// The types of sample notifications, in turn.
const TYPES: [&str; 3] = ["refund", "invoice", "payout"];

/// Generates messages with ids that no other run uses.
#[derive(Debug)]
pub(super) struct Samples {
    prefix: String,
    generated: u64,
}

impl Samples {
    /// `run` names the run.
    pub(super) fn new(run: u16) -> Self {
        Self {
            prefix: format!("lab-{run:04x}"),
            generated: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.generated += 1;
        self.generated
    }

    /// A new notification. Its amount has 20 digits, which a floating-point number does not keep.
    pub(super) fn notification(&mut self, pointers: &MessagePointers) -> Sample {
        let number = self.next();
        let id = format!("{}-{number:06}", self.prefix);
        let kind = TYPES[usize::try_from(number).unwrap_or(0) % TYPES.len()];
        sample(body(&id, kind, amount(number)), pointers)
    }

    /// A message with a stored id and other content.
    pub(super) fn conflict(&mut self, id: &str, pointers: &MessagePointers) -> Sample {
        let number = self.next();
        // No notification has such a large amount.
        let amount = u128::from(number) + 90_000_000_000_000_000_000;
        sample(body(id, "refund", amount), pointers)
    }

    /// A message that `ingest` rejects.
    pub(super) fn poison(&mut self) -> Sample {
        let number = self.next();
        let prefix = &self.prefix;
        let body = match number % 4 {
            0 => format!(r#"{{"notification_id":"{prefix}-{number:06}","payload":"#),
            1 => format!(r#"{{"type":"refund","payload":{{"number":{number}}}}}"#),
            2 => format!(r#"{{"notification_id":"{prefix}-{number:06}","type":"refund"}}"#),
            _ => format!("plain text, number {number}"),
        };
        Sample {
            meaning: crate::oracle::Meaning::Malformed,
            body,
        }
    }
}

/// Determines the meaning of a message with the parser of `ingest`.
pub(super) fn sample(body: String, pointers: &MessagePointers) -> Sample {
    Sample {
        meaning: messages::meaning(&body, pointers),
        body,
    }
}

fn amount(number: u64) -> u128 {
    12_345_678_901_234_500_000 + u128::from(number)
}

fn body(id: &str, kind: &str, amount: u128) -> String {
    // Ids of a console's own messages need no escapes. A stored id may.
    let id = serde_json::Value::from(id);
    format!(
        r#"{{"notification_id":{id},"type":"{kind}","payload":{{"amount":{amount},"currency":"EUR"}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::oracle::Meaning;

    #[test]
    fn notifications_are_new_and_conflicts_have_other_content() {
        let pointers = MessagePointers::default();
        let mut samples = Samples::new(0xab);
        let mut contents = BTreeSet::new();
        for _ in 0..20 {
            match samples.notification(&pointers).meaning {
                Meaning::Valid { id, .. } => assert!(contents.insert(id)),
                Meaning::Malformed => panic!(),
            }
        }
        let first = samples.notification(&pointers);
        let other = samples.conflict(first.meaning.id().unwrap(), &pointers);
        let (
            Meaning::Valid { id, content, .. },
            Meaning::Valid {
                id: same,
                content: differs,
                ..
            },
        ) = (first.meaning, other.meaning)
        else {
            panic!()
        };
        assert_eq!(id, same);
        assert_ne!(content, differs);
        assert!(id.starts_with("lab-00ab-"), "{id}");
    }

    #[test]
    fn amounts_have_twenty_digits() {
        let mut samples = Samples::new(1);
        let body = samples.notification(&MessagePointers::default()).body;
        assert!(body.contains(r#""amount":12345678901234500001,"#), "{body}");
    }

    #[test]
    fn ingest_rejects_every_poison() {
        let mut samples = Samples::new(1);
        for _ in 0..8 {
            let body = samples.poison().body;
            let meaning = messages::meaning(&body, &MessagePointers::default());
            assert_eq!(meaning, Meaning::Malformed, "{body}");
        }
    }

    #[test]
    fn a_conflict_quotes_the_stored_id() {
        let mut samples = Samples::new(1);
        let sample = samples.conflict(r#"a"b\c"#, &MessagePointers::default());
        assert_eq!(sample.meaning.id().unwrap(), r#"a"b\c"#);
    }
}
