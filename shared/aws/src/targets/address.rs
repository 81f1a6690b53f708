//! Which target an ARN or a URL names.

use std::{fmt, str::FromStr};

use url::{Host, Position, Url};

/// The kind of an address, in the order in which targets are called: those that can refuse a notification come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKind {
    /// A Lambda function.
    Function,
    /// An HTTPS endpoint.
    Url,
    /// A Step Functions state machine.
    StateMachine,
    /// An SQS queue.
    Queue,
    /// An SNS topic.
    Topic,
    /// An EventBridge event bus.
    EventBus,
    /// A secret in Secrets Manager, which is no target.
    Secret,
    /// A parameter of Systems Manager, which is no target.
    Parameter,
    /// A DynamoDB table, which is no target.
    Table,
}

impl AddressKind {
    /// Whether notifications can be delivered there.
    #[must_use]
    pub fn is_target(self) -> bool {
        !matches!(self, Self::Secret | Self::Parameter | Self::Table)
    }
}

/// The address of a target, or of what a target uses.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetAddress(Address);

#[derive(Clone, PartialEq, Eq)]
enum Address {
    Arn(Arn),
    Url(HttpUrl),
}

impl TargetAddress {
    /// The kind of the address.
    #[must_use]
    pub fn kind(&self) -> AddressKind {
        match &self.0 {
            Address::Arn(arn) => arn.kind,
            Address::Url(_) => AddressKind::Url,
        }
    }

    /// The name of the queue, function, state machine, topic, bus or table, without a version or alias; `url` for a URL.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Address::Arn(arn) => &arn.name,
            Address::Url(_) => "url",
        }
    }

    pub(super) fn arn(&self) -> Option<&Arn> {
        match &self.0 {
            Address::Arn(arn) => Some(arn),
            Address::Url(_) => None,
        }
    }

    pub(super) fn url(&self) -> Option<&HttpUrl> {
        match &self.0 {
            Address::Url(url) => Some(url),
            Address::Arn(_) => None,
        }
    }
}

impl fmt::Debug for TargetAddress {
    /// Shows no URL, because its path or query can be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn().map_or("url", |arn| &arn.text))
    }
}

impl FromStr for TargetAddress {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if text.starts_with("arn:") {
            Ok(Self(Address::Arn(Arn::parse(text)?)))
        } else {
            Ok(Self(Address::Url(HttpUrl::parse(text)?)))
        }
    }
}

/// The ARN of a resource that this project uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arn {
    pub(super) text: String,
    pub(super) kind: AddressKind,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) name: String,
}

impl Arn {
    /// `arn:partition:service:region:account-id:resource` (AWS general reference, "Amazon Resource Names").
    fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let &[_, partition, service, region, account, resource] = parts.as_slice() else {
            return Err(InvalidTarget::Arn);
        };
        let is_word = |text: &str| {
            let is_allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !text.is_empty() && text.bytes().all(is_allowed)
        };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_arn =
            partition.starts_with("aws") && [partition, service, region].into_iter().all(is_word);
        if !is_arn || !is_account {
            return Err(InvalidTarget::Arn);
        }
        let (kind, name) = resource_name(service, resource)?;
        Ok(Self {
            text: text.to_owned(),
            kind,
            region: region.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The kind and the name of a resource (Service authorization reference, "Resource types" of each service).
fn resource_name<'a>(
    service: &str,
    resource: &'a str,
) -> Result<(AddressKind, &'a str), InvalidTarget> {
    use AddressKind as Kind;
    let typed = |prefix: &str| resource.strip_prefix(prefix);
    // A function can have a version or an alias.
    let qualified = |prefix: &str| {
        let (name, qualifier) = match typed(prefix)?.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (typed(prefix)?, None),
        };
        qualifier.is_none_or(is_name).then_some(name)
    };
    let (kind, name) = match service {
        "lambda" => (Kind::Function, qualified("function:")),
        "states" => (
            Kind::StateMachine,
            // A version or an alias has another colon. Step Functions authorizes calls of it by the ARN of the state machine
            // (Step Functions developer guide, "Authorization for versions and aliases"), which the role would not have.
            typed("stateMachine:"),
        ),
        "sqs" => (Kind::Queue, Some(resource)),
        "sns" => (Kind::Topic, Some(resource)),
        "events" => (Kind::EventBus, typed("event-bus/")),
        "secretsmanager" => (Kind::Secret, typed("secret:")),
        "ssm" => (Kind::Parameter, typed("parameter/")),
        "dynamodb" => (Kind::Table, typed("table/")),
        _ => return Err(InvalidTarget::Service),
    };
    let has_folders = matches!(kind, Kind::EventBus | Kind::Secret | Kind::Parameter);
    name.filter(|name| is_name(name) && (has_folders || !name.contains('/')))
        .map(|name| (kind, name))
        .ok_or(InvalidTarget::Resource { kind })
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+=@$".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// The URL of an HTTPS endpoint, or of an HTTP endpoint on this machine.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct HttpUrl {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// Path and query, encoded. It can be a secret.
    pub(super) path: String,
}

impl HttpUrl {
    fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let url = Url::parse(text).map_err(|_| InvalidTarget::Address)?;
        let is_loopback = match url.host().ok_or(InvalidTarget::Address)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => return Err(InvalidTarget::PlainHttp),
            _ => return Err(InvalidTarget::Address),
        }
        // HTTP clients do not send them as part of the URL.
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(InvalidTarget::UrlParts);
        }
        Ok(Self {
            origin: url[..Position::BeforePath].to_owned(),
            path: url[Position::BeforePath..].to_owned(),
        })
    }
}

/// Why an address or a setting of targets is wrong. It never quotes a URL, which may contain a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The text is neither an ARN nor a URL.
    #[error("it is neither an ARN nor a URL that begins with https://")]
    Address,
    /// The text is not an ARN.
    #[error("an ARN has the form arn:partition:service:region:account:resource")]
    Arn,
    /// The ARN belongs to a service without targets.
    #[error(
        "use the ARN of an SQS queue, a Lambda function, a Step Functions state machine, an EventBridge event bus, an SNS topic, a secret, a parameter or a DynamoDB table"
    )]
    Service,
    /// The ARN names another resource of the service.
    #[error("the resource of the ARN is not a {kind:?}")]
    Resource {
        /// The kind that was expected.
        kind: AddressKind,
    },
    /// The URL is not encrypted.
    #[error("use https://; http:// is only allowed for this machine (localhost, 127.0.0.1, [::1])")]
    PlainHttp,
    /// The URL has parts that requests do not have.
    #[error("a URL must not contain a user name, a password or a fragment")]
    UrlParts,
    /// Notifications cannot be delivered to an address of this kind.
    #[error("a {kind:?} is not a target")]
    NotATarget {
        /// The kind of the address.
        kind: AddressKind,
    },
    /// An address of another kind was expected.
    #[error("a {kind:?} cannot be used as {expected}")]
    Misused {
        /// The kind of the address.
        kind: AddressKind,
        /// What it was given for.
        expected: &'static str,
    },
    /// Requests to a URL need an HTTP client.
    #[error("the SDK configuration has no HTTP client")]
    HttpClient,
    /// The status must not refuse notifications.
    #[error(
        "a status that refuses is a number from 400 to 499, but not 401, 403, 404, 408, 425 or 429"
    )]
    RefusalStatus,
}
