//! Synthetic refunds: JSON of a given size whose ids, names, dates and amounts are random, as in real notifications.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

const FIRST_NAMES: [&str; 12] = [
    "Amelia",
    "Bogdan",
    "Chiara",
    "Dmitri",
    "Emeka",
    "Fatima",
    "Günther",
    "Hiroshi",
    "Ingrid",
    "Joaquín",
    "Katarzyna",
    "Lucas",
];
const LAST_NAMES: [&str; 12] = [
    "Almeida",
    "Bernard",
    "Castillo",
    "Dvořák",
    "Eriksson",
    "Ferrari",
    "Gonzalez",
    "Hoffmann",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
];
const REASONS: [&str; 5] = [
    "damaged",
    "not_delivered",
    "wrong_item",
    "changed_mind",
    "duplicate_charge",
];
const PRODUCTS: [&str; 10] = [
    "espresso machine",
    "desk lamp",
    "running shoes",
    "phone case",
    "water bottle",
    "board game",
    "rain jacket",
    "bookshelf",
    "headphones",
    "kitchen scale",
];
const WORDS: [&str; 24] = [
    "the", "parcel", "arrived", "without", "its", "cable", "customer", "called", "twice", "about",
    "a", "refund", "for", "damaged", "box", "which", "courier", "left", "outside", "during",
    "rain", "please", "check", "again",
];

/// A refund as JSON of exactly this many bytes: ids, names, dates and amounts are random. It has as many lines as fit; words
/// of a note fill the rest.
pub(crate) fn refund(bytes: usize, random: &mut StdRng) -> String {
    /// Characters that end the object.
    const END: &str = r#""}"#;
    const NOTE: &str = r#","note":""#;
    let mut text = format!(r#"{{"id":"{}""#, uuid(random));
    let room = |text: &str| bytes.saturating_sub(text.len() + NOTE.len() + END.len());
    for field in fields(random) {
        if field.len() <= room(&text) {
            text.push_str(&field);
        }
    }
    let mut lines = Vec::new();
    let mut length = r#","lines":[]"#.len();
    loop {
        let line = line(random);
        length += line.len() + 1;
        if length > room(&text) {
            break;
        }
        lines.push(line);
    }
    if !lines.is_empty() {
        text.push_str(&format!(r#","lines":[{}]"#, lines.join(",")));
    }
    let length = room(&text);
    let mut note = String::new();
    while note.len() < length {
        note.push_str(WORDS.choose(random).unwrap_or(&"a"));
        note.push(' ');
    }
    note.truncate(length);
    text + NOTE + &note + END
}

fn fields(random: &mut StdRng) -> [String; 6] {
    let (first, last) = (choose(&FIRST_NAMES, random), choose(&LAST_NAMES, random));
    let customer: u64 = random.random_range(100_000..10_000_000);
    let cents: u64 = random.random_range(100..100_000);
    [
        format!(r#","requested_at":"{}""#, time(random)),
        format!(r#","amount":{{"currency":"EUR","cents":{cents}}}"#),
        format!(r#","customer":{{"number":{customer},"name":"{first} {last}"}}"#),
        format!(r#","order_id":"{}""#, uuid(random)),
        format!(r#","reason":"{}""#, choose(&REASONS, random)),
        format!(
            r#","approved_at":"{}","approved_by":"{}""#,
            time(random),
            uuid(random)
        ),
    ]
}

fn line(random: &mut StdRng) -> String {
    format!(
        r#"{{"line_id":"{}","product":"{}","quantity":{},"cents":{},"shipped_at":"{}"}}"#,
        uuid(random),
        choose(&PRODUCTS, random),
        random.random_range(1..5_u8),
        random.random_range(100..50_000_u32),
        time(random),
    )
}

fn choose(words: &[&'static str], random: &mut StdRng) -> &'static str {
    words.choose(random).copied().unwrap_or_default()
}

fn uuid(random: &mut StdRng) -> String {
    let bits: u128 = random.random();
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn time(random: &mut StdRng) -> String {
    let millis = random.random_range(1_790_000_000_000..1_795_000_000_000_i64);
    jiff::Timestamp::from_millisecond(millis).map_or(String::new(), |time| time.to_string())
}
