use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Returns whether a message with this body passes a filter on its body.
fn body_passes(pattern: &str, body: &str) -> bool {
    let pattern = format!(r#"{{"body": {pattern}}}"#);
    sqs_passes(&pattern, body)
}

fn sqs_passes(pattern: &str, body: &str) -> bool {
    let record = json!({"messageId": "1", "body": body, "eventSource": "aws:sqs"}).to_string();
    FilterCriteria::compile(Source::Sqs, &[pattern])
        .unwrap()
        .matches(&record)
}

fn dynamodb_passes(pattern: &str, record: &str) -> bool {
    FilterCriteria::compile(Source::DynamoDb, &[pattern])
        .unwrap()
        .matches(record)
}

fn parse_error(pattern: &str) -> InvalidPattern {
    match FilterCriteria::compile(Source::Sqs, &[pattern]) {
        Err(InvalidFilterCriteria::Pattern(invalid)) => invalid,
        other => panic!("{pattern} gave {other:?}"),
    }
}

#[test]
fn x4_any_filter_all_keys_and_any_value_must_match() {
    let both = [
        r#"{"body": {"a": ["1"], "b": ["2", "3"]}}"#,
        r#"{"body": {"c": ["4"]}}"#,
    ];
    let criteria = FilterCriteria::compile(Source::Sqs, &both).unwrap();
    let passes = |body: &str| criteria.matches(&json!({ "body": body }).to_string());
    assert!(passes(r#"{"a": "1", "b": "2"}"#));
    assert!(passes(r#"{"a": "1", "b": "3"}"#));
    assert!(passes(r#"{"c": "4"}"#));
    assert!(!passes(r#"{"a": "1", "b": "4"}"#));
    assert!(!passes(r#"{"a": "1"}"#));
}

#[test]
fn x4_a_pattern_has_at_most_4096_characters() {
    let pattern = |length: usize| format!(r#"{{"a":["{}"]}}"#, "ä".repeat(length - 10));
    assert_eq!(pattern(4_096).chars().count(), 4_096);
    assert!(FilterCriteria::compile(Source::Sqs, &[pattern(4_096)]).is_ok());
    let too_long = FilterCriteria::compile(Source::Sqs, &[pattern(4_097)]).unwrap_err();
    assert_eq!(too_long, InvalidFilterCriteria::PatternTooLong);
}

#[test]
fn x4_without_filters_everything_passes() {
    let none = FilterCriteria::compile::<&str>(Source::Sqs, &[]).unwrap();
    assert!(none.is_empty() && none.matches("anything"));
}

#[test]
fn x5_operators_of_the_guide() {
    for (test, passing, failing) in [
        (r#""Seattle""#, r#""Seattle""#, r#""seattle""#),
        (r#"null"#, r#"null"#, r#""""#),
        (r#""""#, r#""""#, r#"null"#),
        (r#"true"#, r#"true"#, r#""true""#),
        (r#"300"#, r#"300"#, r#""300""#),
        (
            r#"{"equals-ignore-case": "SEAttle"}"#,
            r#""seaTTLE""#,
            r#""Seattl""#,
        ),
        (r#"{"prefix": "Sea"}"#, r#""Seattle""#, r#""seattle""#),
        (r#"{"suffix": ".png"}"#, r#""a.png""#, r#""a.PNG""#),
        (r#"{"anything-but": "rain"}"#, r#""sun""#, r#""rain""#),
        (
            r#"{"anything-but": ["rain", "snow"]}"#,
            r#""sun""#,
            r#""snow""#,
        ),
        (r#"{"anything-but": [1, 2]}"#, r#"3"#, r#"2"#),
        (
            r#"{"anything-but": {"prefix": "r"}}"#,
            r#""sun""#,
            r#""rain""#,
        ),
        (r#"{"numeric": ["=", 3.0e2]}"#, r#"300"#, r#"301"#),
        (r#"{"numeric": ["<", 10]}"#, r#"9.99"#, r#"10"#),
        (r#"{"numeric": ["<=", 10]}"#, r#"10"#, r#"10.5"#),
        (r#"{"numeric": [">", -5]}"#, r#"-4"#, r#"-5"#),
        (r#"{"numeric": [">=", 100, "<", 200]}"#, r#"100"#, r#"200"#),
        (r#"{"numeric": ["=", 300]}"#, r#"300"#, r#""300""#),
        (r#"{"exists": true}"#, r#""any""#, r#"{"not": "a leaf"}"#),
        (r#"{"exists": false}"#, r#"{"not": "a leaf"}"#, r#""any""#),
    ] {
        let pattern = format!(r#"{{"k": [{test}]}}"#);
        assert!(
            body_passes(&pattern, &format!(r#"{{"k": {passing}}}"#)),
            "{test} with {passing}"
        );
        assert!(
            !body_passes(&pattern, &format!(r#"{{"k": {failing}}}"#)),
            "{test} with {failing}"
        );
    }
}

#[test]
fn x5_or_joins_fields() {
    let pattern =
        r#"{"$or": [{"a": ["1"]}, {"b": [{"numeric": [">", 5]}], "c": ["3"]}], "d": ["4"]}"#;
    assert!(body_passes(pattern, r#"{"a": "1", "d": "4"}"#));
    assert!(body_passes(pattern, r#"{"b": 6, "c": "3", "d": "4"}"#));
    assert!(!body_passes(pattern, r#"{"b": 6, "d": "4"}"#));
    assert!(!body_passes(pattern, r#"{"a": "1"}"#));
    // Also above the body; an alternative need not refer to the body.
    let above = r#"{"$or": [{"body": {"a": ["1"]}}, {"messageId": ["1"], "body": ["plain"]}]}"#;
    assert!(sqs_passes(above, r#"{"a": "1"}"#));
    assert!(sqs_passes(above, "plain"));
    assert!(!sqs_passes(above, r#"{"a": "2"}"#));
}

#[test]
fn x5_rejects_unlisted_operators() {
    for operator in ["cidr", "wildcard", "equals", "prefix-ignore-case"] {
        let pattern = format!(r#"{{"body": {{"k": [{{"{operator}": "x"}}]}}}}"#);
        assert_eq!(
            parse_error(&pattern),
            InvalidPattern::UnknownOperator(operator.to_owned())
        );
    }
    for operator in [
        r#"{"prefix": 1}"#,
        r#"{"prefix": {"equals-ignore-case": "x"}}"#,
        r#"{"suffix": null}"#,
        r#"{"equals-ignore-case": ["x"]}"#,
        r#"{"exists": "true"}"#,
        r#"{"numeric": 5}"#,
        r#"{"numeric": []}"#,
        r#"{"numeric": [">"]}"#,
        r#"{"numeric": ["~", 1]}"#,
        r#"{"numeric": [">", "1"]}"#,
        r#"{"numeric": ["<", 5, ">", 1]}"#,
        r#"{"numeric": [">", 5, "<", 5]}"#,
        r#"{"numeric": [">", 1, "<", 5, "<", 7]}"#,
        r#"{"anything-but": []}"#,
        r#"{"anything-but": ["a", 1]}"#,
        r#"{"anything-but": null}"#,
        r#"{"anything-but": {"numeric": ["=", 1]}}"#,
    ] {
        let pattern = format!(r#"{{"body": {{"k": [{operator}]}}}}"#);
        assert!(
            matches!(parse_error(&pattern), InvalidPattern::Operand(_)),
            "{operator}"
        );
    }
}

#[test]
fn x5_array_passes_if_one_value_passes() {
    let pattern = r#"{"tags": ["b"]}"#;
    assert!(body_passes(pattern, r#"{"tags": ["a", "b"]}"#));
    assert!(body_passes(pattern, r#"{"tags": [["a"], ["b"]]}"#));
    assert!(!body_passes(pattern, r#"{"tags": ["a"]}"#));
    assert!(!body_passes(
        r#"{"tags": [{"exists": true}]}"#,
        r#"{"tags": []}"#
    ));
    // An object in an array is not a leaf either.
    for test in [r#"{"exists": true}"#, r#"{"anything-but": "x"}"#] {
        let pattern = format!(r#"{{"tags": [{test}]}}"#);
        assert!(
            !body_passes(&pattern, r#"{"tags": [{"not": "a leaf"}]}"#),
            "{test}"
        );
    }
    // All keys must match one element, not each key a different element.
    let element = r#"{"items": {"kind": ["x"], "size": [1]}}"#;
    assert!(body_passes(
        element,
        r#"{"items": [{"kind": "y"}, {"kind": "x", "size": 1}]}"#
    ));
    assert!(!body_passes(
        element,
        r#"{"items": [{"kind": "y", "size": 1}, {"kind": "x", "size": 2}]}"#
    ));
}

#[test]
fn x6_numbers_compare_by_spelling_and_numeric_by_value() {
    let spellings = ["300", "300.0", "3.0e2", "3e2"];
    for wanted in spellings {
        for given in spellings {
            let body = format!(r#"{{"n": {given}}}"#);
            assert_eq!(
                body_passes(&format!(r#"{{"n": [{wanted}]}}"#), &body),
                wanted == given
            );
            assert!(body_passes(
                &format!(r#"{{"n": [{{"numeric": ["=", {wanted}]}}]}}"#),
                &body
            ));
        }
    }
}

#[test]
fn q21_plain_numbers_match_by_spelling_or_by_value() {
    for numbers_by_value in [false, true] {
        let choices = Choices {
            numbers_by_value,
            ..Choices::default_outcomes()
        };
        let passes = |pattern: &str, n: &str| {
            let pattern = format!(r#"{{"body": {pattern}}}"#);
            let mut criteria = FilterCriteria::compile(Source::Sqs, &[pattern]).unwrap();
            criteria.apply(&choices);
            criteria.matches(&json!({"body": format!(r#"{{"n": {n}}}"#)}).to_string())
        };
        for pattern in [
            r#"{"n": [300]}"#,
            r#"{"$or": [{"n": [300]}, {"m": ["x"]}]}"#,
        ] {
            assert!(passes(pattern, "300"));
            assert!(!passes(pattern, "301"));
            assert_eq!(passes(pattern, "300.0"), numbers_by_value);
        }
        let anything_but = r#"{"n": [{"anything-but": [300]}]}"#;
        assert!(!passes(anything_but, "300"));
        assert_eq!(passes(anything_but, "300.0"), !numbers_by_value);
    }
}

#[test]
fn x6_strings_compare_after_unescaping() {
    assert!(body_passes(r#"{"k": ["ä"]}"#, r#"{"k": "\u00e4"}"#));
    assert!(!body_passes(r#"{"k": ["ä"]}"#, r#"{"k": "a\u0308"}"#));
    assert!(!body_passes(r#"{"k": ["x"]}"#, r#"{"k": "x "}"#));
}

#[test]
fn x7_null_differs_from_absent_and_every_field_must_exist() {
    assert!(body_passes(r#"{"k": [null]}"#, r#"{"k": null}"#));
    assert!(!body_passes(r#"{"k": [null]}"#, r#"{"other": 1}"#));
    assert!(body_passes(
        r#"{"k": [{"exists": true}]}"#,
        r#"{"k": null}"#
    ));
    assert!(body_passes(
        r#"{"k": [{"exists": false}]}"#,
        r#"{"other": 1}"#
    ));
    assert!(body_passes(
        r#"{"a": {"b": [{"exists": false}]}}"#,
        r#"{"other": 1}"#
    ));
    for test in [
        r#"{"anything-but": "x"}"#,
        r#""x""#,
        r#"{"exists": true}"#,
        r#"{"prefix": ""}"#,
    ] {
        assert!(
            !body_passes(&format!(r#"{{"k": [{test}]}}"#), r#"{"other": 1}"#),
            "{test}"
        );
    }
    let record = r#"{"dynamodb": {"NewImage": {"k": {"NULL": true}}}}"#;
    assert!(!dynamodb_passes(
        r#"{"dynamodb": {"NewImage": {"k": {"NULL": [null]}}}}"#,
        record
    ));
    assert!(dynamodb_passes(
        r#"{"dynamodb": {"NewImage": {"k": {"NULL": [true]}}}}"#,
        record
    ));
}

#[test]
fn x8_the_last_of_duplicate_keys_wins() {
    let pattern = r#"{"k": ["first"], "k": ["last"]}"#;
    assert!(body_passes(pattern, r#"{"k": "last"}"#));
    assert!(!body_passes(pattern, r#"{"k": "first"}"#));
    // The conjunction in the guide for DynamoDB tests only its second half.
    let and = r#"{"dynamodb": {"Keys": {"a": {"S": ["1"]}}, "Keys": {"b": {"S": ["2"]}}}}"#;
    assert!(dynamodb_passes(
        and,
        r#"{"dynamodb": {"Keys": {"a": {"S": "0"}, "b": {"S": "2"}}}}"#
    ));
}

#[test]
fn x9_leaves_are_non_empty_arrays() {
    assert_eq!(parse_error("null"), InvalidPattern::LeafNotAnArray);
    assert_eq!(parse_error("[]"), InvalidPattern::LeafNotAnArray);
    assert_eq!(parse_error("simple string"), InvalidPattern::NotJson);
    assert_eq!(parse_error(""), InvalidPattern::NotJson);
    assert_eq!(
        parse_error(r#"[{"eventName": ["INSERT"=123}]"#),
        InvalidPattern::NotJson
    );
    assert_eq!(parse_error("{}"), InvalidPattern::EmptyObject);
    assert_eq!(parse_error(r#"{"body": {}}"#), InvalidPattern::EmptyObject);
    assert_eq!(
        parse_error(r#"{"eventSource": "aws:sqs"}"#),
        InvalidPattern::LeafNotAnArray
    );
    assert_eq!(
        parse_error(r#"{"eventSource": 1}"#),
        InvalidPattern::LeafNotAnArray
    );
    assert_eq!(
        parse_error(r#"{"eventSource": []}"#),
        InvalidPattern::EmptyArray
    );
    assert_eq!(
        parse_error(r#"{"eventSource": [[]]}"#),
        InvalidPattern::LeafValue
    );
    assert_eq!(
        parse_error(r#"{"k": [{"prefix": "a", "suffix": "b"}]}"#),
        InvalidPattern::LeafValue
    );
    assert_eq!(parse_error(r#"{"k": [{}]}"#), InvalidPattern::LeafValue);
    assert_eq!(parse_error(r#"{"$or": []}"#), InvalidPattern::EmptyArray);
    assert_eq!(
        parse_error(r#"{"$or": ["x"]}"#),
        InvalidPattern::Operand("$or")
    );
}

#[test]
fn s19_a_body_is_matched_in_the_format_of_its_pattern() {
    let json_pattern = r#"{"k": ["v"]}"#;
    assert!(body_passes(json_pattern, r#"{"k": "v"}"#));
    assert!(!body_passes(json_pattern, "plain text"));
    assert!(!body_passes(r#"{"k": [{"exists": false}]}"#, "plain text"));

    assert!(body_passes(r#"["plain text"]"#, "plain text"));
    assert!(body_passes(r#"[{"prefix": "plain"}]"#, "plain text"));
    assert!(!body_passes(r#"["plain text"]"#, "other"));
    assert!(!body_passes(r#"[{"anything-but": "x"}]"#, r#"{"k": "v"}"#));
    assert!(!body_passes(r#"["v"]"#, r#"["v"]"#));
    assert!(!body_passes(r#"[{"exists": false}]"#, r#"{"k": "v"}"#));
}

#[test]
fn s19_without_body_in_the_pattern_the_body_is_not_checked() {
    let pattern = r#"{"eventSource": ["aws:sqs"]}"#;
    for body in [r#"{"k": "v"}"#, "plain text", ""] {
        assert!(sqs_passes(pattern, body));
        assert!(!sqs_passes(r#"{"eventSource": ["aws:other"]}"#, body));
    }
}

#[test]
fn d24_matches_any_field_of_the_record() {
    let record = r#"{"eventName": "REMOVE", "eventSource": "aws:dynamodb",
        "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}, "dynamodb": {}}"#;
    assert!(dynamodb_passes(
        r#"{"eventName": ["INSERT", "REMOVE"], "eventSource": ["aws:dynamodb"]}"#,
        record
    ));
    assert!(dynamodb_passes(
        r#"{"userIdentity": {"principalId": ["dynamodb.amazonaws.com"]}}"#,
        record
    ));
    assert!(!dynamodb_passes(
        r#"{"eventName": ["INSERT", "MODIFY"]}"#,
        record
    ));
    assert!(dynamodb_passes(
        r#"{"userIdentity": {"type": [{"exists": false}]}}"#,
        r#"{"eventName": "REMOVE"}"#
    ));
}

#[test]
fn d25_keeps_type_descriptors_and_exists_sees_only_leaves() {
    let record = r#"{"dynamodb": {"ApproximateCreationDateTime": 1700000000,
        "NewImage": {"status": {"S": "DONE"}, "count": {"N": "101"}}}}"#;
    let image = |test: &str| {
        dynamodb_passes(
            &format!(r#"{{"dynamodb": {{"NewImage": {test}}}}}"#),
            record,
        )
    };
    assert!(image(r#"{"status": {"S": ["DONE"]}}"#));
    assert!(!image(r#"{"status": ["DONE"]}"#));
    assert!(!image(r#"{"count": {"N": [{"numeric": [">", 100]}]}}"#));
    assert!(image(r#"{"count": {"N": [{"anything-but": "42"}]}}"#));
    assert!(image(r#"{"status": [{"exists": false}]}"#));
    assert!(!image(r#"{"status": [{"exists": true}]}"#));
    assert!(image(r#"{"status": {"S": [{"exists": true}]}}"#));
    let time = r#"{"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}"#;
    assert!(dynamodb_passes(time, record));
}

#[test]
fn k9_data_is_matched_as_decoded_json() {
    let passes = |pattern: &str, data: &[u8]| {
        let kinesis = json!({"partitionKey": "p", "data": BASE64_STANDARD.encode(data)});
        let record = json!({"eventSource": "aws:kinesis", "kinesis": kinesis}).to_string();
        FilterCriteria::compile(Source::Kinesis, &[pattern])
            .unwrap()
            .matches(&record)
    };
    let pattern = r#"{"data": {"type": [{"suffix": ".init"}]}}"#;
    assert!(passes(pattern, br#"{"type": "refund.init"}"#));
    assert!(!passes(pattern, br#"{"type": "refund.done"}"#));
    assert!(!passes(pattern, b"refund.init"));
    assert!(!passes(pattern, &[0xff, 0xfe]));
    assert!(!passes(
        r#"{"data": {"type": [{"exists": false}]}}"#,
        b"not JSON"
    ));
    assert!(!passes(r#"{"data": ["plain"]}"#, b"plain"));
    assert!(passes(r#"{"partitionKey": ["p"]}"#, b"not JSON"));
}

#[test]
fn parses_record_only_as_deep_as_the_pattern() {
    let depth = 100_000;
    let body = format!(
        r#"{{"k": "v", "deep": {}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert!(body_passes(r#"{"k": ["v"]}"#, &body));
}

proptest! {
    #[test]
    fn x6_string_passes_only_its_own_pattern(a in any::<String>(), b in any::<String>()) {
        let pattern = json!({"k": [a]}).to_string();
        let (body_of_a, body_of_b) = (json!({"k": a}).to_string(), json!({"k": b}).to_string());
        let own = body_passes(&pattern, &body_of_a);
        prop_assert!(own);
        prop_assert_eq!(body_passes(&pattern, &body_of_b), a == b);
        let but = json!({"k": [{"anything-but": a}]}).to_string();
        prop_assert_eq!(body_passes(&but, &body_of_b), a != b);
    }

    #[test]
    fn x5_numeric_orders_numbers_as_numbers(a in -1e9..1e9, b in -1e9..1e9) {
        let passes = |sign: &str| body_passes(&json!({"k": [{"numeric": [sign, b]}]}).to_string(), &json!({"k": a}).to_string());
        prop_assert_eq!(passes("<"), a < b);
        prop_assert_eq!(passes("<="), a <= b);
        prop_assert_eq!(passes(">"), a > b);
        prop_assert_eq!(passes(">="), a >= b);
        prop_assert_eq!(passes("="), a == b);
    }

    #[test]
    fn x9_parser_and_matcher_never_panic(pattern in ".{0,200}", record in ".{0,200}") {
        if let Ok(criteria) = FilterCriteria::compile(Source::Kinesis, &[pattern]) {
            let _ = criteria.matches(&record);
        }
    }
}
