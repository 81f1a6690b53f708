//! Checks of the targets of `complete`.

use onewrite_aws::targets::{AddressKind, TargetAddress};

use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check, DOWNSTREAM,
        Level::{Advice, Broken},
        Scope,
        Text::{Fixed, For},
        run,
    },
    downstream::{SETTINGS, TYPES_VARIABLE, URL_VARIABLE},
    finding::{
        Finding,
        Guarantee::{Effect, Isolation},
    },
    fixes::UNDO_VARIABLES,
    snapshot::{DownstreamResource, Function, ReadError, StackSnapshot},
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let scope = Scope {
        stack,
        place: DOWNSTREAM,
    };
    let mut findings = run(STACK, scope, stack);
    for resource in &stack.downstream {
        findings.extend(run(RESOURCES, scope, resource));
    }
    let Ok(function) = &stack.complete.function else {
        return findings;
    };
    for (variable, parameter) in SETTINGS {
        let setting = Setting {
            variable,
            parameter,
            value: function.variable(variable).unwrap_or_default().to_owned(),
        };
        findings.extend(run(VARIABLES, scope, &setting));
    }
    for entry in type_entries(stack, function) {
        findings.extend(run(TYPES, scope, &entry));
    }
    findings
}

const STACK: &[Check<StackSnapshot>] = &[
    Check {
        id: "no-downstream",
        severity: Advice,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            let pending = stack.pending.as_ref().ok()?.as_ref()?;
            Some(format!("no downstream configured: {}", pending.text()))
        },
        needed: Fixed("DownstreamArns or DownstreamUrl, or your own consumer of the stream"),
        why: "without either, notifications stay in INIT, and their events expire in the stream",
        fix: Fixed("deploy with DownstreamArns or DownstreamUrl; docs/consumers.md describes both"),
    },
    Check {
        id: "no-downstream",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            let has_mapping = stack.complete.own_mappings().next().is_some();
            (!stack.has_downstream() && has_mapping)
                .then(|| "a mapping invokes complete, which has no target".to_owned())
        },
        needed: Fixed("no mapping of complete without a target"),
        why: "every event fails, until Lambda gives it up and writes it to the failure bucket",
        fix: Fixed("deploy with DownstreamArns or DownstreamUrl, or delete the mapping"),
    },
    Check {
        id: "no-target",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            let mut kinds = stack.downstream.iter().map(kind);
            let has_none = kinds.all(|kind| kind.is_some_and(|kind| !kind.is_target()));
            (has_none && !stack.downstream.is_empty() && !has_url(stack)).then(|| {
                "DownstreamArns lists only what targets use, and there is no DownstreamUrl"
                    .to_owned()
            })
        },
        needed: Fixed("at least one target"),
        why: "complete does not start, and every notification stays in INIT",
        fix: Fixed(
            "add the ARN of a target to DownstreamArns, or set DownstreamUrl, and run `sam deploy`",
        ),
    },
    Check {
        id: "secret-unused",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            let kinds = || stack.downstream.iter().filter_map(kind);
            let secrets = kinds().filter(|kind| is_secret(*kind)).count();
            let has_target = has_url(stack) || kinds().any(AddressKind::is_target);
            let usable = usize::from(has_url(stack));
            (has_target && secrets > usable)
                .then(|| format!("{secrets} secrets or parameters, of which {usable} can be used"))
        },
        needed: Fixed("one secret or parameter with DownstreamUrl, and none without it"),
        why: "complete does not start, and every notification stays in INIT",
        fix: Fixed(
            "remove the ARN from DownstreamArns, or set DownstreamUrl, and run `sam deploy`",
        ),
    },
    Check {
        id: "signature",
        severity: Advice,
        breaks: Guarantee(Effect),
        found: |_, stack| {
            let function = stack.complete.function.as_ref().ok()?;
            let url = function.variable(URL_VARIABLE)?;
            let mut resources = stack.downstream.iter();
            let has_secret = resources.any(|one| kind(one).is_some_and(is_secret));
            // Plain HTTP stays on one machine.
            (url.starts_with("https://") && !has_secret)
                .then(|| "requests to DownstreamUrl are not signed".to_owned())
        },
        needed: Fixed("the ARN of a secret in DownstreamArns"),
        why: "the receiver cannot tell requests of this stack from others",
        fix: Fixed(
            "create a secret with `whsec_` and a key in Base64, and add its ARN to DownstreamArns",
        ),
    },
];

fn has_url(stack: &StackSnapshot) -> bool {
    let function = stack.complete.function.as_ref().ok();
    let url = function.and_then(|function| function.variable(URL_VARIABLE));
    url.is_some_and(|url| !url.is_empty())
}

fn kind(resource: &DownstreamResource) -> Option<AddressKind> {
    let address = resource.address.as_ref().ok()?;
    Some(address.kind())
}

fn is_secret(kind: AddressKind) -> bool {
    matches!(kind, AddressKind::Secret | AddressKind::Parameter)
}

fn has_kind(resource: &DownstreamResource, kinds: &[AddressKind]) -> bool {
    kind(resource).is_some_and(|kind| kinds.contains(&kind))
}

/// The call that did not find the resource.
fn missing(resource: &DownstreamResource) -> Option<String> {
    match &resource.settings {
        Err(ReadError::NotFound(call)) => Some(format!("{} ({call})", resource.arn)),
        _ => None,
    }
}

const CORRECT_ARNS: &str = "correct DownstreamArns, and run `sam deploy`";

const RESOURCES: &[Check<DownstreamResource>] = &[
    Check {
        id: "target-arn",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, resource| {
            let error = resource.address.as_ref().err()?;
            Some(format!("{}: {error}", resource.arn))
        },
        needed: Fixed("an ARN of a kind that DownstreamArns supports"),
        why: "complete does not start, and every notification stays in INIT",
        fix: Fixed(CORRECT_ARNS),
    },
    Check {
        id: "target-missing",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, resource| {
            let is_secret = kind(resource).is_some_and(is_secret);
            missing(resource).filter(|_| !is_secret)
        },
        needed: Fixed("a resource that exists"),
        why: "deliveries to it fail, and their notifications stay in INIT",
        fix: Fixed("create the resource, or correct DownstreamArns, and run `sam deploy`"),
    },
    Check {
        id: "secret-missing",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, resource| {
            let is_secret = kind(resource).is_some_and(is_secret);
            missing(resource).filter(|_| is_secret)
        },
        needed: Fixed("a secret that exists"),
        why: "requests to DownstreamUrl cannot be signed, so none is sent",
        fix: Fixed("create or restore the secret, or correct DownstreamArns, and run `sam deploy`"),
    },
    Check {
        id: "target-loop",
        severity: Broken,
        breaks: Guarantee(Effect),
        found: |scope, resource| {
            let stack = scope.stack;
            let mut own = [&stack.queue, &stack.dead_letter_queue].into_iter();
            let is_own = own.any(|queue| {
                let queue = queue.as_ref();
                queue.is_ok_and(|queue| queue.arn == resource.arn)
            });
            is_own.then(|| resource.arn.clone())
        },
        needed: Fixed("a queue that does not belong to the pipeline"),
        why: "ingest receives each event as a new message: it stores it as another notification, without end, or it becomes a dead letter",
        fix: Fixed(CORRECT_ARNS),
    },
    Check {
        id: "target-fifo",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, resource| {
            // complete sends a message group by the name alone.
            let is_named_fifo = resource.arn.ends_with(".fifo");
            let is_fifo = resource.settings.as_ref().ok()?.is_fifo;
            let has_groups = has_kind(resource, &[AddressKind::Queue, AddressKind::Topic]);
            (has_groups && is_named_fifo != is_fifo).then(|| {
                let found = if is_fifo { "FIFO" } else { "standard" };
                format!("{} is {found}", resource.arn)
            })
        },
        needed: Fixed("FIFO if the name ends with .fifo, otherwise standard"),
        why: "the service refuses messages without a message group, or with one",
        fix: Fixed(
            "create the queue or topic with the right type, correct DownstreamArns, and run `sam deploy`",
        ),
    },
    Check {
        id: "express",
        severity: Broken,
        breaks: Guarantee(Effect),
        found: |_, resource| {
            let settings = resource.settings.as_ref().ok()?;
            settings
                .is_express
                .then(|| format!("{} is of type EXPRESS", resource.arn))
        },
        needed: Fixed("a state machine of type STANDARD"),
        // Step Functions developer guide, "Choosing workflow type": executions of express workflows have no unique name.
        why: "a repeated delivery starts a second execution, because the name does not prevent it",
        fix: Fixed(
            "the type cannot be changed: create a standard state machine, correct DownstreamArns, and run `sam deploy`",
        ),
    },
];

/// A variable of the downstream. The value may be a secret.
struct Setting {
    variable: &'static str,
    parameter: &'static str,
    value: String,
}

const VARIABLES: &[Check<Setting>] = &[Check {
    id: "parameter",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |scope, setting| {
        let parameter = scope.stack.parameters.get(setting.parameter)?;
        (*parameter != setting.value)
            .then(|| format!("{} is not {}", setting.variable, setting.parameter))
    },
    needed: For(|_, setting| format!("the value of {}", setting.parameter)),
    why: "complete delivers with other settings than the stack was deployed with, and its role may not permit them",
    fix: Fixed(UNDO_VARIABLES),
}];

/// An entry of `DownstreamTypes`.
struct TypeEntry {
    text: String,
    is_valid: bool,
    has_target: bool,
}

fn type_entries(stack: &StackSnapshot, function: &Function) -> Vec<TypeEntry> {
    let addresses = stack.downstream.iter();
    let addresses = addresses.filter_map(|resource| resource.address.as_ref().ok());
    let targets = addresses.filter(|address| address.kind().is_target());
    let mut names: Vec<_> = targets.map(TargetAddress::name).collect();
    names.extend(
        function
            .variable(URL_VARIABLE)
            .filter(|url| !url.is_empty())
            .map(|_| "url"),
    );
    let types = function.variable(TYPES_VARIABLE).unwrap_or_default();
    let entries = types.split(',').filter(|entry| !entry.is_empty());
    let entry = |text: &str| {
        let (name, pattern) = text.split_once('=').unwrap_or((text, ""));
        let pattern_start = pattern.strip_suffix('*').unwrap_or(pattern);
        TypeEntry {
            text: text.to_owned(),
            is_valid: !pattern.is_empty() && !pattern_start.contains('*'),
            has_target: names.contains(&name),
        }
    };
    entries.map(entry).collect()
}

const TYPES: &[Check<TypeEntry>] = &[
    Check {
        id: "type-pattern",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, entry| (!entry.has_target).then(|| entry.text.clone()),
        needed: Fixed("name=pattern, where the name is the last part of a target's ARN, or url"),
        why: "complete does not start, and every notification stays in INIT",
        fix: Fixed("correct DownstreamTypes, and run `sam deploy`"),
    },
    Check {
        id: "type-pattern",
        severity: Broken,
        breaks: Guarantee(Isolation),
        found: |_, entry| (entry.has_target && !entry.is_valid).then(|| entry.text.clone()),
        needed: Fixed("a type, or the beginning of types with an asterisk at the end"),
        why: "complete does not start, and every notification stays in INIT",
        fix: Fixed("correct DownstreamTypes, and run `sam deploy`"),
    },
];
