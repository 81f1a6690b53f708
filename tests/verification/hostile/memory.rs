//! The memory that the parser needs for the worst body of each kind. A function with 128 MB must survive all of them.

use allocation_counter::measure;
use onewrite::{limits::MAX_MESSAGE_BYTES, notification::MessagePointers};

/// Most memory at any time while a message is parsed. `ingest` parses one message at a time, whatever `MAX_IN_FLIGHT` is. 128 MB
/// less the function itself (25 MB), the largest event (6 MB) and two copies of it leave three times as much.
const MAX_BYTES: u64 = 24 * 1024 * 1024;

/// The bodies: a kind of value that fills a message of the largest size.
fn bodies() -> Vec<(&'static str, String)> {
    let filled = |unit: &str, begin: &str, end: &str| {
        let begin = format!("{{\"notification_id\":\"n\",\"payload\":{begin}");
        let end = format!("{end}}}");
        let times = (MAX_MESSAGE_BYTES - begin.len() - end.len()) / unit.len();
        format!("{begin}{}{end}", unit.repeat(times))
    };
    let (open, close) = ("[".repeat(62), "]".repeat(62));
    let deep = format!("{open}{close},");
    let keys: String = (0..MAX_MESSAGE_BYTES / 9)
        .map(|key| format!("\"{key:x}\":0,"))
        .collect();
    let keys = &keys[..MAX_MESSAGE_BYTES - 50];
    let (keys, _) = keys.rsplit_once(',').unwrap();
    let few = keys.split(',').take(1_000).collect::<Vec<_>>().join(",");
    vec![
        ("one string", filled("x", "\"", "\"")),
        ("one string of escapes", filled("\\n", "\"", "\"")),
        ("one-digit numbers", filled("0,", "[", "0]")),
        ("empty strings", filled("\"\",", "[", "0]")),
        ("one-escape strings", filled("\"\\n\",", "[", "0]")),
        ("empty arrays", filled("[],", "[", "0]")),
        ("empty objects", filled("{},", "[", "0]")),
        ("objects of one member", filled("{\"\":0},", "[", "0]")),
        ("arrays of 62 levels", filled(&deep, "[", "0]")),
        (
            "one object",
            format!("{{\"notification_id\":\"n\",\"payload\":{{{keys}}}}}"),
        ),
        ("opening brackets", filled("[", "", "")),
        ("opening objects", filled("{\"\":", "", "")),
        ("one number", filled("7", "", "")),
        ("one key", filled("k", "{\"", "\":0}")),
        ("backslashes", filled("\\", "\"", "\"")),
        ("white space", filled(" ", "", "1")),
        ("characters of four bytes", filled("😀", "\"", "\"")),
        (
            "numbers before other members",
            filled("0,", "[", &format!("0],{few}")),
        ),
    ]
}

#[test]
fn parses_the_worst_body_of_each_kind_in_bounded_memory() {
    for (kind, body) in bodies() {
        let mut outcome = "Created";
        let memory = measure(|| {
            outcome = match MessagePointers::default().parse(&body) {
                Ok(_) => "Created",
                Err(rejection) => rejection.name(),
            };
        });
        println!(
            "{:>6} KiB in {:>6} allocations for {:>4} KiB of {kind} ({outcome})",
            memory.bytes_max / 1024,
            memory.count_total,
            body.len() / 1024
        );
        assert!(
            memory.bytes_max <= MAX_BYTES,
            "{kind}: {}",
            memory.bytes_max
        );
        assert!(
            body.len() <= MAX_MESSAGE_BYTES && body.len() > MAX_MESSAGE_BYTES / 2,
            "{kind}"
        );
    }
}
