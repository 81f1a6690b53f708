//! Reads CloudFormation templates. Intrinsic functions are in their long form (`!Ref X` is `{"Ref": "X"}`) and YAML
//! aliases are resolved.

use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use crate::error::LocalError;
use crate::workspace::Workspace;

/// A template cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
    #[error("a key is not a string: {0}")]
    Key(String),
    /// For example an infinite number, which JSON does not have.
    #[error(transparent)]
    Scalar(#[from] serde_json::Error),
}

/// A template.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// Reads the template of a workspace.
    ///
    /// # Errors
    /// [`LocalError::UnexpectedStack`] if it does not exist or is not YAML.
    pub fn from_workspace(workspace: &Workspace) -> Result<Self, LocalError> {
        let path = workspace.root().join("template.yaml");
        match read(&path) {
            Ok(template) => Ok(Self(template)),
            Err(error) => {
                let reason = format!("{}: {error}", path.display());
                Err(LocalError::UnexpectedStack(reason))
            }
        }
    }

    /// Parses a template.
    ///
    /// # Errors
    /// The text is not YAML.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse(text).map(Self)
    }

    /// Returns the value at a JSON pointer, or null.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Returns the parameters in alphabetical order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(self.at("/Parameters"))
    }

    /// Returns the resources of one type.
    pub fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        entries(self.at("/Resources")).filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// Returns a property of a resource, or null.
    #[must_use]
    pub fn property(&self, resource: &str, name: &str) -> &Value {
        self.at(&format!("/Resources/{resource}/Properties/{name}"))
    }

    /// Returns the default of a parameter as text. None if there is no such parameter or it has no default.
    #[must_use]
    pub fn default(&self, parameter: &str) -> Option<String> {
        scalar(self.at(&format!("/Parameters/{parameter}/Default")))
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

/// Converts a string, number or boolean to text, as CloudFormation does.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Reads a template from a file.
///
/// # Errors
/// The file does not exist or is not YAML.
pub fn read(path: &Path) -> Result<Value, TemplateError> {
    parse(&std::fs::read_to_string(path)?)
}

/// Parses a template, or a part of one.
///
/// # Errors
/// The text is not YAML.
pub fn parse(text: &str) -> Result<Value, TemplateError> {
    plain(serde_yaml_ng::from_str(text)?)
}

fn plain(yaml: Yaml) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            let mut argument = plain(tagged.value)?;
            if name == ATTRIBUTE {
                argument = attribute(argument);
            }
            Value::Object(Map::from_iter([(name, argument)]))
        }
        Yaml::Sequence(elements) => elements.into_iter().map(plain).collect::<Result<_, _>>()?,
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let Yaml::String(key) = key else {
                    return Err(TemplateError::Key(format!("{key:?}")));
                };
                object.insert(key, plain(value)?);
            }
            if let Some(names) = object.get_mut(ATTRIBUTE) {
                *names = attribute(names.take());
            }
            Value::Object(object)
        }
        scalar => serde_json::to_value(scalar)?,
    })
}

const ATTRIBUTE: &str = "Fn::GetAtt";

/// Normalizes an attribute: `[A, Arn]` becomes `A.Arn`.
fn attribute(names: Value) -> Value {
    let listed = names.as_array().into_iter().flatten().map(Value::as_str);
    match listed.collect::<Option<Vec<&str>>>() {
        Some(listed) if !listed.is_empty() => listed.join(".").into(),
        _ => names,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expands_intrinsic_functions() {
        let text =
            "a: !If [C, !Ref X, !GetAtt Y.Arn]\nb: &b {c: !Sub '${X}'}\nd: *b\ne: !Condition C\n";
        let expected = json!({
            "a": {"Fn::If": ["C", {"Ref": "X"}, {"Fn::GetAtt": "Y.Arn"}]},
            "b": {"c": {"Fn::Sub": "${X}"}},
            "d": {"c": {"Fn::Sub": "${X}"}},
            "e": {"Condition": "C"},
        });
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn normalizes_attributes() {
        for text in [
            "!GetAtt A.Arn",
            "!GetAtt [A, Arn]",
            "Fn::GetAtt: A.Arn",
            "Fn::GetAtt: [A, Arn]",
        ] {
            let expected = json!({"Fn::GetAtt": "A.Arn"});
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn rejects_invalid_templates() {
        assert!(matches!(parse("a: ["), Err(TemplateError::Yaml(_))));
        assert!(matches!(parse("1: a"), Err(TemplateError::Key(_))));
        let nowhere = read(Path::new("/nowhere/template.yaml"));
        assert!(matches!(nowhere, Err(TemplateError::File(_))));
    }
}
