//! Checks of the functions' environment variables.

use onewrite::notification::{IdPointers, MessagePointers, Pointer};

use super::deferral;
use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check,
        Level::Broken,
        Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{
        Finding,
        Guarantee::{Effect, Progress, WrittenOnce},
    },
    fixes::{UNDO_VARIABLES, deploy},
    snapshot::{Function, Queue, ReadResult, StackSnapshot},
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

const MESSAGE_POINTER: &str = "MESSAGE_POINTER";
const NOTIFICATION_ID_POINTER: &str = "NOTIFICATION_ID_POINTER";

pub(super) fn of_ingest(scope: Scope<'_>) -> Vec<Finding> {
    let Ok(function) = &scope.stack.ingest.function else {
        return Vec::new();
    };
    let mut findings = run(DEPLOYED, scope, function);
    findings.extend(run(TABLE_NAME, scope, function));
    findings.extend(deferral::findings(scope, function));
    for setting in pointer_settings(function) {
        findings.extend(run(POINTERS, scope, &setting));
    }
    findings
}

pub(super) fn of_forward(scope: Scope<'_>) -> Vec<Finding> {
    match &scope.stack.forward.function {
        Ok(function) => {
            let mut findings = run(DEPLOYED, scope, function);
            findings.extend(run(STREAM_NAME, scope, function));
            findings.extend(run(EVENT_SOURCE, scope, function));
            findings
        }
        Err(_) => Vec::new(),
    }
}

pub(super) fn of_complete(scope: Scope<'_>) -> Vec<Finding> {
    let Ok(function) = &scope.stack.complete.function else {
        return Vec::new();
    };
    let mut findings = run(DEPLOYED, scope, function);
    findings.extend(run(TABLE_NAME, scope, function));
    findings.extend(run(DONE_RETENTION, scope, function));
    findings
}

/// Checks of every function.
const DEPLOYED: &[Check<Function>] = &[
    Check {
        id: "function-state",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |_, function| function.failure.clone(),
        needed: Fixed("State Active, LastUpdateStatus Successful"),
        why: "Lambda does not run the function, or runs it without the latest code and settings",
        fix: Fixed(
            "`aws lambda get-function-configuration` states the reason; fix it, then run `sam deploy`",
        ),
    },
    Check {
        id: "architecture",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |scope, function| {
            let parameter = scope.stack.parameter("Architecture")?;
            let architecture = function.architecture.as_deref()?;
            (parameter != architecture).then(|| format!("Architectures {architecture}"))
        },
        needed: For(|scope, _| {
            let parameter = scope.stack.parameter("Architecture");
            format!("{}, the stack's parameter", parameter.unwrap_or_default())
        }),
        why: "code that was built for the other architecture does not start",
        fix: Fixed("build and deploy with the same Architecture: `sam build`, then `sam deploy`"),
    },
];

const EVENT_SOURCE: &[Check<Function>] = &[Check {
    id: "parameter",
    severity: Broken,
    breaks: Guarantee(Progress),
    found: |scope, function| {
        let parameter = scope.stack.parameter("EventSource")?;
        wrong_variable(function, "EVENT_SOURCE", parameter)
    },
    needed: For(|scope, _| {
        let parameter = scope.stack.parameter("EventSource");
        format!(
            "EVENT_SOURCE is {}, the stack's parameter",
            parameter.unwrap_or_default()
        )
    }),
    why: "consumers identify an event by source and id: a repeated event looks like a new one",
    fix: Fixed(UNDO_VARIABLES),
}];

const TABLE_NAME: &[Check<Function>] = &[Check {
    id: "environment",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |scope, function| wrong_variable(function, "TABLE_NAME", &scope.stack.table_name),
    needed: For(|scope, _| {
        format!(
            "TABLE_NAME is {}, the stack's table",
            scope.stack.table_name
        )
    }),
    why: "the function writes to another table, or its writes are denied",
    fix: Fixed(UNDO_VARIABLES),
}];

const STREAM_NAME: &[Check<Function>] = &[Check {
    id: "environment",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |scope, function| wrong_variable(function, "STREAM_NAME", &scope.stack.stream_name),
    needed: For(|scope, _| {
        format!(
            "STREAM_NAME is {}, the stack's stream",
            scope.stack.stream_name
        )
    }),
    why: "the function publishes to another stream, or its writes are denied",
    fix: Fixed(UNDO_VARIABLES),
}];

fn wrong_variable(function: &Function, name: &str, needed: &str) -> Option<String> {
    let value = function.variable(name);
    (value != Some(needed)).then(|| format!("{name} is {}", value.unwrap_or("not set")))
}

/// A JSON pointer by which `ingest` finds a part of the message body.
struct PointerSetting {
    variable: &'static str,
    /// The template's parameter.
    parameter: &'static str,
    default: &'static str,
    value: String,
    /// An earlier setting with the same value.
    duplicate_of: Option<&'static str>,
}

impl PointerSetting {
    /// Why `ingest` does not accept the value.
    fn error(&self) -> Option<String> {
        if self.variable == NOTIFICATION_ID_POINTER {
            let error = self.value.parse::<IdPointers>().err()?;
            return Some(error.to_string());
        }
        let error = self.value.parse::<Pointer>().err()?;
        Some(error.to_string())
    }

    fn is_empty_id(&self) -> bool {
        self.variable == NOTIFICATION_ID_POINTER && self.value.is_empty()
    }
}

fn pointer_settings(function: &Function) -> Vec<PointerSetting> {
    let mut settings: Vec<PointerSetting> = Vec::new();
    for (variable, parameter, default) in [
        (
            MESSAGE_POINTER,
            "MessagePointer",
            MessagePointers::DEFAULT_MESSAGE,
        ),
        (
            NOTIFICATION_ID_POINTER,
            "NotificationIdPointer",
            MessagePointers::DEFAULT_ID,
        ),
        (
            "NOTIFICATION_TYPE_POINTER",
            "NotificationTypePointer",
            MessagePointers::DEFAULT_TYPE,
        ),
        (
            "PAYLOAD_POINTER",
            "PayloadPointer",
            MessagePointers::DEFAULT_PAYLOAD,
        ),
    ] {
        let value = function.variable(variable).unwrap_or(default);
        // The pointer to the message applies to the body, the others to the message, so equal texts differ in meaning.
        let mut earlier = settings
            .iter()
            .filter(|one| one.variable != MESSAGE_POINTER);
        let earlier = earlier.find(|earlier| earlier.value == value);
        settings.push(PointerSetting {
            variable,
            parameter,
            default,
            value: value.to_owned(),
            duplicate_of: earlier.map(|earlier| earlier.variable),
        });
    }
    settings
}

const POINTERS: &[Check<PointerSetting>] = &[
    Check {
        id: "pointers",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, setting| {
            let error = setting.error()?;
            Some(format!("{}: {error}", setting.variable))
        },
        needed: Fixed("a JSON pointer"),
        why: "ingest does not start, and every message becomes a dead letter",
        fix: For(restore_pointer),
    },
    Check {
        id: "pointers",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, setting| {
            setting
                .is_empty_id()
                .then(|| format!("{} is empty", setting.variable))
        },
        needed: Fixed("a pointer to the id in the message body"),
        why: "a whole body is never a valid id, so every message becomes a dead letter",
        fix: For(restore_pointer),
    },
    Check {
        id: "pointers",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, setting| {
            let other = setting.duplicate_of?;
            (setting.error().is_none() && !setting.is_empty_id()).then(|| {
                format!(
                    "{} and {other} are both {:?}",
                    setting.variable, setting.value
                )
            })
        },
        needed: Fixed("three different pointers"),
        why: "ingest uses one value for two purposes: it rejects messages or identifies them by the wrong value",
        fix: For(restore_pointer),
    },
];

fn restore_pointer(scope: &Scope<'_>, setting: &PointerSetting) -> String {
    restore(
        scope.stack,
        setting.parameter,
        &setting.value,
        setting.default,
    )
}

/// How to set a variable. A deployment changes it only if it has the value of the stack's parameter.
fn restore(stack: &StackSnapshot, parameter: &str, current: &str, needed: &str) -> String {
    match stack.parameter(parameter) {
        Some(value) if value != current => UNDO_VARIABLES.to_owned(),
        _ => deploy(parameter, needed),
    }
}

fn restore_done_retention(stack: &StackSnapshot, complete: &Function, needed: i64) -> String {
    let current = done_retention_days(complete).to_string();
    restore(stack, "DoneRetentionDays", &current, &needed.to_string())
}

const DONE_RETENTION: &[Check<Function>] = &[
    Check {
        id: "done-retention",
        severity: Broken,
        breaks: Guarantee(WrittenOnce),
        found: |scope, function| {
            let days = done_retention_days(function);
            is_done_retention_too_short(scope.stack, days)
                .then(|| format!("items expire {days} days after they are settled"))
        },
        needed: For(|scope, _| {
            format!(
                "0 (items never expire), or at least {}: longer than a message can stay in both queues",
                needed_done_retention_days(scope.stack)
            )
        }),
        why: "a copy of a message that arrives after its item expired is accepted again",
        fix: For(|scope, function| {
            let needed = needed_done_retention_days(scope.stack);
            restore_done_retention(scope.stack, function, needed)
        }),
    },
    Check {
        id: "done-retention",
        severity: Broken,
        breaks: Guarantee(Effect),
        found: |scope, function| {
            let days = done_retention_days(function);
            let hours = stream_retention_hours(scope.stack);
            let is_too_short = days != 0 && days * 24 <= hours;
            (is_too_short && !is_done_retention_too_short(scope.stack, days)).then(|| {
                format!(
                    "items expire {days} days after they are settled, events after {hours} hours"
                )
            })
        },
        needed: For(|scope, _| {
            format!(
                "0 (items never expire), or more than {} hours: longer than the stream keeps an event",
                stream_retention_hours(scope.stack)
            )
        }),
        why: "an event that is replayed after its item expired finds no item, and its consumer cannot see that it was handled",
        fix: For(|scope, function| {
            restore_done_retention(scope.stack, function, LONG_DONE_RETENTION_DAYS)
        }),
    },
];

/// The shortest retention of items that the template allows with a stream that keeps events for more than two weeks.
const LONG_DONE_RETENTION_DAYS: i64 = 400;

fn stream_retention_hours(stack: &StackSnapshot) -> i64 {
    let stream = stack.stream.as_ref();
    stream.map_or(0, |stream| stream.retention_hours)
}

/// The days for which items stay after they are settled; 0 if they never expire.
pub(super) fn done_retention_days(complete: &Function) -> i64 {
    let days = complete.variable("DONE_RETENTION_DAYS");
    days.and_then(|days| days.parse().ok()).unwrap_or(0)
}

/// Whether a copy of a message can be in a queue for longer than its item exists.
pub(super) fn is_done_retention_too_short(stack: &StackSnapshot, days: i64) -> bool {
    days != 0 && days * DAY_SECONDS <= retention_of_both_queues(stack)
}

fn needed_done_retention_days(stack: &StackSnapshot) -> i64 {
    retention_of_both_queues(stack) / DAY_SECONDS + 1
}

fn retention_of_both_queues(stack: &StackSnapshot) -> i64 {
    let retention =
        |queue: &ReadResult<Queue>| queue.as_ref().map_or(0, |queue| queue.retention_seconds);
    retention(&stack.queue) + retention(&stack.dead_letter_queue)
}
