//! `onewrite pause` and `onewrite resume`: stop and start event source mappings through the Lambda API, without a deployment.

use std::{process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use onewrite_stack::{
    enabled_sources::{EnabledSources, PARAMETER},
    mapping_switch::{self, MappingSource, SafeTime, SwitchableMapping, target_state},
    stack::Stack,
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    confirmation::Confirmation,
    context::Context,
    error::{FAILED, OperatorError},
    format::duration,
    terminal::{Output, json, print},
};

#[derive(Debug, Clone, Args)]
pub struct PauseArguments {
    /// Functions whose event sources are meant. Default: all three.
    #[arg(value_name = "FUNCTION", value_enum)]
    functions: Vec<Function>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// A function with an event source mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    /// Reads the queue.
    Ingest,
    /// Reads the table's stream.
    Forward,
    /// Reads the notification stream.
    Complete,
}

impl Function {
    /// The name in the parameter.
    fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Forward => "forward",
            Self::Complete => "complete",
        }
    }
}

/// One mapping: what it reads, and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MappingReport {
    function: Function,
    source: MappingSource,
    state: String,
    safe: SafeTime,
    #[serde(skip)]
    uuid: String,
}

/// What the parameters of the stack say.
#[derive(Debug, Clone, Copy)]
struct Deployment {
    sources: EnabledSources,
    has_downstream: bool,
}

/// What to do with the mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    Pause,
    Resume,
}

/// Pauses or resumes the mappings, if confirmed, and waits until Lambda has done it.
///
/// # Errors
/// [`OperatorError`]: a call failed.
pub async fn run(
    arguments: &PauseArguments,
    switch: Switch,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let is_applied = arguments.confirmation.is_apply()?;
    let mut reports = read(&context.stack, &arguments.functions()).await?;
    let pending = reports.iter().filter(|one| !switch.is_done(one)).count();
    if is_applied && pending > 0 {
        if arguments.confirmation.is_interactive() && context.output == Output::Table {
            print(&lines(&reports, switch, false));
        }
        let question = format!("{} {pending} event sources?", switch.verb());
        arguments.confirmation.ask(&question)?;
        eprintln!("waiting for Lambda");
        let (stack, is_enabled) = (&context.stack, switch == Switch::Resume);
        let mut switches = JoinSet::new();
        for (index, report) in reports.iter().enumerate() {
            let (stack, uuid) = (stack.clone(), report.uuid.clone());
            switches.spawn(async move {
                let state = mapping_switch::switch(&stack, &uuid, is_enabled).await;
                (index, state)
            });
        }
        // An error does not stop the others: the mappings must not wait for each other.
        let mut failed = Ok(());
        for (index, state) in switches.join_all().await {
            match state {
                Ok(state) => reports[index].state = state,
                Err(error) => failed = Err(error),
            }
        }
        failed?;
    }
    print(&match context.output {
        Output::Json => json(&reports),
        Output::Table => {
            let parameters = &context.stack.parameters;
            let parameter = parameters.get(PARAMETER).map(String::as_str);
            let deployment = Deployment {
                sources: EnabledSources::parse(parameter),
                has_downstream: context.stack.has_downstream(),
            };
            lines(&reports, switch, is_applied)
                + &arguments.advice(&reports, switch, is_applied, deployment, &context.command)
        }
    });
    let is_late = is_applied && !reports.iter().all(|one| switch.is_done(one));
    Ok(if is_late || reports.is_empty() {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads the mappings of the functions.
async fn read(stack: &Stack, functions: &[Function]) -> Result<Vec<MappingReport>, OperatorError> {
    let mut reports = Vec::new();
    for function in functions {
        let name = match function {
            Function::Ingest => &stack.outputs.ingest,
            Function::Forward => &stack.outputs.forward,
            Function::Complete => &stack.outputs.complete,
        };
        for mapping in mapping_switch::list(stack, name).await? {
            let safe = mapping_switch::read_safe_time(stack, &mapping).await?;
            let SwitchableMapping {
                uuid,
                state,
                source,
                ..
            } = mapping;
            reports.push(MappingReport {
                function: *function,
                source,
                state,
                safe,
                uuid,
            });
        }
    }
    Ok(reports)
}

impl Switch {
    fn verb(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
        }
    }

    fn is_done(self, report: &MappingReport) -> bool {
        report.state == target_state(self == Self::Resume)
    }
}

impl PauseArguments {
    fn functions(&self) -> Vec<Function> {
        if self.functions.is_empty() {
            Function::value_variants().to_vec()
        } else {
            self.functions.clone()
        }
    }

    /// What happens next: how long the pause may last, what a deployment does, and the next command.
    fn advice(
        &self,
        reports: &[MappingReport],
        switch: Switch,
        is_applied: bool,
        deployment: Deployment,
        command: &str,
    ) -> String {
        let is_complete_missing = self.functions().contains(&Function::Complete)
            && !reports.iter().any(|one| one.function == Function::Complete);
        let mut text = if is_complete_missing && !deployment.has_downstream {
            "No downstream is configured, so no event source mapping invokes complete.\n".to_owned()
        } else {
            String::new()
        };
        if reports.is_empty() {
            return text + "The functions have no event source mapping.\n";
        }
        let functions = self.functions.iter();
        let functions: String = functions.map(|one| format!(" {}", one.name())).collect();
        let is_done = reports.iter().all(|one| switch.is_done(one));
        text += &next_deployment(&self.functions(), switch, deployment.sources);
        if !is_done {
            let verb = switch.verb().to_lowercase();
            let state = if is_applied {
                "Lambda is not done after ten minutes."
            } else {
                "Nothing was changed."
            };
            text += &format!("{state}\nNext: {command} {verb}{functions} --apply\n");
        } else if switch == Switch::Pause {
            text += &format!("Next: {command} resume{functions} --apply\n");
        }
        text
    }
}

/// What a deployment does to a mapping that was switched outside of it.
///
/// CloudFormation compares the template and its parameters with those of the deployment before, not with the resource
/// (CloudFormation user guide, "Using drift-aware change sets"). So it touches a mapping only if a property of the mapping
/// changed. The update then sets all properties of the template, also `Enabled`.
fn next_deployment(functions: &[Function], switch: Switch, deployed: EnabledSources) -> String {
    let is_resume = switch == Switch::Resume;
    let names: Vec<_> = functions.iter().map(|one| one.name()).collect();
    let contradicted: Vec<_> = names
        .iter()
        .copied()
        .filter(|name| deployed.contains(name) != is_resume)
        .collect();
    if contradicted.is_empty() {
        return String::new();
    }
    let needed = deployed.with(&names, is_resume);
    let names = contradicted.join(", ");
    match switch {
        Switch::Pause => format!(
            "A deployment that changes a property of the event source mapping resumes {names}, unless it sets {PARAMETER}={needed}. Other deployments, also with {PARAMETER}={deployed}, leave it paused: use `resume`.\n"
        ),
        Switch::Resume => format!(
            "The stack was deployed with {PARAMETER}={deployed}. A deployment that changes another property of the event source mapping pauses {names} again, unless it sets {PARAMETER}={needed}.\n"
        ),
    }
}

/// One line for each mapping.
fn lines(reports: &[MappingReport], switch: Switch, is_applied: bool) -> String {
    reports
        .iter()
        .map(|report| {
            let MappingReport {
                function,
                source,
                state,
                safe,
                ..
            } = report;
            let name = function.name();
            let change = match (switch.is_done(report), is_applied, switch) {
                (true, ..) => "",
                (false, true, _) => ", not done yet",
                (false, false, Switch::Pause) => ", would be paused",
                (false, false, Switch::Resume) => ", would be resumed",
            };
            let waiting = match switch {
                Switch::Pause => format!(". {}", waiting_text(*source, *safe, Timestamp::now())),
                Switch::Resume => String::new(),
            };
            format!("{name:<9} {state}{change}{waiting}\n")
        })
        .collect()
}

/// How long what waits is safe. The time counts from when it was sent or written, so a lag shortens it.
fn waiting_text(source: MappingSource, safe: SafeTime, now: Timestamp) -> String {
    let text = |time: Duration| duration(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let discarded = text(safe.until_discarded);
    let (what, holder) = match source {
        MappingSource::Queue => ("Messages", "the queue"),
        MappingSource::TableStream => ("Changes", "the table's stream"),
        MappingSource::Stream => ("Events", "the notification stream"),
    };
    let kept = format!("{what} are safe in {holder} for {discarded}");
    let given_up = safe.until_given_up.map_or_else(String::new, |time| {
        format!(
            "; after {} without the function, Lambda moves them to the failure bucket",
            text(time)
        )
    });
    let until = now.checked_add(safe.until_repair()).map_or_else(
        |_| String::new(),
        |at| {
            format!(
                " Resume before {}, earlier if it lags.",
                at.strftime("%Y-%m-%dT%H:%MZ")
            )
        },
    );
    format!("{kept}{given_up}.{until}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    fn report(function: Function, state: &str) -> MappingReport {
        MappingReport {
            function,
            source: MappingSource::Queue,
            state: state.to_owned(),
            safe: SafeTime {
                until_given_up: None,
                until_discarded: hours(14 * 24),
            },
            uuid: "u-1".to_owned(),
        }
    }

    fn arguments(functions: &[Function]) -> PauseArguments {
        PauseArguments {
            functions: functions.to_vec(),
            confirmation: Confirmation::default(),
        }
    }

    #[test]
    fn says_how_long_each_source_can_wait() {
        let now = Timestamp::UNIX_EPOCH;
        let stream = SafeTime {
            until_given_up: Some(hours(23)),
            until_discarded: hours(168),
        };
        assert_eq!(
            waiting_text(MappingSource::Stream, stream, now),
            "Events are safe in the notification stream for 7d00h; after 23h00m without the function, Lambda moves them to the failure bucket. Resume before 1970-01-01T23:00Z, earlier if it lags."
        );
        let queue = report(Function::Ingest, "Enabled").safe;
        assert_eq!(
            waiting_text(MappingSource::Queue, queue, now),
            "Messages are safe in the queue for 14d00h. Resume before 1970-01-15T00:00Z, earlier if it lags."
        );
    }

    #[test]
    fn says_what_would_change_and_what_changed() {
        let line = |switch, state, is_applied| {
            lines(&[report(Function::Ingest, state)], switch, is_applied)
        };
        let preview = line(Switch::Pause, "Enabled", false);
        let expected = "ingest    Enabled, would be paused. Messages are safe";
        assert!(preview.starts_with(expected), "{preview}");
        let paused = line(Switch::Pause, "Disabled", true);
        assert!(
            paused.starts_with("ingest    Disabled. Messages"),
            "{paused}"
        );
        let late = line(Switch::Resume, "Enabling", true);
        assert_eq!(late, "ingest    Enabling, not done yet\n");
        assert_eq!(line(Switch::Resume, "Enabled", true), "ingest    Enabled\n");
    }

    fn deployment(sources: Option<&str>) -> Deployment {
        Deployment {
            sources: EnabledSources::parse(sources),
            has_downstream: true,
        }
    }

    #[test]
    fn names_the_next_command_and_what_a_deployment_does() {
        let advice = |functions: &[Function], switch, state, sources| {
            let reports = [report(Function::Ingest, state)];
            let deployment = deployment(sources);
            arguments(functions).advice(&reports, switch, false, deployment, "onewrite")
        };
        let preview = advice(&[Function::Ingest], Switch::Pause, "Enabled", None);
        assert!(
            preview.ends_with("Next: onewrite pause ingest --apply\n"),
            "{preview}"
        );
        let paused = advice(&[], Switch::Pause, "Disabled", None);
        assert!(paused.starts_with("A deployment that changes"), "{paused}");
        assert!(
            paused.ends_with("Next: onewrite resume --apply\n"),
            "{paused}"
        );
        assert_eq!(advice(&[], Switch::Resume, "Enabled", Some("true")), "");
        let resumed = advice(&[], Switch::Resume, "Enabled", Some(""));
        assert!(
            resumed.contains("pauses ingest, forward, complete again"),
            "{resumed}"
        );
    }

    /// A wrong list would resume or pause another function with the next deployment.
    #[test]
    fn names_the_value_with_which_a_deployment_keeps_each_mapping() {
        use Function::{Complete, Forward, Ingest};
        let needed = |functions: &[Function], switch, deployed| {
            let text = next_deployment(functions, switch, EnabledSources::parse(Some(deployed)));
            let value = text.split_once("unless it sets EventSourcesEnabled=");
            value.map(|(_, rest)| rest.split_once('.').unwrap().0.to_owned())
        };
        let (pause, resume) = (Switch::Pause, Switch::Resume);
        let all = "ingest,forward,complete";
        for (functions, switch, deployed, expected) in [
            (&[Complete][..], pause, all, Some("ingest,forward")),
            (&[Complete], pause, "true", Some("ingest,forward")),
            (&[Ingest], pause, "ingest,forward", Some("forward")),
            (&[Complete], pause, "ingest,forward", None),
            (&[Ingest, Forward, Complete], pause, all, Some(r#""""#)),
            (&[Complete], resume, all, None),
            (&[Complete], resume, "ingest,forward", Some(all)),
            (&[Forward], resume, "false", Some("forward")),
        ] {
            let found = needed(functions, switch, deployed);
            assert_eq!(found.as_deref(), expected, "{functions:?} {deployed}");
        }
    }

    #[test]
    fn says_that_a_stack_without_downstream_has_no_mapping_of_complete() {
        let without = Deployment {
            has_downstream: false,
            ..deployment(None)
        };
        let text = arguments(&[Function::Complete]).advice(&[], Switch::Pause, false, without, "o");
        assert!(text.starts_with("No downstream is configured"), "{text}");
        let reports = [report(Function::Ingest, "Enabled")];
        let text = arguments(&[]).advice(&reports, Switch::Pause, false, without, "o");
        assert!(text.starts_with("No downstream is configured"), "{text}");
        let with = deployment(None);
        let text = arguments(&[]).advice(&reports, Switch::Pause, false, with, "o");
        assert!(!text.contains("No downstream"), "{text}");
    }

    #[test]
    fn means_all_functions_by_default() {
        use Function::{Complete, Forward, Ingest};
        assert_eq!(arguments(&[]).functions(), [Ingest, Forward, Complete]);
        assert_eq!(arguments(&[Forward]).functions(), [Forward]);
    }
}
