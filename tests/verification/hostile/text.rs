//! Notation for large or binary texts of the corpus, between `⟨` and `⟩`.
//!
//! `⟨C0 AF⟩` stands for these bytes, `⟨x × 3⟩` for `xxx`, and `⟨CC 81 × 3⟩` for these two bytes three times.

/// The bytes that a text of the corpus stands for.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split('⟨');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (inside, rest) = part.split_once('⟩').expect("⟨ must be closed by ⟩");
        let (unit, times) = inside.rsplit_once(" × ").unwrap_or((inside, "1"));
        let unit = hexadecimal(unit).unwrap_or_else(|| unit.as_bytes().to_vec());
        bytes.extend(unit.repeat(times.parse().expect("a number must follow ×")));
        bytes.extend(rest.as_bytes());
    }
    bytes
}

/// The text that a text of the corpus stands for.
pub(crate) fn string(text: &str) -> String {
    String::from_utf8(bytes(text)).expect("UTF-8")
}

fn hexadecimal(unit: &str) -> Option<Vec<u8>> {
    let digits = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    unit.split(' ')
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| digits(byte)))
        .collect()
}

#[test]
fn expands_bytes_and_repetitions_in_brackets() {
    assert_eq!(bytes("a⟨C0 AF⟩b"), b"a\xc0\xafb");
    assert_eq!(bytes("⟨[ × 3⟩1⟨] × 3⟩"), b"[[[1]]]");
    assert_eq!(bytes("⟨20 × 2⟩⟨9 × 2⟩⟨0, × 2⟩⟨x × 0⟩"), b"  990,0,");
}
