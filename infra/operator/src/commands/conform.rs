//! `onewrite conform`: which promises of the contract a consumer keeps, on the local stack.

use std::collections::BTreeMap;
use std::process::ExitCode;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::ProvideCredentials as _;
use clap::Args;
use onewrite_stack::{
    clients::Clients,
    location::{StackLocation, is_loopback},
};
use serde::Serialize;

use crate::{
    conform::{
        function::Function,
        judge::{Log, Promise, Verdict, judge},
        program::Program,
        proxy::{Proxy, Tables},
        scenario::Plan,
        stage::{Consumer, Stage, StageError, create_tables, delete_tables},
    },
    error::{FAILED, OperatorError},
    terminal::{Output, json, print},
};

#[derive(Debug, Clone, Args)]
pub struct ConformArguments {
    #[command(flatten)]
    consumer: ConsumerArguments,
    /// Also play notifications that the consumer must refuse: their payload has "account": "closed".
    #[arg(long)]
    refuses: bool,
    /// Seed of ids, copies and orders. The same seed repeats a run.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct ConsumerArguments {
    /// Command line of the consumer. The shell starts it once for each batch.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Lambda function of the local stack. Crashes are not played. Its variables are changed, and restored at the end.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
}

/// The report in JSON.
#[derive(Debug, Serialize)]
struct Report {
    seed: u64,
    promises: Vec<PromiseReport>,
    not_played: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct PromiseReport {
    promise: &'static str,
    text: &'static str,
    verdict: &'static str,
    counterexample: Option<String>,
}

impl ConformArguments {
    /// Plays all faults and prints the verdicts.
    ///
    /// # Errors
    /// [`OperatorError::NotPlayed`], if the stack is not local or the consumer cannot be started.
    pub async fn run(
        &self,
        location: &StackLocation,
        output: Output,
    ) -> Result<ExitCode, OperatorError> {
        let config = location.load_config().await?;
        let upstream = config.endpoint_url().and_then(local_address).ok_or_else(|| {
            let reason = "conform plays on a local stack only: the endpoint must be http on this machine";
            OperatorError::NotPlayed(reason.to_owned())
        })?;
        let plan = Plan::new(self.seed, self.refuses);
        let played = self.play(&plan, &config, upstream).await;
        let log = played.map_err(|error| OperatorError::NotPlayed(error.to_string()))?;
        let report = Report::new(&plan, &log);
        print(&match output {
            Output::Json => json(&report),
            Output::Table => report.lines(),
        });
        Ok(report.exit_code())
    }

    async fn play(
        &self,
        plan: &Plan,
        config: &SdkConfig,
        upstream: String,
    ) -> Result<Log, StageError> {
        let clients = Clients::new(config);
        // Two runs at the same time have their own tables.
        let name = format!("onewrite-conform-{}-{}", plan.seed, std::process::id());
        let tables = Tables {
            ledger: format!("{name}-ledger"),
            notifications: name,
        };
        create_tables(&clients.dynamodb, &tables).await?;
        let played = self
            .play_on(plan, config, &clients, upstream, &tables)
            .await;
        delete_tables(&clients.dynamodb, &tables).await;
        played
    }

    async fn play_on(
        &self,
        plan: &Plan,
        config: &SdkConfig,
        clients: &Clients,
        upstream: String,
        tables: &Tables,
    ) -> Result<Log, StageError> {
        let consumer = match &self.consumer.function {
            Some(name) => {
                let proxy = Proxy::start(&upstream, tables).await?;
                let client = clients.lambda.clone();
                Consumer::Function(
                    Function::prepare(client, name, tables, &proxy).await?,
                    proxy,
                )
            }
            None => Consumer::Program(Program {
                command: self.consumer.command.clone().unwrap_or_default(),
                environment: environment(config, tables).await,
            }),
        };
        let stage = Stage {
            plan,
            client: clients.dynamodb.clone(),
            upstream,
            tables: tables.clone(),
            consumer,
        };
        // After Ctrl-C, the function gets its variables back, and the tables are deleted.
        let played = tokio::select! {
            played = stage.run(|play| eprintln!("{play}")) => played,
            _ = tokio::signal::ctrl_c() => Err(StageError::Interrupted),
        };
        if let Consumer::Function(function, _) = stage.consumer {
            function.restore().await?;
        }
        played
    }
}

/// The variables of the program. It has the credentials of this tool.
async fn environment(config: &SdkConfig, tables: &Tables) -> Vec<(&'static str, String)> {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let mut variables = vec![
        ("TABLE_NAME", tables.notifications.clone()),
        ("LEDGER_TABLE_NAME", tables.ledger.clone()),
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region),
    ];
    if let Some(provider) = config.credentials_provider()
        && let Ok(credentials) = provider.provide_credentials().await
    {
        let (key, secret) = (credentials.access_key_id(), credentials.secret_access_key());
        variables.push(("AWS_ACCESS_KEY_ID", key.to_owned()));
        variables.push(("AWS_SECRET_ACCESS_KEY", secret.to_owned()));
    }
    variables
}

/// Host and port of an endpoint on this machine.
fn local_address(url: &str) -> Option<String> {
    let address = url.strip_prefix("http://").filter(|_| is_loopback(url))?;
    let address = address.split('/').next()?;
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    Some(if has_port {
        address.to_owned()
    } else {
        format!("{address}:80")
    })
}

impl Report {
    fn new(plan: &Plan, log: &Log) -> Self {
        let verdicts: BTreeMap<Promise, Verdict> = judge(plan, log);
        let promises = verdicts.into_iter().map(|(promise, verdict)| {
            let (verdict, counterexample) = match verdict {
                Verdict::Kept => ("kept", None),
                Verdict::Broken(example) => ("broken", Some(example)),
                Verdict::NotTried => ("not tried", None),
            };
            PromiseReport {
                promise: promise.name(),
                text: promise.text(),
                verdict,
                counterexample,
            }
        });
        Self {
            seed: plan.seed,
            promises: promises.collect(),
            not_played: log.not_played.iter().copied().collect(),
        }
    }

    fn exit_code(&self) -> ExitCode {
        if self.promises.iter().any(|one| one.counterexample.is_some()) {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        }
    }

    fn lines(&self) -> String {
        let line = |promise: &PromiseReport| {
            let example = promise.counterexample.iter();
            let example: String = example.map(|text| format!("{:<11}{text}\n", "")).collect();
            format!("{:<9}  {}\n{example}", promise.verdict, promise.text)
        };
        let mut text: String = self.promises.iter().map(line).collect();
        if !self.not_played.is_empty() {
            text += &format!("Not played: {}.\n", self.not_played.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plays_only_on_this_machine() {
        let address = |url| local_address(url);
        assert_eq!(
            address("http://127.0.0.1:4566/").as_deref(),
            Some("127.0.0.1:4566")
        );
        assert_eq!(address("http://localhost").as_deref(), Some("localhost:80"));
        assert_eq!(address("http://[::1]").as_deref(), Some("[::1]:80"));
        for url in [
            "https://dynamodb.eu-west-1.amazonaws.com",
            "http://10.0.0.1:4566",
            "https://127.0.0.1:4566",
        ] {
            assert_eq!(address(url), None, "{url}");
        }
    }

    #[test]
    fn a_broken_promise_is_reported_with_its_counterexample() {
        let plan = Plan::new(1, false);
        let report = Report::new(&plan, &Log::default());
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        let log = Log {
            invocations: vec![crate::conform::judge::Invocation {
                batch: 0,
                attempt: 0,
                first: 0,
                answer: crate::conform::judge::Answer::Failures(Vec::new()),
                writes: Vec::new(),
                has_payload: true,
            }],
            not_played: ["crash"].into(),
            ..Log::default()
        };
        let report = Report::new(&plan, &log);
        assert_eq!(report.exit_code(), ExitCode::from(FAILED));
        let text = report.lines();
        let expected = "broken     The output has no payload\n           the payload is in the output (duplicates in a batch)\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("not tried  A refused notification"), "{text}");
        assert!(text.ends_with("Not played: crash.\n"), "{text}");
    }
}
