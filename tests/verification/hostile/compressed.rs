//! Hostile compressed attributes of table changes, handled by `forward`: deflate streams that are broken, too large, or not
//! expected.

use std::io::Write as _;

use allocation_counter::measure;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use onewrite::{
    limits::{MAX_ENRICHMENT_BYTES, MAX_MESSAGE_BYTES},
    stream::{EventStream, PutResult, Record, StreamError},
};
use serde_json::{Value, json};

use crate::{
    check::{self, equal},
    corpus::Change,
    forward::{check_published, check_unreadable, good, handle},
};

/// A small payload, which is never stored compressed. `forward` reads it all the same.
const PAYLOAD: &str = r#"{"n": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]}"#;
/// Most memory of `forward` at any time, beyond the event. A window of events has 8 MiB, and so has its call.
const MAX_BYTES: u64 = 24 * 1024 * 1024;

fn deflate(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// JSON of a text with this many bytes, compressed.
fn deflated_text(bytes: usize) -> Vec<u8> {
    deflate(format!("\"{}\"", "x".repeat(bytes - 2)))
}

/// A name, the changed attributes of the new image, and the required outcome.
type Case = (String, Value, &'static str);

fn binary(bytes: &[u8]) -> Value {
    json!({"B": aws_smithy_types::base64::encode(bytes)})
}

fn payload(case: &str, bytes: &[u8], outcome: &'static str) -> Case {
    (case.to_owned(), json!({"payload": binary(bytes)}), outcome)
}

fn streams() -> Vec<Case> {
    let stream = deflate(PAYLOAD);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(PAYLOAD.as_bytes()).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(PAYLOAD.as_bytes()).unwrap();
    let mut cases = vec![
        payload("a payload", &stream, "Forwarded"),
        payload("a text", PAYLOAD.as_bytes(), "Unreadable"),
        payload("no bytes", b"", "Unreadable"),
        payload("a gzip file", &gzip.finish().unwrap(), "Unreadable"),
        payload("a zlib stream", &zlib.finish().unwrap(), "Unreadable"),
        payload(
            "a byte behind the stream",
            &[&stream[..], b"x"].concat(),
            "Unreadable",
        ),
        payload(
            "two streams",
            &[&stream[..], &stream[..]].concat(),
            "Unreadable",
        ),
        payload("a stream in a stream", &deflate(&stream), "Unreadable"),
        payload("no text", &deflate(""), "Unreadable"),
        payload("two values", &deflate("{} {}"), "Unreadable"),
        payload("a key twice", &deflate(r#"{"a":1,"a":2}"#), "Unreadable"),
        payload(
            "65 levels",
            &deflate(["[".repeat(65), "]".repeat(65)].concat()),
            "Unreadable",
        ),
        payload(
            "64 levels",
            &deflate(["[".repeat(64), "]".repeat(64)].concat()),
            "Forwarded",
        ),
        payload(
            "bytes that are not UTF-8",
            &deflate(b"\"\xff\""),
            "Unreadable",
        ),
        payload("a block of an unknown kind", &[0b111], "Unreadable"),
        payload(
            "a distance before the text",
            &[0x63, 0x00, 0x02, 0xff],
            "Unreadable",
        ),
        payload(
            "empty blocks without end",
            &[0, 0, 0, 0xff, 0xff].repeat(1_000),
            "Unreadable",
        ),
    ];
    cases.extend((0..stream.len()).map(|length| {
        payload(
            &format!("the first {length} bytes"),
            &stream[..length],
            "Unreadable",
        )
    }));
    cases
}

fn sizes() -> Vec<Case> {
    let enrichment = |case: &str, bytes: usize, outcome| {
        let text = deflate(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)));
        (
            case.to_owned(),
            json!({"enrichment": binary(&text)}),
            outcome,
        )
    };
    vec![
        payload(
            "the largest payload",
            &deflated_text(MAX_MESSAGE_BYTES),
            "Forwarded",
        ),
        payload(
            "a byte more",
            &deflated_text(MAX_MESSAGE_BYTES + 1),
            "Unreadable",
        ),
        payload(
            "20 KB that become 20 MB",
            &deflated_text(20_000_000),
            "Unreadable",
        ),
        enrichment("the largest enrichment", MAX_ENRICHMENT_BYTES, "Forwarded"),
        enrichment(
            "an enrichment with a byte more",
            MAX_ENRICHMENT_BYTES + 1,
            "Unreadable",
        ),
        enrichment("an enrichment of 20 MB", 20_000_000, "Unreadable"),
    ]
}

fn types() -> Vec<Case> {
    let attribute = |name: &str, bytes: &[u8], outcome| {
        let case = format!("{name} of {} bytes", bytes.len());
        (case, json!({name: binary(bytes)}), outcome)
    };
    let mut cases: Vec<Case> = [0, 31, 33, 64]
        .map(|length| attribute("fingerprint", &vec![7; length], "Unreadable"))
        .into();
    cases.push(attribute("fingerprint", &[7; 32], "Forwarded"));
    let texts = [
        "notification_id",
        "status",
        "type",
        "created_at",
        "updated_at",
    ];
    let more = [
        "source_message_id",
        "traceparent",
        "version",
        "redrives",
        "expires_at",
    ];
    let names = texts.into_iter().chain(more);
    cases.extend(names.map(|name| attribute(name, b"INIT", "Unreadable")));
    // Only for reading by people.
    let names = ["refusal", "settled_by", "note"].into_iter();
    cases.extend(names.map(|name| attribute(name, b"INIT", "Forwarded")));
    cases
}

#[test]
fn handles_every_compressed_attribute() {
    let cases = [streams(), sizes(), types()].concat().into_iter();
    let cases = cases.map(|case| (case.0.clone(), case));
    check::all(cases.collect(), check_case);
}

/// The change of the case, and a readable one behind it.
async fn check_case((_, attributes, outcome): &Case) -> Result<(), String> {
    let records = [
        (change(0, attributes), *outcome),
        (good(1, Change::Insert), "Forwarded"),
    ];
    let json: Vec<&Value> = records.iter().map(|(json, _)| json).collect();
    let stream = onewrite_testing::InMemoryStream::new(1);
    let answer = handle(
        stream.clone(),
        json!({"Records": json}).to_string().as_bytes(),
    )
    .await;
    equal("the answer", answer, Ok(None))?;
    check_unreadable(&records)?;
    check_published(&records, &stream)
}

fn change(place: usize, attributes: &Value) -> Value {
    let mut change = good(place, Change::Insert);
    for (name, value) in attributes.as_object().unwrap() {
        change["dynamodb"]["NewImage"][name] = value.clone();
    }
    change
}

#[test]
fn a_stream_with_any_wrong_byte_is_read_without_a_panic() {
    let stream = deflate(PAYLOAD);
    let wrong = (0..stream.len()).flat_map(|place| {
        let stream = stream.clone();
        [0x01, 0x80, 0xff].map(move |mask| {
            let mut wrong = stream.clone();
            wrong[place] ^= mask;
            (format!("byte {place} changed by {mask}"), wrong)
        })
    });
    check::all(wrong.collect(), async |wrong: &Vec<u8>| {
        let change = change(0, &json!({"payload": binary(wrong)}));
        let stream = onewrite_testing::InMemoryStream::new(1);
        let event = json!({"Records": [change, good(1, Change::Insert)]}).to_string();
        equal(
            "the answer",
            handle(stream.clone(), event.as_bytes()).await,
            Ok(None),
        )?;
        let published = stream.records().len();
        equal(
            "whether the good one is published",
            published == 1 || published == 2,
            true,
        )
    });
}

/// Confirms everything and keeps nothing.
struct Forgetful;

impl EventStream for Forgetful {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let confirmed = |_| PutResult::Confirmed {
            shard_id: String::new(),
            sequence_number: String::new(),
        };
        Ok(records.iter().map(confirmed).collect())
    }
}

#[test]
fn a_batch_of_tiny_items_with_large_payloads_needs_bounded_memory() {
    let bombs = [
        ("of the largest size", deflated_text(MAX_MESSAGE_BYTES)),
        ("above it", deflated_text(20_000_000)),
    ];
    for (kind, bomb) in bombs {
        let records: Vec<Value> = (0..100)
            .map(|place| change(place, &json!({"payload": binary(&bomb)})))
            .collect();
        let event = json!({"Records": records}).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let mut answer = Err("not called");
        let memory = measure(|| answer = runtime.block_on(handle(Forgetful, event.as_bytes())));
        assert_eq!(answer, Ok(None), "{kind}");
        let beyond = memory.bytes_max.saturating_sub(2 * event.len() as u64);
        println!("{:>6} KiB for 100 payloads {kind}", beyond / 1024);
        assert!(beyond <= MAX_BYTES, "{kind}: {beyond}");
    }
}
