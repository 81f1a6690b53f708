//! Checks of the settings by which `ingest` defers messages in an outage.

use std::time::Duration;

use onewrite::{
    deferral::{MAX_OUTAGE, OUTAGE, Waits},
    limits::MAX_RECEIVES,
};

use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check,
        Level::Broken,
        Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{Finding, Guarantee::Progress},
    fixes::UNDO_VARIABLES,
    snapshot::{Function, Queue},
};

const QUEUE_URL: &str = "QUEUE_URL";
const OUTAGE_SECONDS: &str = "OUTAGE_SECONDS";

pub(super) fn findings(scope: Scope<'_>, ingest: &Function) -> Vec<Finding> {
    let Ok(queue) = &scope.stack.queue else {
        return Vec::new();
    };
    let setting = DeferralSetting {
        url: ingest.variable(QUEUE_URL).map(str::to_owned),
        outage_seconds: ingest.variable(OUTAGE_SECONDS).map(str::to_owned),
        queue: queue.clone(),
    };
    run(DEFERRAL, scope, &setting)
}

/// The settings of `ingest`, and the queue of its mapping.
struct DeferralSetting {
    url: Option<String>,
    outage_seconds: Option<String>,
    queue: Queue,
}

impl DeferralSetting {
    /// The outage; `None` if `ingest` does not start with this setting.
    fn outage(&self) -> Option<Duration> {
        let Some(seconds) = &self.outage_seconds else {
            return Some(OUTAGE);
        };
        let outage = Duration::from_secs(seconds.parse().ok()?);
        (Duration::ZERO < outage && outage <= MAX_OUTAGE).then_some(outage)
    }

    /// How long a message stays in the queue at most, if each receive fails for a transient reason.
    fn longest_stay_seconds(&self) -> i64 {
        let waits = Waits::outlasting(self.outage().unwrap_or_default());
        let waits = (1..MAX_RECEIVES).filter_map(|receive| waits.after(receive, 1.0));
        let seconds = waits.map(|wait| wait.as_secs()).sum::<u64>();
        // The last receive keeps the visibility timeout of the queue.
        i64::try_from(seconds).unwrap_or(i64::MAX) + self.queue.visibility_timeout_seconds
    }
}

/// The account and the name of a queue. The host of a URL differs by endpoint.
fn path(url: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = url.rsplit('/').take(2).collect();
    parts.reverse();
    parts
}

const DEFERRAL: &[Check<DeferralSetting>] = &[
    Check {
        id: "queue-url",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |_, setting| {
            let url = setting.url.as_deref().filter(|url| !url.is_empty());
            let is_right = url.is_some_and(|url| path(url) == path(&setting.queue.url));
            (!is_right).then(|| format!("{QUEUE_URL} is {}", url.unwrap_or("not set")))
        },
        needed: For(|_, setting| format!("{}, the queue of its mapping", setting.queue.url)),
        why: "ingest cannot defer messages, so an outage of minutes makes dead letters of valid messages",
        fix: Fixed(UNDO_VARIABLES),
    },
    Check {
        id: "outage-seconds",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, setting| {
            let seconds = setting.outage_seconds.as_deref().unwrap_or_default();
            (setting.outage().is_none()).then(|| format!("{OUTAGE_SECONDS} is {seconds}"))
        },
        needed: For(|_, _| format!("1 to {}", MAX_OUTAGE.as_secs())),
        why: "ingest does not start, and every message becomes a dead letter",
        fix: Fixed(UNDO_VARIABLES),
    },
    Check {
        id: "outage-seconds",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, setting| {
            let (stay, retention) = (
                setting.longest_stay_seconds(),
                setting.queue.retention_seconds,
            );
            let is_too_long = setting.outage().is_some() && stay >= retention;
            is_too_long.then(|| {
                format!(
                    "six receives take up to {stay} s, and MessageRetentionPeriod is {retention}"
                )
            })
        },
        needed: Fixed("a MessageRetentionPeriod that is longer than all receives take"),
        // SQS API reference, `SetQueueAttributes`, `MessageRetentionPeriod`.
        why: "SQS deletes a message after its retention, also if it never reached the dead-letter queue",
        fix: For(|_, setting| super::queues::set_longest_retention(&setting.queue)),
    },
];
