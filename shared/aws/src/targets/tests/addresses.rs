use aws_config::SdkConfig;

use crate::targets::{
    AddressKind, InvalidTarget, RefusalStatuses, ServiceTarget, TargetAddress, TargetSettings,
};

fn parse(text: &str) -> Result<TargetAddress, InvalidTarget> {
    text.parse()
}

#[test]
fn reads_kind_name_region_and_account_of_an_arn() {
    use AddressKind as Kind;
    for (resource, kind, name) in [
        (
            "sqs:eu-west-1:123456789012:refunds.fifo",
            Kind::Queue,
            "refunds.fifo",
        ),
        (
            "lambda:eu-west-1:123456789012:function:refund",
            Kind::Function,
            "refund",
        ),
        (
            "lambda:eu-west-1:123456789012:function:refund:live",
            Kind::Function,
            "refund",
        ),
        (
            "states:eu-west-1:123456789012:stateMachine:flow",
            Kind::StateMachine,
            "flow",
        ),
        ("sns:eu-west-1:123456789012:refunds", Kind::Topic, "refunds"),
        (
            "events:eu-west-1:123456789012:event-bus/a/b",
            Kind::EventBus,
            "a/b",
        ),
        (
            "secretsmanager:eu-west-1:123456789012:secret:a/b-AbCdEf",
            Kind::Secret,
            "a/b-AbCdEf",
        ),
        (
            "ssm:eu-west-1:123456789012:parameter/a/b",
            Kind::Parameter,
            "a/b",
        ),
        (
            "dynamodb:eu-west-1:123456789012:table/ledger",
            Kind::Table,
            "ledger",
        ),
    ] {
        let text = format!("arn:aws-us-gov:{resource}");
        let address = parse(&text).unwrap();
        assert_eq!((address.kind(), address.name()), (kind, name));
        let arn = address.arn().unwrap();
        assert_eq!((&*arn.region, &*arn.account), ("eu-west-1", "123456789012"));
        assert_eq!(arn.text, text);
        let is_target = !matches!(kind, Kind::Secret | Kind::Parameter | Kind::Table);
        assert_eq!(kind.is_target(), is_target);
    }
}

#[test]
fn rejects_arns_of_other_resources() {
    for (text, error) in [
        ("arn:aws:sqs:eu-west-1:123456789012", InvalidTarget::Arn),
        ("arn:aws:sqs::123456789012:q", InvalidTarget::Arn),
        ("arn:aws:sqs:eu-west-1:12345:q", InvalidTarget::Arn),
        ("arn:azure:sqs:eu-west-1:123456789012:q", InvalidTarget::Arn),
        (
            "arn:aws:s3:eu-west-1:123456789012:bucket",
            InvalidTarget::Service,
        ),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    for (resource, kind) in [
        ("sqs:eu-west-1:123456789012:", AddressKind::Queue),
        ("sqs:eu-west-1:123456789012:a/b", AddressKind::Queue),
        (
            "sns:eu-west-1:123456789012:topic:subscription",
            AddressKind::Topic,
        ),
        (
            "lambda:eu-west-1:123456789012:layer:x",
            AddressKind::Function,
        ),
        (
            "lambda:eu-west-1:123456789012:function:x:",
            AddressKind::Function,
        ),
        (
            "states:eu-west-1:123456789012:stateMachine:flow:2",
            AddressKind::StateMachine,
        ),
        (
            "states:eu-west-1:123456789012:execution:a:b",
            AddressKind::StateMachine,
        ),
        (
            "events:eu-west-1:123456789012:rule/x",
            AddressKind::EventBus,
        ),
        (
            "dynamodb:eu-west-1:123456789012:table/t/stream/x",
            AddressKind::Table,
        ),
    ] {
        let error = InvalidTarget::Resource { kind };
        assert_eq!(
            parse(&format!("arn:aws:{resource}")),
            Err(error),
            "{resource}"
        );
    }
}

#[test]
fn allows_plain_http_on_this_machine_only() {
    for text in [
        "https://example.com",
        "http://localhost:9000/x",
        "http://127.0.0.1:9000/x",
        "http://127.8.8.8/",
        "http://[::1]:9000/x",
    ] {
        let address = parse(text).unwrap();
        assert_eq!((address.kind(), address.name()), (AddressKind::Url, "url"));
    }
    for text in [
        "http://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "http://[::2]/",
    ] {
        assert_eq!(parse(text), Err(InvalidTarget::PlainHttp), "{text}");
    }
    for text in [
        "",
        "example.com/x",
        "ftp://example.com/",
        "https://",
        "mailto:a@b.c",
    ] {
        assert_eq!(parse(text), Err(InvalidTarget::Address), "{text}");
    }
    for text in [
        "https://user@example.com/",
        "https://:x@example.com/",
        "https://example.com/#x",
    ] {
        assert_eq!(parse(text), Err(InvalidTarget::UrlParts), "{text}");
    }
}

#[test]
fn shows_no_url_because_it_can_be_a_secret() {
    let address = parse("https://example.com/token-1?key=2").unwrap();
    assert_eq!(format!("{address:?}"), "url");
    let arn = "arn:aws:sqs:eu-west-1:123456789012:q";
    assert_eq!(format!("{:?}", parse(arn).unwrap()), arn);
}

#[test]
fn makes_no_target_of_an_address_or_settings_of_the_wrong_kind() {
    let table = parse("arn:aws:dynamodb:eu-west-1:123456789012:table/t").unwrap();
    let secret = parse("arn:aws:secretsmanager:eu-west-1:123456789012:secret:s").unwrap();
    let queue = parse("arn:aws:sqs:eu-west-1:123456789012:q").unwrap();
    let config = SdkConfig::builder().build();
    let error = |address: &TargetAddress, settings: &TargetSettings| {
        ServiceTarget::new(&config, address, settings).unwrap_err()
    };
    for address in [&table, &secret] {
        let kind = address.kind();
        let found = error(address, &TargetSettings::default());
        assert_eq!(found, InvalidTarget::NotATarget { kind });
    }
    let settings = TargetSettings {
        tables: vec![table.clone(), secret.clone()],
        ..TargetSettings::default()
    };
    let misused = InvalidTarget::Misused {
        kind: AddressKind::Secret,
        expected: "table for writes",
    };
    assert_eq!(error(&queue, &settings), misused);
    let settings = TargetSettings {
        secret: Some(table),
        ..TargetSettings::default()
    };
    let misused = InvalidTarget::Misused {
        kind: AddressKind::Table,
        expected: "signing secret",
    };
    assert_eq!(error(&queue, &settings), misused);
    let url = parse("https://example.com/").unwrap();
    assert_eq!(
        error(&url, &TargetSettings::default()),
        InvalidTarget::HttpClient
    );
}

#[test]
fn orders_targets_by_kind_so_that_those_that_refuse_come_first() {
    use AddressKind as Kind;
    let order = [
        Kind::Function,
        Kind::Url,
        Kind::StateMachine,
        Kind::Queue,
        Kind::Topic,
        Kind::EventBus,
    ];
    assert!(order.is_sorted());
}

#[test]
fn statuses_of_faults_never_refuse() {
    let statuses: RefusalStatuses = " 410, 409".parse().unwrap();
    for (status, refuses) in [(409, true), (410, true), (422, false)] {
        assert_eq!(statuses.contains(status), refuses);
    }
    assert!(!"".parse::<RefusalStatuses>().unwrap().contains(410));
    let default = RefusalStatuses::default();
    assert!(default.contains(410) && default.contains(422) && !default.contains(409));
    for text in [
        "401", "403", "404", "408", "425", "429", "399", "500", "200", "x", "410,", "410;422",
    ] {
        let found = text.parse::<RefusalStatuses>();
        assert_eq!(found, Err(InvalidTarget::RefusalStatus), "{text}");
    }
}
