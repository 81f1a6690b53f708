//! What a stack delivers notifications to: a ledger in this process, a URL, or a queue or function in the emulator.
//!
//! It exists before the stack is deployed, and becomes the template's parameters `DownstreamUrl` and `DownstreamArns`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::functions::Deployer;
use crate::ledger_receiver::LedgerReceiver;
use crate::oracle::Settlement;

/// The template parameter for a URL.
const URL: &str = "DownstreamUrl";

/// The template parameter for targets with an ARN.
const ARNS: &str = "DownstreamArns";

/// Where the notifications of a stack are delivered to. Template parameters that are given by hand win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Downstream {
    /// A [`LedgerReceiver`] of the stack.
    #[default]
    Ledger,
    /// Nothing, as on AWS unless parameters say otherwise: notifications stay in INIT.
    None,
    Targets(Targets),
}

/// Targets of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// An HTTP endpoint on this machine, or an HTTPS endpoint anywhere.
    pub url: Option<String>,
    /// Names of queues to create. A name that ends with `.fifo` is a FIFO queue.
    pub queues: Vec<String>,
    pub function: Option<Function>,
}

/// A function to create, in Python or JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The file with the code, which exports `handler`.
    pub file: PathBuf,
    /// A table to create, which the writes of the function may change. The function finds its name in the environment variable
    /// `LEDGER_TABLE_NAME`.
    pub table: Table,
}

/// A table to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    pub name: String,
    /// The name of the partition key, a string.
    pub key: String,
}

impl Table {
    /// Parses `NAME:KEY`.
    ///
    /// # Errors
    /// There is no name or no key.
    pub fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        match text.split_once(':') {
            Some((name, key)) if !name.is_empty() && !key.is_empty() => Ok(Self {
                name: name.to_owned(),
                key: key.to_owned(),
            }),
            _ => Err("write it as NAME:KEY"),
        }
    }
}

/// The existing downstream of a stack.
#[derive(Debug, Default)]
pub struct Created {
    pub(crate) ledger: Option<LedgerReceiver>,
    /// The template parameters that make the stack deliver to it.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The URLs of the queues, by name.
    pub(crate) queue_urls: BTreeMap<String, String>,
    /// The table of the function.
    table: Option<Table>,
}

impl Created {
    /// The receiver, if a stack with these parameters delivers to it. Another deployment may have replaced it.
    pub(crate) fn booking_ledger(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Option<&LedgerReceiver> {
        let url = parameters.get(URL);
        let is_target = |receiver: &&LedgerReceiver| Some(&receiver.url()) == url;
        self.ledger.as_ref().filter(is_target)
    }

    /// What moves the notifications of a stack with these parameters to DONE or REFUSED, and what it has booked.
    ///
    /// # Errors
    /// A failed call.
    pub(crate) async fn settlement(
        &self,
        clients: &Clients,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Settlement> {
        if !is_configured(parameters) {
            return Ok(Settlement::Elsewhere);
        }
        if let Some(receiver) = self.booking_ledger(parameters) {
            let ledger = receiver.ledger();
            return Ok(Settlement::Ledger {
                calls: Some(ledger.calls.values().copied().map(u64::from).sum()),
                booked: ledger.booked.into_iter().collect(),
            });
        }
        let is_function = parameters.get(ARNS) == self.parameters.get(ARNS);
        let booked = match self.table.as_ref().filter(|_| is_function) {
            Some(table) => read_keys(clients, table).await?,
            None => Vec::new(),
        };
        // A function without writes leaves its table empty.
        Ok(if booked.is_empty() {
            Settlement::Targets
        } else {
            Settlement::Ledger {
                booked,
                calls: None,
            }
        })
    }
}

/// Reads the key of each item of a table.
async fn read_keys(clients: &Clients, table: &Table) -> Result<Vec<String>> {
    let scan = clients.dynamodb.scan().table_name(&table.name);
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut keys = Vec::new();
    while let Some(item) = pages.next().await {
        let mut item = item.map_err(|error| LocalError::aws("Scan", &error))?;
        keys.extend(item.remove(&table.key).and_then(|key| match key {
            AttributeValue::S(key) => Some(key),
            _ => None,
        }));
    }
    Ok(keys)
}

impl Downstream {
    /// The downstream that is needed next to these template parameters: targets given by hand replace the ledger.
    pub(crate) fn next_to(&self, parameters: &BTreeMap<String, String>) -> Self {
        let is_given = [URL, ARNS]
            .iter()
            .any(|name| parameters.contains_key(*name));
        match self {
            Self::Ledger if is_given => Self::None,
            other => other.clone(),
        }
    }

    /// Checks the names and files before anything is built.
    ///
    /// # Errors
    /// [`LocalError::InvalidTarget`].
    pub(crate) fn check(&self) -> Result<()> {
        let Self::Targets(targets) = self else {
            return Ok(());
        };
        targets
            .queues
            .iter()
            .try_for_each(|name| check_queue(name))?;
        match &targets.function {
            Some(function) => FunctionInput::new(function).map(drop),
            None => Ok(()),
        }
    }

    /// Starts the ledger, or creates queues and functions in the emulator.
    ///
    /// # Errors
    /// A failed call.
    pub(crate) async fn create(&self, deployer: &Deployer) -> Result<Created> {
        match self {
            Self::None => Ok(Created::default()),
            Self::Ledger => {
                let ledger = LedgerReceiver::start().await?;
                let parameters = BTreeMap::from([(URL.to_owned(), ledger.url())]);
                Ok(Created {
                    ledger: Some(ledger),
                    parameters,
                    ..Created::default()
                })
            }
            Self::Targets(targets) => targets.create(deployer).await,
        }
    }
}

/// Whether a stack with these template parameters delivers notifications (the template's condition `HasDownstream`).
pub(crate) fn is_configured(parameters: &BTreeMap<String, String>) -> bool {
    let is_set = |name: &&str| parameters.get(*name).is_some_and(|value| !value.is_empty());
    [URL, ARNS].iter().any(is_set)
}

impl Targets {
    async fn create(&self, deployer: &Deployer) -> Result<Created> {
        let mut created = Created::default();
        if let Some(url) = &self.url {
            created.parameters.insert(URL.to_owned(), url.clone());
        }
        if self.queues.is_empty() && self.function.is_none() {
            return Ok(created);
        }
        let input = TargetsInput {
            queues: &self.queues,
            function: self.function.as_ref().map(FunctionInput::new).transpose()?,
        };
        let TargetsOutput { arns, queue_urls } = deployer.create_targets(&input).await?;
        created.parameters.insert(ARNS.to_owned(), arns.join(","));
        created.queue_urls = queue_urls;
        created.table = self
            .function
            .as_ref()
            .map(|function| function.table.clone());
        Ok(created)
    }
}

/// The input of `deploy.py targets`.
#[derive(Debug, Serialize)]
pub(crate) struct TargetsInput<'a> {
    queues: &'a [String],
    function: Option<FunctionInput<'a>>,
}

/// The output of `deploy.py targets`.
#[derive(Debug, Deserialize)]
pub(crate) struct TargetsOutput {
    arns: Vec<String>,
    queue_urls: BTreeMap<String, String>,
}

/// A function for `deploy.py`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct FunctionInput<'a> {
    name: &'a str,
    file: PathBuf,
    runtime: &'static str,
    table: &'a Table,
}

impl<'a> FunctionInput<'a> {
    fn new(function: &'a Function) -> Result<Self> {
        let Function { file, table } = function;
        let runtime = file
            .extension()
            .and_then(|extension| runtime(extension.to_str()?));
        let runtime = runtime.ok_or_else(|| invalid(file, "must be a .py, .mjs or .js file"))?;
        let name = file.file_stem().and_then(|name| name.to_str());
        // The name of a function, which is also the one of its module (Lambda API reference, CreateFunction).
        let name = name.filter(|name| is_name(name, 64));
        let reason = "must have a name of at most 64 of the characters a-z, A-Z, 0-9, - and _";
        let name = name.ok_or_else(|| invalid(file, reason))?;
        // The deployment runs in another directory.
        let absolute = file.canonicalize();
        let file = absolute.map_err(|source| LocalError::file(file, source))?;
        Ok(Self {
            name,
            file,
            runtime,
            table,
        })
    }
}

/// The runtime for files with this extension. The emulator uses the `python3` or `node` of this machine.
fn runtime(extension: &str) -> Option<&'static str> {
    match extension {
        "py" => Some("python3.12"),
        "mjs" | "js" => Some("nodejs22.x"),
        _ => None,
    }
}

/// Checks the name of a queue (SQS API reference, `CreateQueue`).
fn check_queue(name: &str) -> Result<()> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    if is_name(stem, 80 - (name.len() - stem.len())) {
        return Ok(());
    }
    let reason = "must be a queue name of at most 80 of the characters a-z, A-Z, 0-9, - and _, for a FIFO queue with .fifo at its end";
    Err(invalid(name, reason))
}

fn is_name(text: &str, limit: usize) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=limit).contains(&text.len()) && text.chars().all(is_allowed)
}

fn invalid(target: impl AsRef<Path>, reason: &str) -> LocalError {
    LocalError::InvalidTarget {
        target: target.as_ref().display().to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(named: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        named.iter().map(owned).collect()
    }

    fn queues(names: &[&str]) -> Downstream {
        Downstream::Targets(Targets {
            queues: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Targets::default()
        })
    }

    #[test]
    fn targets_by_hand_replace_the_ledger_and_other_parameters_do_not() {
        for (given, expected) in [
            (&[][..], Downstream::Ledger),
            (&[("ShardCount", "3")], Downstream::Ledger),
            (&[("DownstreamTypes", "url=refund.*")], Downstream::Ledger),
            (&[("DownstreamUrl", "http://127.0.0.1:1")], Downstream::None),
            (&[("DownstreamArns", "")], Downstream::None),
        ] {
            assert_eq!(Downstream::Ledger.next_to(&parameters(given)), expected);
        }
        let given = parameters(&[("DownstreamUrl", "")]);
        assert_eq!(queues(&["q"]).next_to(&given), queues(&["q"]));
    }

    #[test]
    fn a_stack_without_arns_and_url_has_no_downstream() {
        assert!(!is_configured(&parameters(&[])));
        let empty = parameters(&[("DownstreamUrl", ""), ("DownstreamArns", "")]);
        assert!(!is_configured(&empty));
        assert!(is_configured(&parameters(&[("DownstreamUrl", "u")])));
        assert!(is_configured(&parameters(&[("DownstreamArns", "a")])));
    }

    #[test]
    fn rejects_invalid_queue_names() {
        let long = "q".repeat(76);
        for valid in [
            "refunds",
            "Re-funds_2",
            "refunds.fifo",
            &format!("{long}fifo"),
        ] {
            assert!(queues(&[valid]).check().is_ok(), "{valid}");
        }
        for invalid in ["", ".fifo", "a b", "a.b", &format!("{long}.fifo"), "a,b"] {
            assert!(queues(&["q", invalid]).check().is_err(), "{invalid}");
        }
    }

    #[test]
    fn takes_name_and_runtime_of_a_function_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let table = Table::parse("ledger:entry_id").unwrap();
        let function = |name: &str| Function {
            file: directory.path().join(name),
            table: table.clone(),
        };
        for (name, runtime) in [
            ("ledger.py", "python3.12"),
            ("ledger.mjs", "nodejs22.x"),
            ("ledger.js", "nodejs22.x"),
        ] {
            let function = function(name);
            std::fs::write(&function.file, "").unwrap();
            let input = FunctionInput::new(&function).unwrap();
            assert_eq!((input.name, input.runtime), ("ledger", runtime));
            assert!(input.file.is_absolute());
        }
        for name in ["ledger.rb", "ledger", "my.ledger.py", "missing.py"] {
            assert!(FunctionInput::new(&function(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn parses_a_table_as_name_and_key() {
        let expected = Table {
            name: "ledger".into(),
            key: "entry_id".into(),
        };
        assert_eq!(Table::parse("ledger:entry_id"), Ok(expected));
        for invalid in ["ledger", "ledger:", ":key", ""] {
            assert!(Table::parse(invalid).is_err(), "{invalid}");
        }
    }
}
