//! Collects what the alarms watch, judges them, and sets their states in the emulator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::types::StateValue;
use onewrite::telemetry::NAMESPACE;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinHandle;

use super::{Alarm, State, TimeScale};
use crate::clients::Clients;
use crate::deploy::STACK_NAME;
use crate::error::{LocalError, Result};
use crate::metrics::{Metric, Samples};
use crate::stack::StackOutputs;
use crate::survey;

/// Between two looks; several fit into the shortest period.
const LOOK: Duration = Duration::from_millis(500);

/// The pseudo parameter that stands for the stack's name in a dimension.
const STACK: &str = "AWS::StackName";

/// What is watched.
pub struct Watched {
    /// Clients of the account's own credentials.
    pub clients: Clients,
    /// Where the stack's parts are.
    pub outputs: StackOutputs,
    /// Everything that the functions write.
    pub log: PathBuf,
    /// What has been told so far, by others too.
    pub samples: Samples,
}

/// Alarms that are being watched. Dropping it stops the watch; the alarms stay as they are.
#[derive(Debug)]
pub struct AlarmWatch(JoinHandle<()>);

impl Drop for AlarmWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AlarmWatch {
    /// Starts to watch.
    #[must_use]
    pub fn start(watched: Watched, alarms: Vec<Alarm>, scale: TimeScale) -> Self {
        Self(tokio::spawn(watch(watched, alarms, scale)))
    }
}

async fn watch(watched: Watched, alarms: Vec<Alarm>, scale: TimeScale) {
    let mut log = Log::of(&watched.log).await;
    let mut queue = Waiting::default();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    loop {
        log.read(&watched.samples).await;
        // What could not be asked for is asked for again: it is missing data until then.
        if let Err(error) = ask(&watched, &mut queue).await {
            tracing::warn!(%error, "an alarm's metrics could not be read");
        }
        for alarm in &alarms {
            let state = alarm.state(&watched.samples, Instant::now(), scale);
            if states.get(&alarm.name) == Some(&state) {
                continue;
            }
            match set(&watched.clients, &alarm.name, state).await {
                Ok(()) => drop(states.insert(alarm.name.clone(), state)),
                Err(error) => tracing::warn!(%error, alarm = alarm.name, "it could not be set"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Since when nothing has left a queue that is not empty.
#[derive(Debug, Default)]
struct Waiting {
    depth: usize,
    since: Option<Instant>,
}

impl Waiting {
    /// SQS tells the age of the oldest message to CloudWatch alone, and nobody may look without receiving. That nothing
    /// has left the queue for so long is what an operator is woken for, and never more than that age.
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

async fn ask(watched: &Watched, queue: &mut Waiting) -> Result<()> {
    let Watched {
        clients,
        outputs,
        samples,
        ..
    } = watched;
    let of_queue = |name, queue| Metric::new("AWS/SQS", name, &[("QueueName", queue)]);
    let depth = survey::depth(clients, &outputs.queue_url).await?;
    let now = Instant::now();
    let age = queue.age(depth.total(), now).as_secs_f64();
    let metric = of_queue("ApproximateAgeOfOldestMessage", "NotificationQueue");
    samples.record(metric, now, age);

    let dead = survey::depth(clients, &outputs.dead_letter_queue_url).await?;
    let metric = of_queue("ApproximateNumberOfMessagesVisible", "DeadLetterQueue");
    samples.record(metric, Instant::now(), dead.visible as f64);

    let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
    let objects = objects.send().await;
    let objects = objects.map_err(|error| LocalError::aws("ListObjectsV2", &error))?;
    let dimensions = [
        ("BucketName", "FailureBucket"),
        ("StorageType", "AllStorageTypes"),
    ];
    let metric = Metric::new("AWS/S3", "NumberOfObjects", &dimensions);
    let count = objects.key_count.unwrap_or_default();
    samples.record(metric, Instant::now(), f64::from(count));
    Ok(())
}

async fn set(clients: &Clients, name: &str, state: State) -> Result<()> {
    let (value, reason) = match state {
        State::Ok => (StateValue::Ok, "the threshold is not crossed"),
        State::Alarm => (StateValue::Alarm, "the threshold is crossed"),
    };
    let set = clients
        .cloudwatch
        .set_alarm_state()
        .alarm_name(format!("{STACK_NAME}-{name}"))
        .state_value(value)
        .state_reason(reason)
        .send()
        .await;
    set.map(drop)
        .map_err(|error| LocalError::aws("SetAlarmState", &error))
}

/// The functions' output: of it, the lines in CloudWatch's embedded metric format.
struct Log {
    file: Option<BufReader<tokio::fs::File>>,
    line: String,
}

impl Log {
    async fn of(path: &std::path::Path) -> Self {
        Self {
            file: tokio::fs::File::open(path).await.ok().map(BufReader::new),
            line: String::new(),
        }
    }

    /// Reads on to the end; a line that is not yet whole is kept for the next time.
    async fn read(&mut self, samples: &Samples) {
        let Some(file) = &mut self.file else { return };
        while let Ok(1..) = file.read_line(&mut self.line).await {
            if !self.line.ends_with('\n') {
                return;
            }
            for (metric, value) in metrics(&self.line) {
                samples.record(metric, Instant::now(), value);
            }
            self.line.clear();
        }
    }
}

/// The counts in a line of the log; none where it is another line. The emulator may write something before it.
fn metrics(line: &str) -> Vec<(Metric, f64)> {
    let line = line.find(r#"{"_aws""#).map(|start| &line[start..]);
    let line = line.and_then(|line| {
        let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
        values.next()?.ok()
    });
    let Some(line) = line else { return Vec::new() };
    let function = line["Function"].as_str().unwrap_or_default();
    let dimensions = [("Stack", STACK), ("Function", function)];
    let members = line.as_object().into_iter().flatten();
    members
        .filter_map(|(name, value)| {
            let metric = Metric::new(NAMESPACE, name, &dimensions);
            Some((metric, value.as_f64()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_functions_output() {
        let line = concat!(
            "2026-11-26 [lambda] ",
            r#"{"_aws":{"Timestamp":1},"Stack":"onewrite","Function":"ingest","Created":3,"QueueToStored":{"Values":[1],"Counts":[1]}}"#,
            "\n",
        );
        let dimensions = [("Stack", STACK), ("Function", "ingest")];
        let expected = Metric::new(NAMESPACE, "Created", &dimensions);
        assert_eq!(metrics(line), [(expected, 3.0)]);
        for other in ["{\"_aws\": \n", "{\"level\":\"INFO\"}\n", "\n"] {
            assert_eq!(metrics(other), [], "{other}");
        }
    }

    #[tokio::test]
    async fn a_line_that_is_half_written_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let line = "{\"_aws\":{},\"Function\":\"f\",\"Done\":2}\n";
        std::fs::write(&path, &line[..9]).unwrap();
        let (mut log, samples, from) = (Log::of(&path).await, Samples::default(), Instant::now());
        log.read(&samples).await;
        std::fs::write(&path, line).unwrap();
        log.read(&samples).await;
        let metric = Metric::new(NAMESPACE, "Done", &[("Stack", STACK), ("Function", "f")]);
        assert_eq!(samples.between(&metric, from, Instant::now()), [2.0]);
    }

    #[test]
    fn a_queue_that_is_being_emptied_does_not_age() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let mut age = |depth, seconds| {
            let now = start + Duration::from_secs(seconds);
            waiting.age(depth, now).as_secs()
        };
        let seen = [
            age(0, 0),
            age(2, 5),
            age(3, 9),
            age(2, 10),
            age(2, 17),
            age(0, 18),
            age(1, 30),
        ];
        assert_eq!(seen, [0, 0, 4, 0, 7, 0, 0]);
    }
}
