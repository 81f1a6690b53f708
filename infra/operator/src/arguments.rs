//! Arguments that several commands share.

use clap::Args;
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
    /// Endpoint for all services; for `cargo local up`, see target/local/stack.json.
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
        }
    }
}

/// Parses a notification id.
pub fn parse_id(text: &str) -> Result<NotificationId, String> {
    NotificationId::parse(text).map_err(|error| error.to_string())
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
