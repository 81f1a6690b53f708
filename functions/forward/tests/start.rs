//! Checks that the binary rejects an invalid setting with one clear line.

use onewrite_testing::settings::assert_rejected;

#[test]
fn names_an_invalid_setting_in_one_line() {
    for (settings, name) in [
        (vec![], "STREAM_NAME"),
        (
            vec![("STREAM_NAME", "t"), ("INVOCATION_BUDGET_MS", "none")],
            "INVOCATION_BUDGET_MS",
        ),
        (
            vec![("STREAM_NAME", "t"), ("EVENT_SOURCE", "a b")],
            "EVENT_SOURCE",
        ),
    ] {
        assert_rejected(env!("CARGO_BIN_EXE_forward"), &settings, name);
    }
}
