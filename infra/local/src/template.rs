//! `template.yaml` as it is written, its intrinsic functions in their long form (`!Ref X` is `{"Ref": "X"}`).

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use crate::error::{LocalError, Result};
use crate::workspace::Workspace;

/// The template.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// Reads the one of the workspace.
    ///
    /// # Errors
    /// [`LocalError::File`] where it is not there, [`LocalError::Deployed`] where it is no template.
    pub fn read(workspace: &Workspace) -> Result<Self> {
        let path = workspace.root().join("template.yaml");
        let text =
            std::fs::read_to_string(&path).map_err(|source| LocalError::file(&path, source))?;
        Self::parse(&text)
    }

    /// Reads it from its text.
    ///
    /// # Errors
    /// [`LocalError::Deployed`] where it is no template.
    pub fn parse(text: &str) -> Result<Self> {
        let yaml = serde_yaml_ng::from_str(text).map_err(unreadable)?;
        Ok(Self(plain(yaml)?))
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

fn plain(yaml: Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            Value::Object(Map::from_iter([(name, plain(tagged.value)?)]))
        }
        Yaml::Sequence(elements) => elements.into_iter().map(plain).collect::<Result<_>>()?,
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let Yaml::String(key) = key else {
                    return Err(unreadable("a key is no text"));
                };
                object.insert(key, plain(value)?);
            }
            Value::Object(object)
        }
        scalar => serde_json::to_value(scalar).map_err(unreadable)?,
    })
}

fn unreadable(reason: impl std::fmt::Display) -> LocalError {
    LocalError::Deployed(format!("the template cannot be read: {reason}"))
}
