//! Checks that the binary rejects an invalid setting with one clear line.

use onewrite_testing::settings::assert_rejected;

#[test]
fn names_an_invalid_setting_in_one_line() {
    for (settings, name) in [
        (vec![], "TABLE_NAME"),
        (
            vec![("TABLE_NAME", "t"), ("MAX_IN_FLIGHT", "none")],
            "MAX_IN_FLIGHT",
        ),
        (
            vec![("TABLE_NAME", "t"), ("PAYLOAD_POINTER", "payload")],
            "PAYLOAD_POINTER",
        ),
    ] {
        assert_rejected(env!("CARGO_BIN_EXE_ingest"), &settings, name);
    }
}
