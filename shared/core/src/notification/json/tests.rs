use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_JSON_DEPTH, MAX_KEY_BYTES, MAX_NUMBER_CHARS};

/// The decision about a text, which must not depend on what is kept of it.
fn parse(text: &str) -> Result<(), Rejection> {
    let decision = parse_within(text, Limits::NEW);
    let rule = |decision: Result<(), Rejection>| decision.err().map(|rejection| rejection.name());
    if !matches!(rule(decision), Some("KeyTooLong" | "NumberTooLong")) {
        // Stored texts have no other limits.
        let stored = parse_within(text, Limits::STORED);
        assert_eq!(rule(stored), rule(decision), "{text}");
    }
    decision
}

fn parse_within(text: &str, limits: Limits) -> Result<(), Rejection> {
    let decision = check(text, limits);
    for levels in LEVELS {
        let parsed = Document::parse_within(text, levels, limits).map(|_| ());
        assert_eq!(parsed, decision, "{levels} {text}");
    }
    decision
}

/// Few kept levels, and all.
const LEVELS: [usize; 5] = [0, 1, 2, 3, usize::MAX];

/// A text of which all levels are kept.
fn tree(text: &str) -> Document<'_> {
    Document::parse(text, usize::MAX).unwrap()
}

fn name(text: &str) -> Option<&'static str> {
    parse(text).err().map(|rejection| rejection.name())
}

fn form_of(document: &Document<'_>) -> String {
    String::from_utf8(document.root().form().into_owned()).unwrap()
}

#[test]
fn rejects_duplicate_keys_at_any_depth_and_in_any_spelling() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\ud83d\ude00":1,"b":2,"😀":2}"#,
        r#"[{"x":{"b":null,"b":null}}]"#,
    ] {
        assert_eq!(parse(text), Err(Rejection::DuplicateKey), "{text}");
    }
    assert_eq!(parse(r#"{"a":{"a":1},"A":2}"#), Ok(()));
}

#[test]
fn rejects_duplicate_keys_among_any_number_of_others() {
    for count in [2, 11, 12, 13, 40] {
        let keys: Vec<_> = (0..count)
            .map(|index| format!("the same beginning {index}"))
            .collect();
        let object = |keys: &[String]| {
            let members: Vec<_> = keys
                .iter()
                .rev()
                .map(|key| format!("\"{key}\":0"))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(parse(&object(&keys)), Ok(()));
        for duplicate in 1..count {
            let mut keys = keys.clone();
            keys[duplicate] = keys[duplicate / 2].clone();
            assert_eq!(
                parse(&object(&keys)),
                Err(Rejection::DuplicateKey),
                "{keys:?}"
            );
        }
    }
    // The shorter key is not filled up.
    assert_eq!(parse(r#"{"a":1,"a\u0000":2,"":3,"\u0000":4}"#), Ok(()));
    assert_eq!(parse(r#"{"":1,"":2}"#), Err(Rejection::DuplicateKey));
}

#[test]
fn rejects_deep_nesting() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(&nested(MAX_JSON_DEPTH)), Ok(()));
    assert_eq!(parse(&nested(MAX_JSON_DEPTH + 1)), Err(Rejection::TooDeep));
    assert_eq!(parse(&nested(100_000)), Err(Rejection::TooDeep));
}

#[test]
fn rejects_long_numbers_with_their_position() {
    let digits = |count: usize| "7".repeat(count);
    for longest in [
        digits(MAX_NUMBER_CHARS),
        format!("-{}", digits(MAX_NUMBER_CHARS - 1)),
        format!("0.{}e-10", digits(MAX_NUMBER_CHARS - 6)),
    ] {
        assert_eq!(parse(&format!("[{longest}]")), Ok(()));
        assert_eq!(
            parse(&format!("[\n {longest}0]")),
            Err(Rejection::NumberTooLong { line: 2, column: 2 })
        );
    }
}

#[test]
fn rejects_long_keys_with_their_position() {
    let longest = "k".repeat(MAX_KEY_BYTES);
    // Each of these characters has two bytes, and six as an escape.
    let wide = "é".repeat(MAX_KEY_BYTES / 2);
    for key in [&longest, &wide] {
        assert_eq!(parse(&format!("{{\"{key}\":1}}")), Ok(()));
        assert_eq!(
            parse(&format!("{{\"a\":{{\"{key}k\":1}}}}")),
            Err(Rejection::KeyTooLong { line: 1, column: 7 })
        );
        // Only keys: a string can be longer.
        assert_eq!(parse(&format!("\"{key}k\"")), Ok(()));
    }
    let escaped = "\\u00e9".repeat(MAX_KEY_BYTES / 6 + 1);
    assert_eq!(name(&format!("{{\"{escaped}\":1}}")), Some("KeyTooLong"));
}

#[test]
fn reads_stored_numbers_and_keys_of_any_length() {
    let text = format!(
        "{{\"{}\":{}}}",
        "k".repeat(MAX_KEY_BYTES + 1),
        "7".repeat(MAX_NUMBER_CHARS + 1)
    );
    for limits in [Limits::STORED, Limits::EVENT] {
        assert!(parse_within(&text, limits).is_ok());
    }
}

#[test]
fn rejects_half_a_surrogate_pair_with_its_position() {
    for (text, line, column) in [
        (r#""\ud83d""#, 1, 2),
        (r#""\uDC00""#, 1, 2),
        (r#""ab\ud83d\u0041""#, 1, 4),
        (r#""\ud83dx""#, 1, 2),
        (r#""\ud83d\n""#, 1, 2),
        (r#""\ud83d\ud83d\ude00""#, 1, 2),
        (r#""\ud83d\ude00\ude00""#, 1, 14),
        (r#""\ude00\ud83d""#, 1, 2),
        ("{\"a\":\n{\"é\\ud800\":1}}", 2, 5),
    ] {
        let rejection = Rejection::LoneSurrogate { line, column };
        assert_eq!(parse(text), Err(rejection), "{text}");
    }
    for text in [r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#, r#""\\ud83d""#] {
        assert_eq!(parse(text), Ok(()), "{text}");
    }
}

#[test]
fn reports_a_syntax_error_before_every_other_rule() {
    let number = "7".repeat(MAX_NUMBER_CHARS + 1);
    let key = "k".repeat(MAX_KEY_BYTES + 1);
    for (text, rule) in [
        ("[".repeat(100_000) + &"]".repeat(100_000), "TooDeep"),
        ("{\"a\":1,\"a\":1}".to_owned(), "DuplicateKey"),
        ("[\"\\ud83d\"]".to_owned(), "LoneSurrogate"),
        (format!("[{number}]"), "NumberTooLong"),
        (format!("{{\"{key}\":1}}"), "KeyTooLong"),
    ] {
        assert_eq!(name(&text), Some(rule));
        assert_eq!(name(&format!("{text} x")), Some("InvalidJson"), "{rule}");
        assert_eq!(name(&text[..text.len() - 1]), Some("InvalidJson"), "{rule}");
    }
    assert_eq!(
        parse("[{\"a\":1,\"a\":1}\n"),
        Err(Rejection::InvalidJson { line: 2, column: 1 })
    );
    for text in [r#""\ud83d\x""#, r#""\ud83d\u00""#, r#""\ud83d"#] {
        assert_eq!(name(text), Some("InvalidJson"), "{text}");
    }
}

#[test]
fn reports_the_position_of_a_syntax_error() {
    assert_eq!(
        parse("{\n\"a\":}"),
        Err(Rejection::InvalidJson { line: 2, column: 5 })
    );
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "01",
        "nul",
        "\"\\",
        "\"\\u12",
        "\"\\u12g4\"",
        "\"\\U0041\"",
        "\"a\nb\"",
        "{} {}",
        "NaN",
        "'a'",
    ] {
        assert_eq!(name(text), Some("InvalidJson"), "{text:?}");
    }
}

#[test]
fn keeps_numbers_of_any_size_as_text() {
    for text in ["1e400", "123456789012345678901234567890", "-0", "1.0"] {
        assert_eq!(tree(text).root().text, text);
    }
}

#[test]
fn decodes_every_escape() {
    let text = r#""\"\\\/\b\f\n\r\t\u0000\u00e9\u20AC\ud83d\ude00 é""#;
    let document = tree(text);
    let meaning = "\"\\/\u{8}\u{c}\n\r\t\0é€😀 é";
    assert!(matches!(document.root().value, Value::String(text) if text == meaning));
}

/// Converts a node to serde_json's value.
fn value(node: Node<'_>) -> serde_json::Value {
    match node.value {
        Value::Literal => serde_json::from_str(node.text).unwrap(),
        Value::String(text) => text.into(),
        Value::Array(array) => array.iter().map(value).collect(),
        Value::Object(object) => {
            let members = object
                .iter()
                .map(|(key, node)| (key.to_owned(), value(node)));
            serde_json::Value::Object(members.collect())
        }
        Value::Flat(_) => panic!("all levels are kept"),
    }
}

fn assert_texts_are_kept(node: Node<'_>) {
    let read = serde_json::from_str::<serde_json::Value>(node.text);
    assert_eq!(read.unwrap(), value(node), "{}", node.text);
    match node.value {
        Value::Literal | Value::String(_) | Value::Flat(_) => {}
        Value::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                assert!(std::ptr::eq(array.get(index).unwrap().text, element.text));
                assert_texts_are_kept(element);
            }
            assert!(array.get(array.iter().count()).is_none());
        }
        Value::Object(object) => {
            assert!(object.iter().map(|(key, _)| key).is_sorted());
            for (key, node) in object.iter() {
                assert!(std::ptr::eq(object.get(key).unwrap().text, node.text));
                assert_texts_are_kept(node);
            }
            assert!(object.get("no key").is_none());
        }
    }
}

#[test]
fn error_positions_are_exact() {
    for (text, line, column) in [
        ("", 1, 1),
        ("  ", 1, 3),
        ("[1 2]", 1, 4),
        ("\n[\n1,]", 3, 3),
        ("tru", 1, 4),
        ("-", 1, 2),
        ("1.", 1, 3),
        ("1e+", 1, 4),
        ("{\"a\" 1}", 1, 6),
        ("{1:1}", 1, 2),
        ("\"é\u{1}\"", 1, 4),
        ("\"ab", 1, 4),
        ("\"abcdefghijklmnop\u{1f}\"", 1, 18),
        ("[\"\\\"", 1, 5),
        ("[\"a\\x\"]", 1, 5),
        ("[\"a\\u00g0\"]", 1, 8),
        ("{} {}", 1, 4),
    ] {
        assert_eq!(
            parse(text),
            Err(Rejection::InvalidJson { line, column }),
            "{text:?}"
        );
    }
}

#[test]
fn keeps_texts_and_meanings_at_every_level() {
    let text = " { \"b\" : [ 1.0 , -0, 1E+2, \"\\u00e9\\\"\\\\é\" , {} , [ ] ],\t\"a\\n\":{\"\":null,\"x\":[true,false]}} ";
    let document = tree(text);
    assert_eq!(document.root().text, text.trim());
    assert_texts_are_kept(document.root());
}

/// Whether serde_json reads a text: its grammar alone, and its meaning. It rejects the meaning of a lone surrogate.
fn serde_json_reads(text: &str) -> (bool, bool) {
    let grammar = serde_json::from_str::<&RawValue>(text).is_ok();
    let meaning = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => true,
        Err(error) => error.to_string().contains("out of range"),
    };
    (grammar, meaning)
}

/// The name of the rejection, and whether serde_json reads the text as such a text.
fn agrees(text: &str) -> (Option<&'static str>, bool) {
    let name = name(text);
    let reads = serde_json_reads(text);
    let agrees = match name {
        None | Some("DuplicateKey" | "TooDeep") => reads == (true, true),
        Some("LoneSurrogate") => reads == (true, false),
        _ => reads == (false, false),
    };
    (name, agrees)
}

#[test]
fn forms_have_sorted_keys_no_space_and_few_escapes() {
    for (text, form) in [
        (" { } ", "{}"),
        ("[ ]", "[]"),
        ("\n[ 1.0 , -0,1E+2 ,true,null ]", "[1.0,-0,1E+2,true,null]"),
        (r#""\u0022\/\u00e9\n\\""#, "\"\\\"/é\n\\\\\""),
        (
            r#"{"b":[{"d":1,"c":[2]},3],"a":{}}"#,
            r#"{"a":{},"b":[{"c":[2],"d":1},3]}"#,
        ),
        (
            r#"{"a":1,"b": {"d" :2, "c":3}, "e":4}"#,
            r#"{"a":1,"b":{"c":3,"d":2},"e":4}"#,
        ),
        // Sorted by their meaning: a quote comes before a digit, and its escape after it.
        (r#"{"0":1,"\"":2}"#, r#"{"\"":2,"0":1}"#),
        (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
    ] {
        for levels in LEVELS {
            let document = Document::parse(text, levels).unwrap();
            assert_eq!(form_of(&document), form, "{levels} {text}");
        }
    }
}

#[test]
fn keeps_the_outermost_levels_and_the_forms_of_the_others() {
    let text = r#"{"b":{"d": [1, {}],"c":2},"a":[[3 ], 4]}"#;
    let document = Document::parse(text, 2).unwrap();
    let Value::Object(root) = document.root().value else {
        panic!()
    };
    let (Some(Value::Object(b)), Some(Value::Array(a))) = (
        root.get("b").map(|node| node.value),
        root.get("a").map(|node| node.value),
    ) else {
        panic!()
    };
    let forms = [b.get("d"), b.get("c"), a.get(0), a.get(1)].map(Option::unwrap);
    let [d, c, first, second] = forms;
    assert!(matches!(
        (d.text, d.value),
        ("[1, {}]", Value::Flat(b"[1,{}]"))
    ));
    assert!(matches!((c.text, c.value), ("2", Value::Literal)));
    assert!(matches!(
        (first.text, first.value),
        ("[3 ]", Value::Flat(b"[3]"))
    ));
    assert!(matches!((second.text, second.value), ("4", Value::Literal)));
}

proptest! {
    #[test]
    fn forms_do_not_depend_on_the_kept_levels(text in spelled()) {
        if let Ok(tree) = Document::parse(&text, usize::MAX) {
            let form = form_of(&tree);
            for levels in LEVELS {
                let document = Document::parse(&text, levels).unwrap();
                prop_assert_eq!(form_of(&document), &*form, "{} {}", levels, text);
            }
            // With its control characters escaped, the form is a text of the same value.
            let escaped = |character: char| match character {
                '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(character)),
                _ => character.to_string(),
            };
            let json: String = form.chars().map(escaped).collect();
            assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap() == value(tree.root()));
        }
    }

    #[test]
    fn decisions_do_not_depend_on_the_kept_levels(
        text in spelled(),
        depth in prop_oneof![Just(0), MAX_JSON_DEPTH - 3..MAX_JSON_DEPTH + 2],
        at in any::<prop::sample::Index>(),
        broken in r#"|[\[\]{}:,"\\0-9.eE u\x01-]|\\u(d8|D9|dC|Df|00)[0-9a-f]{2}|7{1100}"#,
    ) {
        let mut text = format!("{}{text}{}", "[".repeat(depth), "]".repeat(depth));
        let _ = parse(&text);
        let place = text.floor_char_boundary(at.index(text.len()));
        text.insert_str(place, &broken);
        let _ = parse(&text);
        text.remove(place);
        let _ = parse(&text);
    }

    #[test]
    fn agrees_with_serde_json_on_any_text(text in r#"[\[\]{}:,"\\a0-9.eEtrufalsn \u{e9}-]{0,40}"#) {
        let (name, agrees) = agrees(&text);
        prop_assert!(agrees, "{name:?} {text}");
    }

    #[test]
    fn agrees_with_serde_json_on_escapes(text in r#"(a|é|[\x00-\x20]|\\[\\"/bfnrtux]|\\u(d8|D9|dC|Df|00)[0-9a-f]{2}|\\u[0-9a-f]{1,4}){0,8}"#) {
        let text = format!("[\"{text}\"]");
        let (name, agrees) = agrees(&text);
        prop_assert!(agrees, "{name:?} {text}");
        if name.is_none() {
            assert_texts_are_kept(tree(&text).root());
        }
    }

    #[test]
    fn finds_the_end_of_a_string_at_any_offset(plain in "[ -!#-\\[\\]-~\u{7f}-\u{ff}]{0,40}", special in "[\"\\\\\x00-\x1f]") {
        let text = format!("\"{plain}{special}");
        let at = 1 + plain.len();
        let expected = match special.as_bytes() {
            b"\"" => Ok(()),
            b"\\" => Err(Rejection::InvalidJson { line: 1, column: at + 2 }),
            _ => Err(Rejection::InvalidJson { line: 1, column: at + 1 }),
        };
        prop_assert_eq!(parse(&text), expected);
    }

    #[test]
    fn agrees_with_serde_json_on_values_and_broken_texts(value in json(), cut in any::<prop::sample::Index>()) {
        for text in [value.to_string(), format!("{value:#}")] {
            assert_texts_are_kept(tree(&text).root());
            // Removes one character and expects the same decision as serde_json.
            let mut broken = text.clone();
            let at = text.floor_char_boundary(cut.index(text.len()));
            broken.remove(at);
            let (name, agrees) = agrees(&broken);
            prop_assert!(agrees, "{name:?} {broken}");
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(|number: f64| number.into()),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-d\"\\\\\n\u{e9}]{0,3}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A JSON text in any spelling, in which keys often occur twice.
fn spelled() -> impl Strategy<Value = String> {
    const STRING: &str =
        r#""([a-c]|é|😀|\\[\\"/nt]|\\u(0061|00e9|0022|005C|0000)|\\ud83d\\ude00|plain text){0,3}""#;
    let leaf = prop_oneof![
        "true|false|null",
        r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?",
        STRING,
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let value =
            (SPACE, inner, SPACE).prop_map(|(before, value, after)| before + &value + &after);
        let member = (SPACE, STRING, SPACE, value.clone())
            .prop_map(|(before, key, after, value)| before + &key + &after + ":" + &value);
        prop_oneof![
            prop::collection::vec(value, 1..6).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 1..6)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
            SPACE.prop_map(|space| format!("[{space}]")),
            SPACE.prop_map(|space| format!("{{{space}}}")),
        ]
    })
}

const SPACE: &str = "[ \t\n\r]{0,2}";
