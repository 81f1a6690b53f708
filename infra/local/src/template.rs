//! A CloudFormation template as it is written, its intrinsic functions in their long form (`!Ref X` is `{"Ref": "X"}`) and
//! its YAML aliases resolved.

use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use crate::error::LocalError;
use crate::workspace::Workspace;

/// Why a template cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// What is in it is no YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
    /// CloudFormation's objects have texts for keys.
    #[error("a key is no text: {0}")]
    Key(String),
    /// JSON has no infinite numbers.
    #[error(transparent)]
    Scalar(#[from] serde_json::Error),
}

/// A template, and how to find things in it.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// The workspace's.
    ///
    /// # Errors
    /// [`LocalError::Deployed`] where it is not there or no YAML.
    pub fn of_workspace(workspace: &Workspace) -> Result<Self, LocalError> {
        let path = workspace.root().join("template.yaml");
        match read(&path) {
            Ok(template) => Ok(Self(template)),
            Err(error) => Err(LocalError::Deployed(format!("{}: {error}", path.display()))),
        }
    }

    /// From its text.
    ///
    /// # Errors
    /// Where it is no YAML.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        parse(text).map(Self)
    }

    /// What a JSON pointer finds; null where nothing is there.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The parameters, in alphabetical order, each with its settings.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(self.at("/Parameters"))
    }

    /// The resources of one type, each with all that is said of it.
    pub fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        entries(self.at("/Resources")).filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// A property of a resource; null where it is not set.
    #[must_use]
    pub fn property(&self, resource: &str, name: &str) -> &Value {
        self.at(&format!("/Resources/{resource}/Properties/{name}"))
    }

    /// The default of a parameter, as text; none where there is no such parameter or it has no default.
    #[must_use]
    pub fn default(&self, parameter: &str) -> Option<String> {
        scalar(self.at(&format!("/Parameters/{parameter}/Default")))
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

/// A text, number or truth value as CloudFormation hands it on: as text.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The template in a file.
///
/// # Errors
/// Where it is not there or no YAML.
pub fn read(path: &Path) -> Result<Value, Unreadable> {
    parse(&std::fs::read_to_string(path)?)
}

/// The template that a text is, or a part of one.
///
/// # Errors
/// Where it is no YAML.
pub fn parse(text: &str) -> Result<Value, Unreadable> {
    plain(serde_yaml_ng::from_str(text)?)
}

fn plain(yaml: Yaml) -> Result<Value, Unreadable> {
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
                    return Err(Unreadable::Key(format!("{key:?}")));
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

/// The two names may be given in a list; here they are one text, so that there is one way to write it.
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
    fn intrinsic_functions_are_in_their_long_form() {
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
    fn an_attribute_is_written_in_one_way() {
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
    fn what_is_no_template_is_told() {
        assert!(matches!(parse("a: ["), Err(Unreadable::Yaml(_))));
        assert!(matches!(parse("1: a"), Err(Unreadable::Key(_))));
        let nowhere = read(Path::new("/nowhere/template.yaml"));
        assert!(matches!(nowhere, Err(Unreadable::File(_))));
    }
}
