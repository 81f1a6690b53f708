use crate::targets::signature::SigningKeys;

/// The published example (svix.com/docs, "Verifying webhooks manually"; test `sign` of the libraries of Standard Webhooks).
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECONDS: i64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

#[test]
fn signs_the_published_example() {
    let keys = SigningKeys::parse(KEY).unwrap();
    assert_eq!(keys.sign(ID, SECONDS, BODY), SIGNATURE);
}

#[test]
fn signs_with_each_key_while_a_key_is_replaced() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let keys = SigningKeys::parse(&format!(" {KEY}\n{other}\n")).unwrap();
    let signatures = keys.sign(ID, SECONDS, BODY);
    let (first, second) = signatures.split_once(' ').unwrap();
    assert_eq!(first, SIGNATURE);
    assert_ne!(first, second);
    let alone = SigningKeys::parse(other).unwrap();
    assert_eq!(second, alone.sign(ID, SECONDS, BODY));
}

#[test]
fn keys_have_24_to_64_bytes_and_are_never_shown() {
    for (digits, is_key) in [(30, false), (32, true), (84, true), (88, false)] {
        let text = format!("whsec_{}", "A".repeat(digits));
        assert_eq!(SigningKeys::parse(&text).is_some(), is_key, "{digits}");
    }
    let padded = format!("whsec_{}==", "A".repeat(34));
    assert!(SigningKeys::parse(&padded).is_some());
    for text in [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_ä",
        "whsec_?fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        assert!(SigningKeys::parse(text).is_none(), "{text}");
    }
    assert!(SigningKeys::parse(&format!("{KEY} other")).is_none());
    assert_eq!(
        format!("{:?}", SigningKeys::parse(KEY).unwrap()),
        "SigningKeys(..)"
    );
}
