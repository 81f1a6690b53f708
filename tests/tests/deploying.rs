//! The deployment files, `samconfig.toml` and the workflows, match the template and the tools.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

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

/// The steps of a release that its workflow runs.
const RELEASE_STEPS: [&str; 3] = ["check", "merge", "publish"];

/// The version of the released tag in a command.
const RELEASED: &str = "\"${GITHUB_REF_NAME#v}\"";

/// Whether a step's command exists: its script, subcommand or target.
fn is_runnable(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let targets = Architecture::ALL.map(Architecture::target);
    match words[..] {
        ["bash", ".ci/release", step] => RELEASE_STEPS.contains(&step),
        ["bash", script] => repository(script).is_file(),
        ["cargo", "local", ref options @ ..] => {
            let options = options
                .iter()
                .map(|option| option.replace(RELEASED, "0.1.0"));
            let words = std::iter::once("cargo local".to_owned()).chain(options);
            Cli::try_parse_from(words).is_ok()
        }
        ["rustup", "target", "add", target] => targets.contains(&target),
        [
            "rustup",
            "toolchain",
            "install",
            "\"$RUSTUP_TOOLCHAIN\"",
            "--profile",
            "minimal",
            ref options @ ..,
        ] => match options {
            [] | ["--component", "rustfmt,clippy"] => true,
            ["--target", target] => targets.contains(target),
            _ => false,
        },
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
fn only_deployments_and_releases_get_tokens_and_production_follows_staging() {
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
            let releases = (name.as_str(), job_name.as_str()) == ("release.yml", "release");
            assert_eq!(has_token, deploys || releases, "{name}: {job_name}");
            let may_write = job["permissions"]["contents"] == "write";
            assert_eq!(may_write, releases, "{name}: {job_name}");
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

#[test]
fn a_release_needs_the_gate_and_every_check_and_is_attested_before_it_exists() {
    let workflows = workflows();
    let (_, workflow) = &workflows["release.yml"];
    let release = &workflow["jobs"]["release"];
    let needed: BTreeSet<&str> = release["needs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let others = jobs(workflow)
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != "release");
    assert_eq!(needed, others.collect());
    let runs =
        |job: &str, command: &str| steps(&workflow["jobs"][job]).any(|step| step["run"] == command);
    assert!(runs("gate", "bash .ci/run") && runs("check", "bash .ci/release check"));
    // The runners may have different versions of Rust, which build different programs.
    let rust = workflow["env"]["RUSTUP_TOOLCHAIN"].as_str().unwrap();
    for job in ["gate", "check", "package"] {
        let install = "rustup toolchain install \"$RUSTUP_TOOLCHAIN\" --profile minimal";
        let mut installs = steps(&workflow["jobs"][job]).filter_map(|step| step["run"].as_str());
        assert!(installs.any(|run| run.starts_with(install)), "{job}");
    }
    assert!(rust.split('.').count() == 3, "{rust}");
    // What another workflow has put into a cache is not what the tag says.
    assert!(!jobs(workflow).any(|(_, job)| steps(job).any(|step| uses(step, "actions/cache"))));
    let order: Vec<usize> = [
        steps(release).position(|step| step["run"] == "bash .ci/release merge"),
        steps(release).position(|step| {
            uses(step, "actions/attest") && step["with"]["subject-checksums"] == "dist/SHA256SUMS"
        }),
        steps(release).position(|step| step["run"] == "bash .ci/release publish"),
    ]
    .into_iter()
    .map(Option::unwrap)
    .collect();
    assert!(order.is_sorted(), "{order:?}");
}

fn uses(step: &Value, action: &str) -> bool {
    let name = step["uses"].as_str().and_then(|uses| uses.split_once('@'));
    name.is_some_and(|(name, _)| name == action)
}

/// Runs a step of a release in a directory. Returns its output, or its error.
fn release(directory: &Path, tag: &str, step: &str) -> Result<String, String> {
    let output = Command::new("bash")
        .arg(repository(".ci/release"))
        .arg(step)
        .env("ONEWRITE_ROOT", directory)
        .env("GITHUB_REF_NAME", tag)
        .env("GITHUB_REPOSITORY", "owner/name")
        .env_remove("GITHUB_SERVER_URL")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_release_has_one_version_everywhere_and_a_dated_section_of_the_changelog() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let record = "tests/tests/template/released.json";
    let section = "### Added\n\n- See [settings](docs/settings.md#queue) and [AWS](https://aws.amazon.com).\n";
    let older = "## [0.1.0] - 2026-11-01\n\n- Older.\n";
    let prepare = |heading: &str| {
        write(
            root,
            "Cargo.toml",
            "[workspace.package]\nversion = \"0.2.0\"\n",
        );
        write(root, record, "{\n  \"version\": \"0.2.0\"\n}\n");
        write(
            root,
            "CHANGELOG.md",
            &format!("# Changelog\n\n{heading}\n\n{section}\n{older}"),
        );
    };
    prepare("## [0.2.0] - 2026-12-01");
    release(root, "v0.2.0", "versions").unwrap();
    let notes = release(root, "v0.2.0", "notes").unwrap();
    let address = "https://github.com/owner/name/blob/v0.2.0/docs/settings.md#queue";
    assert!(
        notes.contains(&format!(
            "[settings]({address}) and [AWS](https://aws.amazon.com)"
        )),
        "{notes}"
    );
    assert!(!notes.contains("Older"), "{notes}");

    for tag in ["v0.1.0", "v0.2.1", "0.2", "main"] {
        assert!(release(root, tag, "versions").is_err(), "{tag}");
    }
    write(root, record, "{\"version\": \"0.1.0\"}");
    assert!(
        release(root, "v0.2.0", "versions")
            .unwrap_err()
            .contains("released.json")
    );
    prepare("## [0.2.0] - Unreleased");
    assert!(
        release(root, "v0.2.0", "versions")
            .unwrap_err()
            .contains("no dated section")
    );
}

#[test]
fn a_release_is_compared_with_the_highest_version_below_it() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let git = |arguments: &[&str]| {
        let user = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let mut command = Command::new("git");
        let status = command
            .current_dir(root)
            .args(user)
            .args(arguments)
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=any"]);
    let baseline = |tag: &str| release(root, tag, "baseline").unwrap();
    assert_eq!(baseline("v0.1.0").trim(), "");
    for tag in ["v0.1.0", "v0.2.0-rc.1", "v0.2.0", "v0.9.0", "v0.10.0"] {
        git(&["tag", tag]);
    }
    for (tag, expected) in [
        ("v0.1.0", ""),
        ("v0.1.1", "v0.1.0"),
        ("v0.2.0", "v0.1.0"),
        ("v0.10.0", "v0.9.0"),
        ("v1.0.0", "v0.10.0"),
    ] {
        assert_eq!(baseline(tag).trim(), expected, "{tag}");
    }
}

/// Writes a package with its checksums.
fn write_package(directory: &Path, architectures: &[&str], template: &str) {
    for architecture in architectures {
        for function in ["ingest", "forward", "complete"] {
            write(
                directory,
                &format!("{function}-{architecture}.zip"),
                function,
            );
        }
    }
    write(directory, "LICENSES", "all");
    write(directory, "template-0.1.0.yaml", template);
    let sums = "cd \"$0\" && rm -f SHA256SUMS && sha256sum * >sums && mv sums SHA256SUMS";
    let status = Command::new("bash")
        .args(["-c", sums])
        .arg(directory)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_release_is_what_two_machines_built_alike_with_both_architectures() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let (first, second) = (root.join("packages/first"), root.join("packages/second"));
    let both = ["arm64", "x86_64"];
    let merge = || release(root, "v0.1.0", "merge");
    write_package(&first, &both, "template");
    assert!(merge().unwrap_err().contains("cannot be compared"));
    write_package(&second, &both, "template");
    merge().unwrap();
    let released = std::fs::read_dir(root.join("dist")).unwrap().count();
    assert_eq!(released, 9);

    write_package(&second, &both, "other");
    assert!(merge().unwrap_err().contains("different packages"));
    for package in [&first, &second] {
        write_package(package, &both, "template");
        write(package, "ingest-arm64.zip", "changed after it was built");
    }
    assert!(merge().is_err());
    for package in [&first, &second] {
        std::fs::remove_dir_all(package).unwrap();
        write_package(package, &["x86_64"], "template");
    }
    assert!(merge().unwrap_err().contains("ingest-arm64.zip is missing"));
}

fn manifest(path: &str) -> toml::Table {
    std::fs::read_to_string(repository(path))
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn public_crates_have_one_version_and_depend_on_public_crates_only() {
    let workspace = &manifest("Cargo.toml")["workspace"];
    let version = &workspace["package"]["version"];
    assert_eq!(workspace["package"]["publish"].as_bool(), Some(false));
    let dependencies = workspace["dependencies"].as_table().unwrap();
    let own = dependencies
        .iter()
        .filter(|(_, dependency)| dependency.get("path").is_some());
    let (mut public, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (name, dependency) in own {
        let crate_manifest = manifest(&format!(
            "{}/Cargo.toml",
            dependency["path"].as_str().unwrap()
        ));
        let is_public = crate_manifest["package"]["publish"].as_bool() == Some(true);
        // The version of a dependency is part of what is published.
        assert_eq!(
            dependency.get("version"),
            is_public.then_some(version),
            "{name}"
        );
        if is_public {
            assert!(crate_manifest["package"]["description"].is_str(), "{name}");
            public.insert(name.clone());
            needed.extend(
                crate_manifest["dependencies"]
                    .as_table()
                    .unwrap()
                    .keys()
                    .cloned(),
            );
        }
    }
    assert!(
        public.contains("onewrite") && public.len() > 4,
        "{public:?}"
    );
    let needed: BTreeSet<String> = needed
        .into_iter()
        .filter(|name| name.starts_with("onewrite"))
        .collect();
    assert!(needed.is_subset(&public), "{needed:?}");
}
