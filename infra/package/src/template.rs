//! The template of the package: `template.yaml`, translated as AWS SAM does, with the code in a bucket.
//!
//! It contains no transform, so that CloudFormation needs no `CAPABILITY_AUTO_EXPAND`, and tools that include a template read
//! the resources that are created. `tests/tests/template/package.rs` compares it with the result of SAM's own translator.
//! The only difference is SAM's tag `lambda:createdBy`.

use onewrite_local::binaries::Architecture;
use serde_yaml_ng::value::{Tag, TaggedValue};
use serde_yaml_ng::{Mapping, Value as Yaml};

use crate::error::{PackageError, Result};

/// The parameter with the name of the bucket that has the code.
pub const CODE_BUCKET: &str = "CodeBucket";

/// The parameter with what precedes the version in the keys of that bucket.
pub const CODE_PREFIX: &str = "CodePrefix";

const SAM_FUNCTION: &str = "AWS::Serverless::Function";

/// Properties that have the same name and meaning in `AWS::Serverless::Function` and `AWS::Lambda::Function`.
const SHARED_PROPERTIES: [&str; 14] = [
    "Architectures",
    "CodeSigningConfigArn",
    "Description",
    "Environment",
    "EphemeralStorage",
    "Handler",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "Timeout",
    "VpcConfig",
];

/// Translates the text of `template.yaml`. The functions have an archive for each of `architectures`.
///
/// # Errors
/// [`PackageError::Template`] if it is not YAML, or uses something of AWS SAM that this function does not translate.
pub fn translate(source: &str, version: &str, architectures: &[Architecture]) -> Result<String> {
    let invalid = |error: serde_yaml_ng::Error| PackageError::Template(error.to_string());
    let mut template: Yaml = serde_yaml_ng::from_str(source).map_err(invalid)?;
    let top = as_mapping(&mut template, "the template")?;
    top.remove("Transform");
    let globals = match top.remove("Globals") {
        Some(globals) => function_globals(globals)?,
        None => Mapping::new(),
    };
    let resources = as_mapping(entry(top, "Resources"), "Resources")?;
    for (name, resource) in resources.iter_mut() {
        let name = name.as_str().unwrap_or_default();
        match resource["Type"].as_str().unwrap_or_default() {
            SAM_FUNCTION => translate_function(name, resource, &globals, version)?,
            other if other.starts_with("AWS::Serverless::") => {
                let reason = format!("{name}: {other} is not supported in a package");
                return Err(PackageError::Template(reason));
            }
            _ => {}
        }
    }
    add_parameters(top, architectures)?;
    let text = serde_yaml_ng::to_string(&template).map_err(invalid)?;
    Ok(format!(
        "# Generated from template.yaml of onewrite {version}. It needs no transform. The code is in the bucket {CODE_BUCKET}.\n{text}"
    ))
}

fn function_globals(globals: Yaml) -> Result<Mapping> {
    let Yaml::Mapping(mut globals) = globals else {
        return Err(PackageError::Template("Globals is not a mapping".into()));
    };
    let function = globals.remove("Function").unwrap_or(Yaml::Null);
    match (function, globals.is_empty()) {
        (Yaml::Mapping(function), true) => Ok(function),
        _ => Err(PackageError::Template(
            "only Globals.Function is supported in a package".into(),
        )),
    }
}

fn translate_function(
    name: &str,
    resource: &mut Yaml,
    globals: &Mapping,
    version: &str,
) -> Result<()> {
    let resource = as_mapping(resource, name)?;
    let program = remove_build_metadata(name, resource)?;
    let given = as_mapping(entry(resource, "Properties"), name)?;
    let mut properties = Mapping::new();
    for (key, value) in globals.iter().chain(given.iter()) {
        let key = key.as_str().unwrap_or_default();
        let (key, value) = match key {
            "CodeUri" => ("Code", code(&program, version)),
            "Tracing" => ("TracingConfig", mapping([("Mode", value.clone())])),
            shared if SHARED_PROPERTIES.contains(&shared) => (shared, value.clone()),
            other => {
                let reason = format!("{name}: the property {other} is not supported in a package");
                return Err(PackageError::Template(reason));
            }
        };
        // SAM merges such values, and appends lists.
        if let Some(Yaml::Mapping(_) | Yaml::Sequence(_)) = properties.insert(key.into(), value) {
            let reason = format!("{name}: {key} is in Globals too, which is not supported");
            return Err(PackageError::Template(reason));
        }
    }
    resource.insert("Type".into(), "AWS::Lambda::Function".into());
    resource.insert("Properties".into(), properties.into());
    Ok(())
}

/// Removes what only `sam build` reads. Returns the name of the program.
fn remove_build_metadata(name: &str, resource: &mut Mapping) -> Result<String> {
    let unnamed = || PackageError::Template(format!("{name} does not name its binary"));
    let metadata = resource.get_mut("Metadata").ok_or_else(unnamed)?;
    let program = metadata["BuildProperties"]["Binary"].as_str();
    let program = program.ok_or_else(unnamed)?.to_owned();
    let metadata = as_mapping(metadata, name)?;
    metadata.remove("BuildMethod");
    metadata.remove("BuildProperties");
    if metadata.is_empty() {
        resource.remove("Metadata");
    }
    Ok(program)
}

/// The key has the version. A stack that keeps the values of its parameters gets the code of the template with which it is
/// updated, and the code of the version before it stays where a rollback finds it.
fn code(program: &str, version: &str) -> Yaml {
    let key = format!("${{{CODE_PREFIX}}}{version}/{program}-${{Architecture}}.zip");
    mapping([
        ("S3Bucket", tagged("Ref", CODE_BUCKET)),
        ("S3Key", tagged("Sub", &key)),
    ])
}

fn add_parameters(top: &mut Mapping, architectures: &[Architecture]) -> Result<()> {
    let group = mapping([
        ("Label", mapping([("default", "Code".into())])),
        (
            "Parameters",
            Yaml::Sequence(vec![CODE_BUCKET.into(), CODE_PREFIX.into()]),
        ),
    ]);
    let interface = &mut entry(top, "Metadata")["AWS::CloudFormation::Interface"];
    match &mut interface["ParameterGroups"] {
        Yaml::Sequence(groups) => groups.insert(0, group),
        _ => {
            return Err(PackageError::Template(
                "there are no ParameterGroups".into(),
            ));
        }
    }
    let parameters = as_mapping(entry(top, "Parameters"), "Parameters")?;
    let bucket = mapping([
        ("Type", "String".into()),
        ("MinLength", 3.into()),
        ("MaxLength", 63.into()),
        (
            "Description",
            "Bucket with the code, in the region of the stack.".into(),
        ),
    ]);
    let prefix = mapping([
        ("Type", "String".into()),
        ("Default", "onewrite/".into()),
        ("AllowedPattern", "([^/]+/)*".into()),
        (
            "ConstraintDescription",
            "must be empty, or end with a slash".into(),
        ),
        (
            "Description",
            "What precedes the version in the keys of CodeBucket: with onewrite/, the code of ingest is \
             onewrite/VERSION/ingest-arm64.zip."
                .into(),
        ),
    ]);
    parameters.insert(CODE_BUCKET.into(), bucket);
    parameters.insert(CODE_PREFIX.into(), prefix);
    let names: Vec<Yaml> = architectures.iter().map(|one| one.name().into()).collect();
    let default = names
        .first()
        .cloned()
        .ok_or_else(|| PackageError::Template("there is no architecture".into()))?;
    let architecture = as_mapping(entry(parameters, "Architecture"), "Architecture")?;
    architecture.insert("Default".into(), default);
    architecture.insert("AllowedValues".into(), Yaml::Sequence(names));
    architecture.insert(
        "Description".into(),
        "Instruction set of the functions.".into(),
    );
    Ok(())
}

fn entry<'a>(mapping: &'a mut Mapping, name: &str) -> &'a mut Yaml {
    mapping.entry(name.into()).or_insert(Yaml::Null)
}

fn as_mapping<'a>(value: &'a mut Yaml, name: &str) -> Result<&'a mut Mapping> {
    value
        .as_mapping_mut()
        .ok_or_else(|| PackageError::Template(format!("{name} is not a mapping")))
}

fn mapping<const N: usize>(members: [(&str, Yaml); N]) -> Yaml {
    let members = members.map(|(name, value)| (Yaml::from(name), value));
    Yaml::Mapping(members.into_iter().collect())
}

fn tagged(tag: &str, value: &str) -> Yaml {
    Yaml::Tagged(Box::new(TaggedValue {
        tag: Tag::new(tag),
        value: value.into(),
    }))
}

#[cfg(test)]
mod tests;
