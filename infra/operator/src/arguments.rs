//! Arguments that several commands share.

use clap::Args;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use onewrite::notification::NotificationId;
use onewrite_stack::location::StackLocation;

use crate::format::shell_quote;

/// The stack name in the project's `samconfig.toml`.
const DEFAULT_STACK: &str = "onewrite";

/// The default number of notifications or messages a second. Our own choice: far below what the table and the functions
/// handle, so that new messages are not delayed.
pub const DEFAULT_RATE: u32 = 100;

/// The options that select a stack.
#[derive(Debug, Clone, Args)]
pub struct StackArguments {
    /// Name of the stack.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "ONEWRITE_STACK",
        hide_env_values = true,
        default_value = DEFAULT_STACK
    )]
    stack: String,
    /// Profile of the AWS configuration.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Region of the stack.
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Endpoint for all services. The stack of `cargo local up` is found without it.
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl StackArguments {
    /// The command line that runs this tool on the same stack, for suggested commands.
    #[must_use]
    pub fn command(&self) -> String {
        let stack = (self.stack != DEFAULT_STACK).then_some(&self.stack);
        let flags = [
            ("--stack", stack),
            ("--profile", self.profile.as_ref()),
            ("--region", self.region.as_ref()),
            ("--endpoint-url", self.endpoint_url.as_ref()),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(flag, value)| Some(format!(" {flag} {}", shell_quote(value?))));
        std::iter::once("onewrite".to_owned())
            .chain(flags)
            .collect()
    }
}

impl From<&StackArguments> for StackLocation {
    fn from(arguments: &StackArguments) -> Self {
        Self {
            stack: arguments.stack.clone(),
            profile: arguments.profile.clone(),
            region: arguments.region.clone(),
            endpoint_url: arguments.endpoint_url.clone(),
            credentials: None,
        }
    }
}

/// Parses a notification id.
pub fn parse_id(text: &str) -> Result<NotificationId, String> {
    NotificationId::parse(text).map_err(|error| error.to_string())
}

/// Parses a time: a date, which means its midnight in UTC, or a time with a time zone.
///
/// # Errors
/// A text that says what is expected.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok();
    let midnight = || TimeZone::UTC.to_timestamp(date()?.at(0, 0, 0, 0)).ok();
    text.parse().ok().or_else(midnight).ok_or_else(|| {
        "must be a date or a time in UTC: 2026-11-28 or 2026-11-28T10:00Z".to_owned()
    })
}

/// The flag for this rate; `None` for the default.
#[must_use]
pub fn rate_flag(rate: u32) -> Option<String> {
    (rate != DEFAULT_RATE).then(|| format!(" --rate {rate}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_dates_and_times() {
        for (text, time) in [
            ("2026-11-28", "2026-11-28T00:00:00Z"),
            ("2026-11-28T10:00Z", "2026-11-28T10:00:00Z"),
            ("2026-11-28T10:00+02:00", "2026-11-28T08:00:00Z"),
        ] {
            assert_eq!(parse_time(text).unwrap().to_string(), time);
        }
        for wrong in ["", "yesterday", "2d", "2026-13-01"] {
            assert!(parse_time(wrong).unwrap_err().contains("2026-11-28"));
        }
    }

    #[test]
    fn suggests_commands_for_the_same_stack() {
        let arguments = |stack: &str, region: Option<&str>| StackArguments {
            stack: stack.to_owned(),
            profile: None,
            region: region.map(str::to_owned),
            endpoint_url: None,
        };
        assert_eq!(arguments("onewrite", None).command(), "onewrite");
        assert_eq!(
            arguments("prod", Some("eu-west-1")).command(),
            "onewrite --stack prod --region eu-west-1"
        );
    }
}
