//! Checks that the binary rejects an invalid setting with one clear line.

use onewrite_testing::settings::assert_rejected;

#[test]
fn names_an_invalid_setting_in_one_line() {
    for (settings, name) in [
        (vec![], "TABLE_NAME"),
        (
            vec![("TABLE_NAME", "t"), ("DOWNSTREAM_MAX_CONCURRENCY", "none")],
            "DOWNSTREAM_MAX_CONCURRENCY",
        ),
        (
            vec![("TABLE_NAME", "t"), ("DONE_RETENTION_DAYS", "-1")],
            "DONE_RETENTION_DAYS",
        ),
        (vec![("TABLE_NAME", "t")], "DOWNSTREAM_ARNS"),
        (
            vec![
                ("TABLE_NAME", "t"),
                ("DOWNSTREAM_URL", "http://example.com/"),
            ],
            "DOWNSTREAM_URL",
        ),
    ] {
        assert_rejected(env!("CARGO_BIN_EXE_complete"), &settings, name);
    }
}
