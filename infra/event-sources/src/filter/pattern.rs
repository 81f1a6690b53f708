//! One filter pattern: parsed from text, and matched against JSON.

use serde_json::value::RawValue;

use super::error::InvalidPattern;
use super::json::{Json, Members};

/// An object of a pattern. All fields must match and, if there is an `$or`, one of its alternatives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern {
    fields: Vec<(String, Node)>,
    alternatives: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Object(Pattern),
    /// At least one test must pass.
    Leaf(Vec<Test>),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    /// In lower case.
    EqualsIgnoreCase(String),
    Prefix(String),
    Suffix(String),
    AnythingBut(Vec<Test>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The field of a record that contains text, which may itself be JSON: `body` (S19) or `data` (K9).
pub(super) enum Data<'a> {
    Json(&'a RawValue),
    Plain(&'a str),
    /// Matches no pattern.
    Unreadable,
}

/// The parts of a record that filters match.
pub(super) struct Record<'a> {
    pub(super) members: Members<'a>,
    pub(super) data: Option<(&'static str, Data<'a>)>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        match Json::parse(text).ok_or(InvalidPattern::NotJson)? {
            Json::Object(members) => Self::from_members(members),
            _ => Err(InvalidPattern::LeafNotAnArray),
        }
    }

    fn from_members(members: Members<'_>) -> Result<Self, InvalidPattern> {
        if members.is_empty() {
            return Err(InvalidPattern::EmptyObject);
        }
        let mut pattern = Self {
            fields: Vec::new(),
            alternatives: Vec::new(),
        };
        for (key, raw) in members {
            if key == "$or" {
                pattern.alternatives = alternatives(raw)?;
            } else {
                pattern.fields.push((key, Node::from_raw(raw)?));
            }
        }
        Ok(pattern)
    }

    /// Makes plain numbers match by value, as `numeric` does (Q21).
    pub(super) fn compare_numbers_by_value(&mut self) {
        for (_, node) in &mut self.fields {
            match node {
                Node::Object(pattern) => pattern.compare_numbers_by_value(),
                Node::Leaf(tests) => tests.iter_mut().for_each(Test::compare_number_by_value),
            }
        }
        self.alternatives
            .iter_mut()
            .for_each(Self::compare_numbers_by_value);
    }

    /// Matches a whole record. Its `data` is matched by separate rules.
    pub(super) fn matches_record(&self, record: &Record<'_>) -> bool {
        let field = |(key, node): &(String, Node)| match &record.data {
            Some((data_key, data)) if key == data_key => node.matches_data(data),
            _ => node.matches(record.members.get(key).copied()),
        };
        self.fields.iter().all(field)
            && self.any_alternative(|pattern| pattern.matches_record(record))
    }

    fn matches(&self, members: &Members<'_>) -> bool {
        let field = |(key, node): &(String, Node)| node.matches(members.get(key).copied());
        self.fields.iter().all(field) && self.any_alternative(|pattern| pattern.matches(members))
    }

    fn any_alternative(&self, matches: impl Fn(&Self) -> bool) -> bool {
        self.alternatives.is_empty() || self.alternatives.iter().any(matches)
    }
}

fn alternatives(raw: &RawValue) -> Result<Vec<Pattern>, InvalidPattern> {
    let Some(Json::Array(alternatives)) = Json::from_raw(raw) else {
        return Err(InvalidPattern::Operand("$or"));
    };
    if alternatives.is_empty() {
        return Err(InvalidPattern::EmptyArray);
    }
    let parse = |raw| match Json::from_raw(raw) {
        Some(Json::Object(members)) => Pattern::from_members(members),
        _ => Err(InvalidPattern::Operand("$or")),
    };
    alternatives.into_iter().map(parse).collect()
}

impl Node {
    fn from_raw(raw: &RawValue) -> Result<Self, InvalidPattern> {
        match Json::from_raw(raw).ok_or(InvalidPattern::NotJson)? {
            Json::Object(members) => Pattern::from_members(members).map(Self::Object),
            Json::Array(tests) if tests.is_empty() => Err(InvalidPattern::EmptyArray),
            Json::Array(tests) => tests
                .into_iter()
                .map(Test::from_raw)
                .collect::<Result<_, _>>()
                .map(Self::Leaf),
            _ => Err(InvalidPattern::LeafNotAnArray),
        }
    }

    /// Matches a value; `None` means that the record does not have the field.
    fn matches(&self, value: Option<&RawValue>) -> bool {
        match self {
            Self::Object(pattern) => match value.and_then(Json::from_raw) {
                Some(Json::Object(members)) => pattern.matches(&members),
                Some(Json::Array(items)) => flatten(items)
                    .iter()
                    .any(|item| matches!(item, Json::Object(m) if pattern.matches(m))),
                _ => pattern.matches(&Members::new()),
            },
            Self::Leaf(tests) => {
                let leaves = value
                    .and_then(Json::from_raw)
                    .map(leaves)
                    .unwrap_or_default();
                if leaves.is_empty() {
                    return tests.contains(&Test::Exists(false));
                }
                leaves
                    .iter()
                    .any(|leaf| tests.iter().any(|test| test.passes(leaf)))
            }
        }
    }

    /// A pattern of keys matches JSON and an array matches plain text. If the formats differ, nothing matches (S19).
    fn matches_data(&self, data: &Data<'_>) -> bool {
        match (self, data) {
            (Self::Object(_), Data::Json(raw)) => self.matches(Some(raw)),
            (Self::Leaf(tests), Data::Plain(text)) => {
                let leaf = Json::Text((*text).to_owned());
                tests.iter().any(|test| test.passes(&leaf))
            }
            _ => false,
        }
    }
}

/// Returns the values that tests apply to: a value that is not an object, or such values in an array. An object is
/// not a leaf, so `exists` does not see it (D25).
fn leaves(value: Json<'_>) -> Vec<Json<'_>> {
    match value {
        Json::Object(_) => Vec::new(),
        Json::Array(items) => {
            let mut leaves = flatten(items);
            leaves.retain(|item| !item.is_container());
            leaves
        }
        leaf => vec![leaf],
    }
}

/// Flattens nested arrays. This is not recursive, because a record may be nested to any depth.
fn flatten(items: Vec<&RawValue>) -> Vec<Json<'_>> {
    let mut flat = Vec::new();
    let mut pending = items;
    while let Some(item) = pending.pop() {
        match Json::from_raw(item) {
            Some(Json::Array(inner)) => pending.extend(inner),
            Some(value) => flat.push(value),
            None => {}
        }
    }
    flat
}

impl Test {
    fn from_raw(raw: &RawValue) -> Result<Self, InvalidPattern> {
        match Json::from_raw(raw).ok_or(InvalidPattern::NotJson)? {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(value)),
            Json::Number(spelling) => Ok(Self::Number(spelling.to_owned())),
            Json::Text(text) => Ok(Self::Text(text)),
            Json::Object(members) => Self::operator(members),
            Json::Array(_) => Err(InvalidPattern::LeafValue),
        }
    }

    fn operator(mut members: Members<'_>) -> Result<Self, InvalidPattern> {
        let Some((name, operand)) = members.pop_first().filter(|_| members.is_empty()) else {
            return Err(InvalidPattern::LeafValue);
        };
        let operand = Json::from_raw(operand).ok_or(InvalidPattern::NotJson)?;
        match (name.as_str(), operand) {
            ("equals-ignore-case", Json::Text(text)) => {
                Ok(Self::EqualsIgnoreCase(text.to_lowercase()))
            }
            ("equals-ignore-case", _) => Err(InvalidPattern::Operand("equals-ignore-case")),
            ("prefix", Json::Text(text)) => Ok(Self::Prefix(text)),
            ("prefix", _) => Err(InvalidPattern::Operand("prefix")),
            ("suffix", Json::Text(text)) => Ok(Self::Suffix(text)),
            ("suffix", _) => Err(InvalidPattern::Operand("suffix")),
            ("exists", Json::Bool(wanted)) => Ok(Self::Exists(wanted)),
            ("exists", _) => Err(InvalidPattern::Operand("exists")),
            ("numeric", Json::Array(parts)) => numeric(&parts).map(Self::Numeric),
            ("numeric", _) => Err(InvalidPattern::Operand("numeric")),
            ("anything-but", operand) => anything_but(operand).map(Self::AnythingBut),
            _ => Err(InvalidPattern::UnknownOperator(name)),
        }
    }

    fn compare_number_by_value(&mut self) {
        match self {
            Self::Number(spelling) => {
                if let Ok(value) = spelling.parse() {
                    *self = Self::Numeric(vec![(Comparison::Equal, value)]);
                }
            }
            Self::AnythingBut(tests) => tests.iter_mut().for_each(Self::compare_number_by_value),
            _ => {}
        }
    }

    fn passes(&self, leaf: &Json<'_>) -> bool {
        match (self, leaf) {
            (Self::Exists(wanted), _) => *wanted,
            (Self::AnythingBut(tests), leaf) => !tests.iter().any(|test| test.passes(leaf)),
            (Self::Null, Json::Null) => true,
            (Self::Bool(wanted), Json::Bool(value)) => wanted == value,
            (Self::Number(wanted), Json::Number(spelling)) => wanted == spelling,
            (Self::Numeric(bounds), Json::Number(spelling)) => spelling
                .parse()
                .is_ok_and(|value| bounds.iter().all(|(c, bound)| c.holds(value, *bound))),
            (Self::Text(wanted), Json::Text(text)) => wanted == text,
            (Self::EqualsIgnoreCase(wanted), Json::Text(text)) => *wanted == text.to_lowercase(),
            (Self::Prefix(prefix), Json::Text(text)) => text.starts_with(prefix),
            (Self::Suffix(suffix), Json::Text(text)) => text.ends_with(suffix),
            _ => false,
        }
    }
}

/// Parses strings or numbers, alone or in an array of one kind, or one of the string operators.
fn anything_but(operand: Json<'_>) -> Result<Vec<Test>, InvalidPattern> {
    const INVALID: InvalidPattern = InvalidPattern::Operand("anything-but");
    let tests = match operand {
        Json::Text(text) => vec![Test::Text(text)],
        Json::Number(spelling) => vec![Test::Number(spelling.to_owned())],
        Json::Array(values) => values
            .into_iter()
            .map(Test::from_raw)
            .collect::<Result<_, _>>()?,
        Json::Object(members) => match Test::operator(members)? {
            test @ (Test::Prefix(_) | Test::Suffix(_) | Test::EqualsIgnoreCase(_)) => {
                return Ok(vec![test]);
            }
            _ => return Err(INVALID),
        },
        Json::Null | Json::Bool(_) => return Err(INVALID),
    };
    let one_kind = tests.iter().all(|t| matches!(t, Test::Text(_)))
        || tests.iter().all(|t| matches!(t, Test::Number(_)));
    if tests.is_empty() || !one_kind {
        Err(INVALID)
    } else {
        Ok(tests)
    }
}

/// Parses one comparison, or a lower bound followed by a greater upper bound.
fn numeric(parts: &[&RawValue]) -> Result<Vec<(Comparison, f64)>, InvalidPattern> {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};
    const INVALID: InvalidPattern = InvalidPattern::Operand("numeric");
    let (pairs, []) = parts.as_chunks::<2>() else {
        return Err(INVALID);
    };
    let bounds = pairs
        .iter()
        .map(|pair| bound(pair).ok_or(INVALID))
        .collect::<Result<Vec<_>, _>>()?;
    match bounds[..] {
        [_] => Ok(bounds),
        [(Greater | GreaterOrEqual, low), (Less | LessOrEqual, high)] if low < high => Ok(bounds),
        _ => Err(INVALID),
    }
}

fn bound([comparison, value]: &[&RawValue; 2]) -> Option<(Comparison, f64)> {
    match (Json::from_raw(comparison)?, Json::from_raw(value)?) {
        (Json::Text(sign), Json::Number(spelling)) => {
            Some((Comparison::from_sign(&sign)?, spelling.parse().ok()?))
        }
        _ => None,
    }
}

impl Comparison {
    fn from_sign(sign: &str) -> Option<Self> {
        match sign {
            "=" => Some(Self::Equal),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}
