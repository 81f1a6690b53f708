//! Evaluates a template as CloudFormation does: parameters, conditions, mappings, rules and intrinsic functions.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_tests::template::scalar;
use serde_json::{Value, json};

pub(crate) type Parameters = BTreeMap<String, String>;

/// A template with a value for each parameter.
pub(crate) struct Evaluation<'a> {
    template: &'a Value,
    parameters: Parameters,
}

impl<'a> Evaluation<'a> {
    /// Uses the defaults of parameters that are not chosen.
    pub(crate) fn new(template: &'a Value, chosen: &Parameters) -> Self {
        let defaults = template["Parameters"].as_object().unwrap().iter();
        let mut parameters: Parameters = defaults
            .map(|(name, parameter)| (name.clone(), scalar(&parameter["Default"]).unwrap()))
            .collect();
        for (name, value) in chosen {
            let known = parameters.insert(name.clone(), value.clone());
            assert!(known.is_some(), "there is no parameter {name}");
        }
        Self {
            template,
            parameters,
        }
    }

    /// The resources that the stack has, evaluated.
    pub(crate) fn resources(&self) -> BTreeMap<&'a str, Value> {
        let resources = self.template["Resources"].as_object().unwrap().iter();
        resources
            .filter(|(_, resource)| {
                resource["Condition"]
                    .as_str()
                    .is_none_or(|name| self.condition(name))
            })
            .map(|(name, resource)| (name.as_str(), self.value(resource).unwrap()))
            .collect()
    }

    /// The names of the rules that the parameters violate.
    pub(crate) fn violated_rules(&self) -> BTreeSet<&'a str> {
        let rules = self.template["Rules"].as_object().unwrap().iter();
        let is_violated = |rule: &Value| {
            let condition = rule.get("RuleCondition");
            let assertions = rule["Assertions"].as_array().unwrap();
            condition.is_none_or(|condition| self.truth(condition))
                && !assertions.iter().all(|one| self.truth(&one["Assert"]))
        };
        rules
            .filter(|(_, rule)| is_violated(rule))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Evaluates every call of a function in the template, also in branches that are not taken.
    pub(crate) fn assert_calls_are_valid(&self, function: &str) {
        let mut pending = vec![self.template];
        while let Some(value) = pending.pop() {
            match value {
                Value::Array(items) => pending.extend(items),
                Value::Object(members) => {
                    if members.contains_key(function) {
                        self.value(value);
                    }
                    pending.extend(members.values());
                }
                _ => {}
            }
        }
    }

    fn condition(&self, name: &str) -> bool {
        self.truth(&self.template["Conditions"][name])
    }

    fn truth(&self, expression: &Value) -> bool {
        let (function, argument) = call(expression).unwrap();
        let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match function {
            "Condition" => self.condition(argument.as_str().unwrap()),
            "Fn::Equals" => self.text(&parts[0]) == self.text(&parts[1]),
            "Fn::Not" => !self.truth(&parts[0]),
            "Fn::And" => parts.iter().all(|part| self.truth(part)),
            "Fn::Or" => parts.iter().any(|part| self.truth(part)),
            "Fn::Contains" => {
                let mut choices = parts[0].as_array().unwrap().iter();
                choices.any(|choice| self.text(choice) == self.text(&parts[1]))
            }
            other => panic!("{other} is not a condition"),
        }
    }

    fn text(&self, value: &Value) -> String {
        scalar(&self.value(value).unwrap()).unwrap()
    }

    /// Evaluates a value. References to resources stay, and `None` is `AWS::NoValue`.
    pub(crate) fn value(&self, value: &Value) -> Option<Value> {
        if let Some((function, argument)) = call(value) {
            return self.apply(function, argument);
        }
        Some(match value {
            Value::Array(items) => items.iter().filter_map(|item| self.value(item)).collect(),
            Value::Object(members) => members
                .iter()
                .filter_map(|(name, member)| Some((name.clone(), self.value(member)?)))
                .collect(),
            other => other.clone(),
        })
    }

    fn apply(&self, function: &str, argument: &Value) -> Option<Value> {
        let part = |index: usize| self.value(&argument[index]).unwrap();
        Some(match function {
            "Ref" => match argument.as_str().unwrap() {
                "AWS::NoValue" => return None,
                name => match self.parameters.get(name) {
                    Some(value) => value.clone().into(),
                    None => json!({ "Ref": name }),
                },
            },
            "Fn::If" => {
                let holds = self.condition(argument[0].as_str().unwrap());
                return self.value(&argument[if holds { 1 } else { 2 }]);
            }
            "Fn::FindInMap" => {
                let keys = [0, 1, 2].map(|index| self.text(&argument[index]));
                self.template["Mappings"][&keys[0]][&keys[1]][&keys[2]].clone()
            }
            "Fn::Split" => {
                let (separator, text) = (part(0), part(1));
                let pieces = text.as_str().unwrap().split(separator.as_str().unwrap());
                pieces.collect()
            }
            "Fn::Select" => {
                let index: usize = self.text(&argument[0]).parse().unwrap();
                let choices = part(1);
                let chosen = choices.get(index);
                let chosen = chosen.unwrap_or_else(|| panic!("{choices} has no index {index}"));
                chosen.clone()
            }
            "Fn::Join" => {
                let pieces = part(1);
                let pieces = pieces
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| scalar(one).unwrap());
                pieces
                    .collect::<Vec<_>>()
                    .join(part(0).as_str().unwrap())
                    .into()
            }
            "Fn::Sub" => self.substitute(argument),
            _ => json!({ function: argument }),
        })
    }

    /// Replaces the parameters in the text. Other placeholders and the variables stay.
    fn substitute(&self, argument: &Value) -> Value {
        let (text, variables) = match argument {
            Value::Array(parts) => (&parts[0], self.value(&parts[1]).unwrap()),
            text => (text, json!({})),
        };
        let mut text = text.as_str().unwrap().to_owned();
        let parameters = self.parameters.iter();
        for (name, value) in parameters.map(|(name, value)| (name.as_str(), value.as_str())) {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        if text.contains("${") {
            json!({"Fn::Sub": [text, variables]})
        } else {
            text.into()
        }
    }
}

/// The function and the argument if the value is a call.
fn call(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (name, argument) = members.iter().next()?;
    let is_call = matches!(name.as_str(), "Ref" | "Condition") && argument.is_string()
        || name.starts_with("Fn::");
    is_call.then_some((name, argument))
}

/// The resources that a value refers to.
pub(crate) fn references(value: &Value, found: &mut BTreeSet<String>) {
    if let Some((function, argument)) = call(value) {
        let text = argument.as_str().or_else(|| argument[0].as_str());
        match function {
            "Ref" => found.extend(text.map(ToOwned::to_owned)),
            "Fn::GetAtt" => {
                let name = text.and_then(|text| text.split('.').next());
                found.extend(name.map(ToOwned::to_owned));
            }
            "Fn::Sub" => {
                let placeholders = text.unwrap().split("${").skip(1);
                found.extend(placeholders.map(|rest| {
                    let end = rest.find(['.', '}']).unwrap();
                    rest[..end].to_owned()
                }));
                references(&argument[1], found);
            }
            _ => references(argument, found),
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            if let Some(after) = members.get("DependsOn") {
                let names = after
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![after.clone()]);
                found.extend(names.iter().filter_map(scalar));
            }
            members
                .values()
                .for_each(|member| references(member, found));
        }
        _ => {}
    }
}

/// The resources that CloudFormation creates before this one.
pub(crate) fn prerequisites(resources: &BTreeMap<&str, Value>, name: &str) -> BTreeSet<String> {
    let (mut found, mut pending) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = pending.pop() {
        let Some(resource) = resources.get(name.as_str()) else {
            continue;
        };
        let mut direct = BTreeSet::new();
        references(resource, &mut direct);
        pending.extend(direct.into_iter().filter(|name| found.insert(name.clone())));
    }
    found
}
