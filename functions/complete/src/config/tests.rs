use onewrite_testing::settings::lookup;

use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:refunds";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:111122223333:function:book:live";
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:key-AbCdEf";
const PARAMETER: &str = "arn:aws:ssm:us-east-1:111122223333:parameter/key";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/ledger";
const OWN_TABLE: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/t";

fn environment<'a>(
    settings: &'a [(&'a str, &'a str)],
) -> Environment<impl Fn(&str) -> Option<String> + 'a> {
    Environment::new(move |name: &str| {
        let text = lookup(settings)(name);
        text.or_else(|| (name == "TABLE_NAME").then(|| "t".to_owned()))
    })
}

fn read(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(&environment(settings))
}

fn read_targets(settings: &[(&str, &str)]) -> Result<TargetsConfig, ConfigError> {
    TargetsConfig::read(&environment(settings))
}

#[test]
fn only_the_table_name_is_required() {
    assert_eq!(
        read(&[]).unwrap(),
        Config {
            table_name: "t".to_owned(),
            name: None,
            failure_bucket: None,
            done_retention_days: 0,
            max_concurrency: 16,
            invocation_budget: Duration::from_secs(30),
            metrics: MetricSelection::Essential,
        }
    );
    assert_eq!(
        read(&[("TABLE_NAME", "")]).unwrap_err().to_string(),
        "environment variable TABLE_NAME is not set"
    );
}

#[test]
fn reads_all_settings() {
    let config = read(&[
        ("TABLE_NAME", "t"),
        ("DONE_RETENTION_DAYS", "30"),
        ("DOWNSTREAM_MAX_CONCURRENCY", "4"),
        ("FAILURE_BUCKET", "failures"),
        ("INVOCATION_BUDGET_MS", "1500"),
    ])
    .unwrap();
    assert_eq!(config.done_retention_days, 30);
    assert_eq!(config.max_concurrency, 4);
    assert_eq!(config.failure_bucket.as_deref(), Some("failures"));
    assert_eq!(config.invocation_budget, Duration::from_millis(1_500));
}

#[test]
fn errors_name_the_variable() {
    for (name, value) in [
        ("DONE_RETENTION_DAYS", "-1"),
        ("DONE_RETENTION_DAYS", "36501"),
        ("DOWNSTREAM_MAX_CONCURRENCY", "0"),
        ("INVOCATION_BUDGET_MS", "x"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("environment variable {name} is wrong: ")),
            "{error}"
        );
    }
}

#[test]
fn targets_that_can_refuse_are_called_first_and_have_their_own_types() {
    let arns = [QUEUE, TABLE, FUNCTION, SECRET].join(", ");
    let config = read_targets(&[
        ("DOWNSTREAM_ARNS", &arns),
        ("DOWNSTREAM_URL", "https://example.com/hook?token=s3cret"),
        (
            "DOWNSTREAM_TYPES",
            "refunds=refund.*,refunds=Chargeback Opened,url=order",
        ),
        ("DOWNSTREAM_REFUSAL_STATUSES", "409"),
        ("DOWNSTREAM_MAX_PER_SECOND", "50"),
    ])
    .unwrap();
    let targets = config.targets.iter();
    let targets: Vec<_> = targets
        .map(|(target, types)| (target.name(), types.len()))
        .collect();
    assert_eq!(targets, [("book", 0), ("url", 1), ("refunds", 2)]);
    assert_eq!(config.settings.tables, [TABLE.parse().unwrap()]);
    assert_eq!(config.settings.secret, Some(SECRET.parse().unwrap()));
    assert_eq!(config.settings.refusal_statuses, "409".parse().unwrap());
    assert_eq!(config.max_per_second, NonZeroU32::new(50));
    assert!(!format!("{config:?}").contains("s3cret"));
}

/// Checks that these settings are wrong, and that the error names the first one.
fn check_rejection(settings: &[(&str, &str)]) {
    let error = read_targets(settings).unwrap_err().to_string();
    let start = format!("environment variable {} is wrong: ", settings[0].0);
    assert!(error.starts_with(&start), "{settings:?}: {error}");
}

#[test]
fn rejects_targets_that_cannot_work() {
    let list = |arns: &[&str]| arns.join(",");
    for arns in [
        String::new(),
        list(&[TABLE]),
        list(&[QUEUE, QUEUE]),
        list(&[FUNCTION, TABLE, TABLE]),
        list(&[QUEUE, ""]),
        list(&[QUEUE, SECRET]),
        list(&[FUNCTION, OWN_TABLE]),
        "https://example.com/".to_owned(),
        "arn:aws:s3:::bucket".to_owned(),
    ] {
        check_rejection(&[(ARNS, &arns)]);
    }
    let secrets = list(&[SECRET, PARAMETER]);
    check_rejection(&[(ARNS, &secrets), (URL, "https://example.com/")]);
    for url in ["http://example.com/", "example.com"] {
        check_rejection(&[(URL, url)]);
    }
}

#[test]
fn rejects_types_of_unknown_targets_and_wrong_patterns() {
    for types in [
        "orders=order",
        "refunds",
        "refunds=a*b",
        "refunds=a,",
        "refunds=a,refunds=b,refunds=a",
    ] {
        check_rejection(&[(TYPES, types), (ARNS, QUEUE)]);
    }
    // An entry would limit both of two targets with one name.
    let same_name = [QUEUE, "arn:aws:sns:us-east-1:111122223333:refunds"].join(",");
    check_rejection(&[(TYPES, "refunds=refund"), (ARNS, &same_name)]);
}

#[test]
fn rejects_wrong_limits_and_statuses_of_targets() {
    for (name, value) in [
        ("DOWNSTREAM_REFUSAL_STATUSES", "403"),
        ("DOWNSTREAM_MAX_PER_SECOND", "-1"),
        ("DOWNSTREAM_MAX_PER_SECOND", "10001"),
    ] {
        check_rejection(&[(name, value), (URL, "https://example.com/")]);
    }
}

#[test]
fn without_a_target_the_error_says_where_to_name_one() {
    let error = read_targets(&[]).unwrap_err().to_string();
    assert!(error.contains(ARNS) && error.contains(URL), "{error}");
    let error = read_targets(&[(ARNS, TABLE)]).unwrap_err().to_string();
    assert!(error.contains("only what targets use"), "{error}");
    assert!(error.contains(ARNS) && error.contains(URL), "{error}");
}

#[test]
fn no_error_quotes_a_url() {
    for text in [
        "http://s3cret.example.com/",
        "s3cret",
        "https://a:s3cret@example.com",
    ] {
        let error = read_targets(&[("DOWNSTREAM_URL", text)]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}
