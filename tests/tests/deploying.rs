//! The deployment files, `samconfig.toml` and the workflows, match the template and the tools.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser as _;
use onewrite_local::binaries::Architecture;
use onewrite_local::cli::Cli;
use onewrite_tests::template::{Template, repository, scalar, template};
use serde_json::Value;

const ENVIRONMENTS: [&str; 4] = ["default", "small", "staging", "production"];

fn samconfig() -> toml::Table {
    let text = std::fs::read_to_string(repository("samconfig.toml")).unwrap();
    text.parse().unwrap()
}

/// The parameters that a command of an environment gets.
fn overrides(settings: Option<&toml::Table>) -> BTreeMap<&str, &str> {
    let listed = settings.and_then(|settings| settings.get("parameter_overrides")?.as_array());
    let each = listed.into_iter().flatten();
    each.map(|text| text.as_str().unwrap().split_once('=').unwrap())
        .collect()
}

/// Whether the template accepts this value for this parameter.
fn is_accepted(template: &Template, name: &str, value: &str) -> bool {
    let parameter = template.at(&format!("/Parameters/{name}"));
    let bound = |name: &str| parameter[name].as_i64();
    let is_allowed = match parameter["AllowedValues"].as_array() {
        Some(allowed) => allowed.iter().filter_map(scalar).any(|one| one == value),
        None => true,
    };
    let is_in_bounds = match (parameter["Type"].as_str(), value.parse::<i64>()) {
        (Some("Number"), Ok(number)) => {
            bound("MinValue").is_none_or(|min| min <= number)
                && bound("MaxValue").is_none_or(|max| number <= max)
        }
        (Some("Number"), Err(_)) => false,
        _ => true,
    };
    parameter.is_object() && is_allowed && is_in_bounds
}

#[test]
fn each_environment_has_its_own_stack_with_valid_parameters() {
    let config = samconfig();
    let template = template().unwrap();
    let mut stacks = BTreeSet::new();
    for environment in ENVIRONMENTS {
        let parameters = |command: &str| &config[environment][command]["parameters"];
        let stack = parameters("global")["stack_name"].as_str().unwrap();
        assert!(
            stacks.insert(stack),
            "two environments deploy the stack {stack}"
        );
        // Building Rust needs no preview features, and the switch would turn on unrelated experiments.
        let build = config[environment].get("build");
        let build = build.map(|build| build["parameters"].as_table().unwrap());
        assert!(build.is_none_or(|build| !build.contains_key("beta_features")));
        assert_eq!(parameters("validate")["lint"].as_bool(), Some(true));
        let deploy = parameters("deploy");
        assert_eq!(deploy["capabilities"].as_str(), Some("CAPABILITY_IAM"));
        let deployed = overrides(deploy.as_table());
        for (name, value) in &deployed {
            assert!(
                is_accepted(&template, name, value),
                "{environment}: {name}={value}"
            );
        }
        // Otherwise, the functions would run binaries of another architecture.
        let built = overrides(build);
        assert_eq!(
            built.get("Architecture"),
            deployed.get("Architecture"),
            "{environment}"
        );
    }
    let named: BTreeSet<&str> = config.keys().map(String::as_str).collect();
    assert_eq!(named, ENVIRONMENTS.into_iter().chain(["version"]).collect());
}

#[test]
fn placeholders_in_samconfig_are_template_parameters() {
    let text = std::fs::read_to_string(repository("samconfig.toml")).unwrap();
    let template = template().unwrap();
    let placeholders: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("# \"")?.strip_suffix("=\","))
        .collect();
    assert!(placeholders.contains(&"AlarmTopicArn"), "{placeholders:?}");
    for name in placeholders {
        assert!(is_accepted(&template, name, ""), "{name}");
    }
}

/// The alarms that the document names as rollback triggers.
fn rollback_triggers() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository("docs/deploying.md")).unwrap();
    let triggers = text.split("{Arn=$arn-").skip(1);
    triggers
        .map(|rest| rest.split(',').next().unwrap().to_owned())
        .collect()
}

#[test]
fn rollback_triggers_are_alarms_of_the_template() {
    let template = template().unwrap();
    let triggers = rollback_triggers();
    // CloudFormation accepts at most five (API reference, `RollbackConfiguration`).
    assert!((1..=5).contains(&triggers.len()), "{triggers:?}");
    for name in &triggers {
        let alarm = template.property(&format!("{name}Alarm"), "AlarmName/Fn::Sub");
        assert_eq!(*alarm, format!("${{AWS::StackName}}-{name}"));
    }
    // New code that fails every message or record, of each function.
    for name in [
        "IngestErrors",
        "IngestFailed",
        "ForwardErrors",
        "CompleteErrors",
    ] {
        assert!(triggers.contains(name), "{name}");
    }
}

// ---- the workflows

/// The text and the content of each workflow, by file name.
fn workflows() -> BTreeMap<String, (String, Value)> {
    let directory = repository(".github/workflows");
    let files = std::fs::read_dir(directory).unwrap();
    let each = files.map(|file| {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let workflow = onewrite_local::template::parse(&text).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, (text, workflow))
    });
    each.collect()
}

fn jobs(workflow: &Value) -> impl Iterator<Item = (&String, &Value)> {
    workflow["jobs"].as_object().unwrap().iter()
}

fn steps(job: &Value) -> impl Iterator<Item = &Value> {
    job["steps"].as_array().into_iter().flatten()
}

/// A command with the values of its job's matrix, once for each entry.
fn with_matrix(command: &str, job: &Value) -> Vec<String> {
    let Some(include) = job["strategy"]["matrix"]["include"].as_array() else {
        return vec![command.to_owned()];
    };
    let fill = |values: &Value| {
        let values = values.as_object().unwrap().iter();
        values.fold(command.to_owned(), |command, (name, value)| {
            command.replace(
                &format!("${{{{ matrix.{name} }}}}"),
                value.as_str().unwrap(),
            )
        })
    };
    include.iter().map(fill).collect()
}

/// Whether a step's command exists: its script, subcommand or target.
fn is_runnable(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let targets = Architecture::ALL.map(Architecture::target);
    match words[..] {
        ["bash", script] => repository(script).is_file(),
        ["cargo", "local", ref options @ ..] => {
            Cli::try_parse_from(["cargo local"].iter().chain(options)).is_ok()
        }
        ["rustup", "target", "add", target] => targets.contains(&target),
        [
            "rustup",
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
        ] => true,
        [
            "python",
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            file,
        ] => repository(file).is_file(),
        ["sam", "build", "--config-env", "\"$ENVIRONMENT\""]
        | [
            "sam",
            "deploy",
            "--config-env",
            "\"$ENVIRONMENT\"",
            "--no-confirm-changeset",
        ] => true,
        _ => false,
    }
}

#[test]
fn every_workflow_step_is_runnable() {
    let mut runs = BTreeSet::new();
    for (name, (_, workflow)) in workflows() {
        for (job, step) in
            jobs(&workflow).flat_map(|(_, job)| steps(job).map(move |step| (job, step)))
        {
            if let Some(command) = step["run"].as_str() {
                for command in with_matrix(command, job) {
                    assert!(is_runnable(&command), "{name}: {command}");
                    runs.insert(command);
                }
            } else {
                assert!(step["uses"].is_string(), "{name}: {step}");
            }
        }
    }
    assert!(runs.contains("bash .ci/run"));
    for architecture in Architecture::ALL {
        let build = format!("cargo local build --architecture {}", architecture.name());
        assert!(runs.contains(&build), "{build}");
    }
}

#[test]
fn third_party_actions_are_pinned_to_a_commit_with_its_version() {
    for (name, (text, _)) in workflows() {
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            if let Some(local) = action.strip_prefix("./") {
                assert!(repository(local).is_file(), "{name}: {local}");
                continue;
            }
            let (_, pinned) = action.split_once('@').unwrap();
            let (commit, version) = pinned.split_once(" # v").unwrap();
            assert!(
                commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()),
                "{name}: {action}"
            );
            assert_eq!(version.split('.').count(), 3, "{name}: {action}");
        }
    }
}

#[test]
fn only_deployments_get_tokens_and_production_follows_staging() {
    let workflows = workflows();
    let mut deployed = BTreeMap::new();
    for (name, (_, workflow)) in &workflows {
        // By default, a workflow can only read. A job can extend that.
        assert_eq!(
            workflow["permissions"],
            serde_json::json!({"contents": "read"}),
            "{name}"
        );
        for (job_name, job) in jobs(workflow) {
            let has_token = job["permissions"]["id-token"] == "write";
            let called = job["with"]["environment"].as_str();
            let deploys = job["environment"].is_string() || called.is_some();
            assert_eq!(has_token, deploys, "{name}: {job_name}");
            if let Some(environment) = called {
                deployed.insert(environment, (job_name, &job["needs"]));
                assert!(samconfig().contains_key(environment), "{environment}");
            }
        }
    }
    let (staging, needs) = deployed["staging"];
    assert_eq!(*needs, serde_json::json!(["test", "build"]));
    assert_eq!(*deployed["production"].1, Value::from(staging.as_str()));
    assert_eq!(deployed.len(), 2);
    // Only tested commits on main are deployed; a pull request deploys nothing.
    let guard = &workflows["deploy.yml"].1["jobs"]["staging"]["if"];
    let guard = guard.as_str().unwrap();
    assert!(
        guard.contains("github.event_name != 'pull_request'"),
        "{guard}"
    );
    assert!(guard.contains("github.ref == 'refs/heads/main'"), "{guard}");
    // While production waits for its approval, only another deployment to production waits too.
    let (text, deployment) = &workflows["deploy-to.yml"];
    let group = &deployment["jobs"]["deploy"]["concurrency"];
    assert_eq!(group["group"], "deploy-to-${{ inputs.environment }}");
    assert_eq!(group["cancel-in-progress"], false);
    let group = workflows["deploy.yml"].1["concurrency"]["group"].as_str();
    assert!(group.unwrap().ends_with("|| github.run_id }}"));
    // The GitHub environment names the role and requires approval.
    assert_eq!(
        deployment["jobs"]["deploy"]["environment"],
        "${{ inputs.environment }}"
    );
    assert_eq!(
        deployment["jobs"]["deploy"]["env"]["ENVIRONMENT"],
        "${{ inputs.environment }}"
    );
    assert!(text.contains("role-to-assume: ${{ vars.AWS_ROLE_ARN }}"));
    assert!(!text.contains("secrets."));
}
