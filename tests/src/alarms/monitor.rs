//! Collects the metrics of the alarms, evaluates the alarms, and sets their states in the emulator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use aws_sdk_cloudwatch::types::StateValue;
use onewrite_local::{
    clients::Clients,
    inspect,
    metrics::{Metric, Samples},
    parameters::STACK_NAME,
    stack::Stack,
};
use onewrite_stack::outputs::StackOutputs;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinHandle;

use super::{Alarm, AlarmState, TimeScale};
use crate::template::template;

/// The evaluation interval. The shortest period must contain several.
const INTERVAL: Duration = Duration::from_millis(500);

/// The pseudo parameter for the stack's name in a dimension.
const STACK_DIMENSION: &str = "AWS::StackName";

/// The sources of a stack's metrics.
struct MetricSources {
    clients: Clients,
    outputs: StackOutputs,
    /// The file with the functions' output.
    log: PathBuf,
    /// The recorded metrics. Other parts of the stack record here too.
    samples: Samples,
}

/// Evaluates alarms in the background. Dropping it stops the evaluation; the alarms keep their states.
#[derive(Debug)]
pub struct AlarmMonitor(JoinHandle<()>);

impl Drop for AlarmMonitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AlarmMonitor {
    /// Starts to evaluate the template's alarms for a stack.
    ///
    /// # Errors
    /// The form of an alarm is not supported.
    pub fn start(stack: &Stack, scale: TimeScale) -> Result<Self> {
        let template = template()?;
        let parameter = |name: &str| {
            let deployed = stack.parameters().get(name).cloned();
            deployed.or_else(|| template.default(name))
        };
        let alarms = Alarm::read_all(&template, &parameter)?;
        let sources = MetricSources {
            clients: stack.clients().clone(),
            outputs: stack.outputs().clone(),
            log: stack.log(),
            samples: stack.samples().clone(),
        };
        Ok(Self(tokio::spawn(run(sources, alarms, scale))))
    }
}

async fn run(sources: MetricSources, alarms: Vec<Alarm>, scale: TimeScale) {
    let mut log = MetricLog::open(&sources.log).await;
    let mut queue = QueueAge::default();
    let mut states: BTreeMap<String, AlarmState> = BTreeMap::new();
    loop {
        log.read(&sources.samples).await;
        // The next round retries. Until then the data is missing.
        if let Err(error) = collect(&sources, &mut queue).await {
            tracing::warn!(%error, "failed to read the metrics of an alarm");
        }
        for alarm in &alarms {
            let state = alarm.state(&sources.samples, Instant::now(), scale);
            if states.get(&alarm.name) == Some(&state) {
                continue;
            }
            match set_state(&sources.clients, &alarm.name, state).await {
                Ok(()) => drop(states.insert(alarm.name.clone(), state)),
                Err(error) => {
                    tracing::warn!(%error, alarm = alarm.name, "failed to set the state of an alarm")
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The time since a message last left a queue that is not empty.
#[derive(Debug, Default)]
struct QueueAge {
    depth: usize,
    since: Option<Instant>,
}

impl QueueAge {
    /// Estimates the age of the oldest message. SQS publishes the age only to CloudWatch, and reading a message requires
    /// receiving it. The estimate never exceeds the age, and it grows whenever the queue is stuck.
    fn age(&mut self, depth: usize, now: Instant) -> Duration {
        if depth == 0 {
            self.since = None;
        } else if depth < self.depth || self.since.is_none() {
            self.since = Some(now);
        }
        self.depth = depth;
        self.since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

async fn collect(sources: &MetricSources, queue: &mut QueueAge) -> Result<()> {
    let MetricSources {
        clients,
        outputs,
        samples,
        ..
    } = sources;
    let of_queue = |name, queue| Metric::new("AWS/SQS", name, &[("QueueName", queue)]);
    let depth = inspect::read_queue_depth(clients, &outputs.queue_url).await?;
    let now = Instant::now();
    let age = queue.age(depth.total(), now).as_secs_f64();
    let metric = of_queue("ApproximateAgeOfOldestMessage", "NotificationQueue");
    samples.record(metric, now, age);

    let dead = inspect::read_queue_depth(clients, &outputs.dead_letter_queue_url).await?;
    let metric = of_queue("ApproximateNumberOfMessagesVisible", "DeadLetterQueue");
    samples.record(metric, Instant::now(), dead.waiting as f64);

    let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
    let objects = objects.send().await?;
    let dimensions = [
        ("BucketName", "FailureBucket"),
        ("StorageType", "AllStorageTypes"),
    ];
    let metric = Metric::new("AWS/S3", "NumberOfObjects", &dimensions);
    let count = objects.key_count.unwrap_or_default();
    samples.record(metric, Instant::now(), f64::from(count));
    Ok(())
}

async fn set_state(clients: &Clients, name: &str, state: AlarmState) -> Result<()> {
    let (value, reason) = match state {
        AlarmState::Ok => (StateValue::Ok, "the threshold is not crossed"),
        AlarmState::Alarm => (StateValue::Alarm, "the threshold is crossed"),
    };
    clients
        .cloudwatch
        .set_alarm_state()
        .alarm_name(format!("{STACK_NAME}-{name}"))
        .state_value(value)
        .state_reason(reason)
        .send()
        .await?;
    Ok(())
}

/// The lines in CloudWatch's embedded metric format in the functions' output.
struct MetricLog {
    file: Option<BufReader<tokio::fs::File>>,
    line: String,
}

impl MetricLog {
    async fn open(path: &std::path::Path) -> Self {
        Self {
            file: tokio::fs::File::open(path).await.ok().map(BufReader::new),
            line: String::new(),
        }
    }

    /// Reads to the end. An incomplete line is kept for the next call.
    async fn read(&mut self, samples: &Samples) {
        let Some(file) = &mut self.file else { return };
        while let Ok(1..) = file.read_line(&mut self.line).await {
            if !self.line.ends_with('\n') {
                return;
            }
            for (metric, value) in parse_metrics(&self.line) {
                samples.record(metric, Instant::now(), value);
            }
            self.line.clear();
        }
    }
}

/// Parses the counts in a line of the log. Other lines have none. The emulator may add a prefix to the line.
fn parse_metrics(line: &str) -> Vec<(Metric, f64)> {
    let line = line.find(r#"{"_aws""#).map(|start| &line[start..]);
    let line = line.and_then(|line| {
        let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
        values.next()?.ok()
    });
    let Some(line) = line else { return Vec::new() };
    let namespace = line.pointer("/_aws/CloudWatchMetrics/0/Namespace");
    let namespace = namespace.and_then(Value::as_str).unwrap_or_default();
    let function = line["Function"].as_str().unwrap_or_default();
    let dimensions = [("Stack", STACK_DIMENSION), ("Function", function)];
    let members = line.as_object().into_iter().flatten();
    members
        .filter_map(|(name, value)| {
            let metric = Metric::new(namespace, name, &dimensions);
            Some((metric, value.as_f64()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_counts_in_the_functions_output() {
        let line = concat!(
            "2026-11-26 [lambda] ",
            r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n"}]},"Stack":"onewrite","Function":"ingest","Created":3,"QueueToStored":{"Values":[1],"Counts":[1]}}"#,
            "\n",
        );
        let dimensions = [("Stack", STACK_DIMENSION), ("Function", "ingest")];
        let expected = Metric::new("n", "Created", &dimensions);
        assert_eq!(parse_metrics(line), [(expected, 3.0)]);
        for other in ["{\"_aws\": \n", "{\"level\":\"INFO\"}\n", "\n"] {
            assert_eq!(parse_metrics(other), [], "{other}");
        }
    }

    #[tokio::test]
    async fn reads_an_incomplete_line_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let line = concat!(
            r#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"n"}]},"Function":"f","Done":2}"#,
            "\n",
        );
        std::fs::write(&path, &line[..9]).unwrap();
        let (mut log, samples, from) = (
            MetricLog::open(&path).await,
            Samples::default(),
            Instant::now(),
        );
        log.read(&samples).await;
        std::fs::write(&path, line).unwrap();
        log.read(&samples).await;
        let metric = Metric::new(
            "n",
            "Done",
            &[("Stack", STACK_DIMENSION), ("Function", "f")],
        );
        assert_eq!(samples.between(&metric, from, Instant::now()), [2.0]);
    }

    #[test]
    fn resets_the_age_when_a_message_leaves_the_queue() {
        let (mut queue, start) = (QueueAge::default(), Instant::now());
        let mut age = |depth, seconds| {
            let now = start + Duration::from_secs(seconds);
            queue.age(depth, now).as_secs()
        };
        let ages = [
            age(0, 0),
            age(2, 5),
            age(3, 9),
            age(2, 10),
            age(2, 17),
            age(0, 18),
            age(1, 30),
        ];
        assert_eq!(ages, [0, 0, 4, 0, 7, 0, 0]);
    }
}
