//! `onewrite try-message`: what `ingest` would do with a sample message. It calls the code of `ingest` and needs no stack.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, InvalidItem, NotificationItem, PayloadCompression, expiry},
    limits::MAX_MESSAGE_BYTES,
    notification::{IdPointers, MessagePointers, Pointer, Rejection, Status},
};
use onewrite_cost::billing::write_units;
use serde::Serialize;

use crate::{
    error::{FAILED, OperatorError},
    format::shell_quote,
    terminal::{Output, json, print},
};

/// As long as the id of each SQS message, which the item stores.
const MESSAGE_ID: &str = "059f36b4-87a3-44ab-83d2-661975830a7d";

/// The name that CloudFormation gives to the function `complete` of a stack with a short name.
const FUNCTION_NAME: &str = "onewrite-CompleteFunction-1JXQ6N0Z3K5A";

/// The file name that means standard input.
const STANDARD_INPUT: &str = "-";

#[derive(Debug, Clone, Args)]
pub struct TryMessageArguments {
    /// File with the body of one SQS message; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File with a second body, for example of a retry, to compare with the first.
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
    #[command(flatten)]
    pointers: PointerArguments,
}

/// The settings of `ingest`. Names and defaults are those of its environment variables.
#[derive(Debug, Clone, Args)]
struct PointerArguments {
    /// JSON pointer to the message in the body: MessagePointer of the template. Default: the body is the message.
    #[arg(long, value_name = "POINTER", hide_default_value = true, default_value = MessagePointers::DEFAULT_MESSAGE)]
    message_pointer: Pointer,
    /// One to four JSON pointers to the id, separated by commas: NotificationIdPointer of the template.
    #[arg(long, value_name = "POINTERS", default_value = MessagePointers::DEFAULT_ID)]
    notification_id_pointer: IdPointers,
    /// JSON pointer to the type: NotificationTypePointer of the template.
    #[arg(long, value_name = "POINTER", default_value = MessagePointers::DEFAULT_TYPE)]
    notification_type_pointer: Pointer,
    /// JSON pointer to the payload: PayloadPointer of the template. An empty pointer selects the whole message.
    #[arg(long, value_name = "POINTER", default_value = MessagePointers::DEFAULT_PAYLOAD)]
    payload_pointer: Pointer,
    /// Whether large payloads are stored compressed, auto or never: PayloadCompression of the template.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    payload_compression: PayloadCompression,
}

impl From<&PointerArguments> for MessagePointers {
    fn from(arguments: &PointerArguments) -> Self {
        Self {
            message: arguments.message_pointer.clone(),
            id: arguments.notification_id_pointer.clone(),
            kind: arguments.notification_type_pointer.clone(),
            payload: arguments.payload_pointer.clone(),
        }
    }
}

/// What `ingest` does with one message.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Verdict {
    Accepted(Accepted),
    Rejected(Rejected),
}

/// A message that becomes a notification. Its payload is never shown.
#[derive(Debug, PartialEq, Serialize)]
struct Accepted {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    payload_bytes: usize,
    /// The bytes of the payload in the table, if it is compressed there.
    compressed_bytes: Option<usize>,
    fingerprint: String,
    event_types: [String; 2],
    init: Write,
    done: Write,
}

/// One write of the item, without enrichment and trace.
#[derive(Debug, PartialEq, Serialize)]
struct Write {
    item_bytes: usize,
    write_units: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Rejected {
    rejection: &'static str,
    reason: String,
    /// Where the reason is, if a pointer decides that.
    place: Option<String>,
}

/// What a second message is to the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Comparison {
    SameNotification,
    Conflict,
    TwoNotifications,
}

#[derive(Debug, Serialize)]
struct Attempt {
    file: String,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
struct Report {
    messages: Vec<Attempt>,
    comparison: Option<Comparison>,
}

impl TryMessageArguments {
    /// Prints what `ingest` would do with the messages.
    ///
    /// # Errors
    /// [`OperatorError::Message`], if a file is not the body of a message.
    pub fn run(&self, output: Output) -> Result<ExitCode, OperatorError> {
        let standard_input = Path::new(STANDARD_INPUT);
        if self.file == standard_input && self.other.as_deref() == Some(standard_input) {
            return Err(OperatorError::Message {
                file: STANDARD_INPUT.to_owned(),
                reason: "standard input has one message: name a file for the other".to_owned(),
            });
        }
        let pointers = MessagePointers::from(&self.pointers);
        let compression = self.pointers.payload_compression;
        let mut messages = Vec::new();
        for file in std::iter::once(&self.file).chain(&self.other) {
            messages.push(Attempt {
                file: file.display().to_string(),
                verdict: Verdict::new(&read_body(file)?, &pointers, compression),
            });
        }
        let report = Report {
            comparison: compare(&messages),
            messages,
        };
        print(&match output {
            Output::Table => report.format(),
            Output::Json => json(&report),
        });
        Ok(if report.has_dead_letter() {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn read_body(file: &Path) -> Result<String, OperatorError> {
    let error = |reason: String| OperatorError::Message {
        file: file.display().to_string(),
        reason,
    };
    let body = if file == Path::new(STANDARD_INPUT) {
        let mut body = String::new();
        let read = std::io::stdin().read_to_string(&mut body);
        read.map(|_| body)
    } else {
        std::fs::read_to_string(file)
    };
    let body = body.map_err(|reason| error(reason.to_string()))?;
    if body.len() > MAX_MESSAGE_BYTES {
        let bytes = body.len();
        return Err(error(format!(
            "{bytes} bytes, and SQS accepts at most {MAX_MESSAGE_BYTES}"
        )));
    }
    Ok(body)
}

impl Verdict {
    fn new(body: &str, pointers: &MessagePointers, compression: PayloadCompression) -> Self {
        match Accepted::new(body, pointers, compression) {
            Ok(accepted) => Self::Accepted(accepted),
            Err(rejection) => Self::Rejected(Rejected {
                rejection: rejection.name(),
                reason: rejection.to_string(),
                place: place(rejection, pointers),
            }),
        }
    }
}

impl Accepted {
    fn new(
        body: &str,
        pointers: &MessagePointers,
        compression: PayloadCompression,
    ) -> Result<Self, Rejection> {
        let notification = pointers.parse(body)?;
        let now = Timestamp::now();
        let (enrichment, message_id) = (Enrichment::default(), MESSAGE_ID.to_owned());
        let init = NotificationItem::new(
            notification,
            &enrichment,
            message_id,
            None,
            now,
            compression,
        );
        let init = init.map_err(|error| match error {
            InvalidItem::Rejected(rejection) | InvalidItem::Enrichment(rejection) => rejection,
        })?;
        let mut done = init.clone();
        done.status = Status::Done;
        done.version = Status::Done.version();
        done.expires_at = Some(expiry(now, 0));
        done.settled_by = FUNCTION_NAME.parse().ok();
        let notification = &init.notification;
        Ok(Self {
            id: notification.id.to_string(),
            kind: notification.kind.to_string(),
            payload_bytes: notification.payload.as_str().len(),
            compressed_bytes: init.deflated.payload.as_ref().map(Vec::len),
            fingerprint: notification.fingerprint.to_string(),
            event_types: [&init, &done].map(|item| NotificationEvent::from_item(item).event_type()),
            init: Write::new(&init),
            done: Write::new(&done),
        })
    }
}

impl Write {
    fn new(item: &NotificationItem) -> Self {
        let item_bytes = item.bytes();
        Self {
            item_bytes,
            write_units: write_units(item_bytes as f64),
        }
    }
}

/// The pointer whose value is the reason for a rejection.
fn place(rejection: Rejection, pointers: &MessagePointers) -> Option<String> {
    let option = |name: &str, pointer: &dyn ToString| {
        Some(format!("--{name} {}", shell_quote(&pointer.to_string())))
    };
    match rejection {
        Rejection::MissingMessage => option("message-pointer", &pointers.message),
        Rejection::MissingId
        | Rejection::IdNotAString
        | Rejection::IdNotAnInteger
        | Rejection::InvalidId(_) => option("notification-id-pointer", &pointers.id),
        Rejection::TypeNotAString | Rejection::InvalidType(_) => {
            option("notification-type-pointer", &pointers.kind)
        }
        Rejection::MissingPayload => option("payload-pointer", &pointers.payload),
        Rejection::ItemTooLarge { .. } | Rejection::EventTooLarge { .. } => None,
        // The rules of JSON apply to both texts.
        _ if !pointers.message.is_empty() => {
            Some(format!("the body, or the message at {}", pointers.message))
        }
        _ => None,
    }
}

fn compare(messages: &[Attempt]) -> Option<Comparison> {
    let [first, second] = messages else {
        return None;
    };
    match (&first.verdict, &second.verdict) {
        (Verdict::Accepted(first), Verdict::Accepted(second)) => Some(if first.id != second.id {
            Comparison::TwoNotifications
        } else if first.fingerprint == second.fingerprint {
            Comparison::SameNotification
        } else {
            Comparison::Conflict
        }),
        _ => None,
    }
}

impl Report {
    /// Whether a message would become a dead letter.
    fn has_dead_letter(&self) -> bool {
        let is_rejected = |message: &Attempt| matches!(message.verdict, Verdict::Rejected(_));
        self.messages.iter().any(is_rejected) || self.comparison == Some(Comparison::Conflict)
    }

    fn format(&self) -> String {
        let mut blocks = Vec::new();
        for Attempt { file, verdict } in &self.messages {
            let mut rows = verdict.rows();
            if self.messages.len() > 1 {
                rows.insert(0, ("file", file.clone()));
            }
            blocks.push(rows);
        }
        blocks.extend(self.comparison.map(|comparison| {
            let text = comparison.explanation().to_owned();
            vec![("together", text)]
        }));
        let format_row = |(name, value): &(&str, String)| format!("{name:<12} {value}\n");
        let format_block = |rows: &Vec<_>| rows.iter().map(format_row).collect::<String>();
        let blocks: Vec<String> = blocks.iter().map(format_block).collect();
        blocks.join("\n")
    }
}

impl Verdict {
    fn rows(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Accepted(Accepted {
                id,
                kind,
                payload_bytes,
                compressed_bytes,
                fingerprint,
                event_types,
                init,
                done,
            }) => {
                let (init_bytes, done_bytes) = (init.item_bytes, done.item_bytes);
                let (init_units, done_units) = (init.write_units, done.write_units);
                let mut payload = format!("{payload_bytes} bytes");
                if let Some(bytes) = compressed_bytes {
                    payload += &format!(", stored as {bytes}");
                }
                vec![
                    ("result", "accepted".to_owned()),
                    ("id", id.clone()),
                    ("type", kind.clone()),
                    ("payload", payload),
                    ("fingerprint", fingerprint.clone()),
                    ("events", event_types.join(", ")),
                    (
                        "item",
                        format!("{init_bytes} bytes in INIT, {done_bytes} in DONE"),
                    ),
                    (
                        "write units",
                        format!("{init_units} for INIT, {done_units} for DONE"),
                    ),
                ]
            }
            Self::Rejected(Rejected {
                rejection,
                reason,
                place,
            }) => {
                let mut rows = vec![
                    ("result", format!("rejected: {rejection}")),
                    ("reason", reason.clone()),
                ];
                rows.extend(place.clone().map(|place| ("where", place)));
                rows
            }
        }
    }
}

impl Comparison {
    fn explanation(self) -> &'static str {
        match self {
            Self::SameNotification => {
                "the same notification: ingest acknowledges the second message as a duplicate"
            }
            Self::Conflict => {
                "a conflict: same id, but another type or payload; the second message becomes a dead letter"
            }
            Self::TwoNotifications => "two notifications: the ids are different",
        }
    }
}

#[cfg(test)]
mod tests;
