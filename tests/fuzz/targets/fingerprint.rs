//! Two payloads have the same fingerprint if and only if they are the same value, in any encoding.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use onewrite::notification::{Fingerprint, MessagePointers, Payload};
use onewrite_fuzz::Json;

fn fingerprint(payload: &str) -> Fingerprint {
    let body = format!(r#"{{"notification_id":"n","payload":{payload}}}"#);
    let notification = MessagePointers::default().parse(&body);
    notification.expect("a message").fingerprint
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let one: Json = u.arbitrary()?;
    let other = if u.arbitrary()? {
        one.clone()
    } else {
        u.arbitrary()?
    };
    let (mut text, mut other_text) = (String::new(), String::new());
    one.spell(u, &mut text)?;
    other.spell(u, &mut other_text)?;
    let same = fingerprint(&text) == fingerprint(&other_text);
    assert_eq!(same, one == other, "{text} and {other_text}");
    // The payload is kept byte for byte.
    assert_eq!(Payload::parse(text.as_str()).expect("JSON").as_str(), text);
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Ignore inputs with too few bytes.
    let _ = run(&mut Unstructured::new(bytes));
});
