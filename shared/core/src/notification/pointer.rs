//! JSON pointers, by which `ingest` finds the parts of a notification.

use std::{fmt, str::FromStr};

use super::json::{Node, Value};
use crate::limits::MAX_ID_POINTERS;

/// A JSON pointer (RFC 6901): the path to one value of a document. The empty pointer is the whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A text that is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a JSON pointer (RFC 6901): it must be empty or begin with '/', and '~' may only occur in '~0' and '~1'"
)]
pub struct InvalidPointer(String);

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let invalid = || InvalidPointer(text.to_owned());
        let tokens = text.strip_prefix('/').ok_or_else(invalid)?.split('/');
        tokens
            .map(|token| unescape(token).ok_or_else(invalid))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Replaces `~1` by `/` and `~0` by `~`. Returns `None` for any other `~`.
fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = if let Some(rest) = part.strip_prefix('0') {
            ('~', rest)
        } else {
            ('/', part.strip_prefix('1')?)
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}

/// Replaces `~` by `~0` and `/` by `~1`.
pub(super) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", escape(token)))
    }
}

impl Pointer {
    /// The pointer to one member of the document.
    pub(super) fn to_member(key: &str) -> Self {
        Self(vec![key.to_owned()])
    }

    /// Whether it points to the whole document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of levels that it leads down.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds the value in a document of which at least [`Self::len`] levels are kept.
    pub(super) fn find<'d>(&self, document: Node<'d>) -> Option<Node<'d>> {
        self.0
            .iter()
            .try_fold(document, |node, token| match node.value {
                Value::Object(object) => object.get(token),
                Value::Array(array) => array.get(array_index(token)?),
                Value::String(_) | Value::Literal | Value::Flat(_) => None,
            })
    }
}

/// Parses an array index of RFC 6901: digits without leading zeros. `-` (the element after the last) matches no value.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    canonical.then(|| token.parse().ok()).flatten()
}

/// The pointers to the values that together are the id of a notification: 1 to [`MAX_ID_POINTERS`], separated by commas.
///
/// One value is the id as it is. The parts of several are escaped as in a JSON pointer (`~` is `~0`, `/` is `~1`) and joined
/// with `/`, so two different lists of values never have the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPointers(Vec<Pointer>);

/// A text that is not a list of pointers to an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdPointers {
    /// One of the pointers is invalid.
    #[error("{0}; ',' separates pointers, so a key that contains a comma cannot be named")]
    Pointer(#[from] InvalidPointer),
    /// One of several pointers is empty.
    #[error("one of the pointers is empty: remove the extra ','")]
    Empty,
    /// There are too many pointers.
    #[error("there are {count} pointers, at most {MAX_ID_POINTERS} are allowed")]
    TooMany {
        /// The number of pointers.
        count: usize,
    },
}

impl FromStr for IdPointers {
    type Err = InvalidIdPointers;

    fn from_str(text: &str) -> Result<Self, InvalidIdPointers> {
        let pointers = text
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<Pointer>, _>>()?;
        let count = pointers.len();
        if count > MAX_ID_POINTERS {
            return Err(InvalidIdPointers::TooMany { count });
        }
        if count > 1 && pointers.iter().any(Pointer::is_empty) {
            return Err(InvalidIdPointers::Empty);
        }
        Ok(Self(pointers))
    }
}

impl From<Pointer> for IdPointers {
    fn from(pointer: Pointer) -> Self {
        Self(vec![pointer])
    }
}

impl fmt::Display for IdPointers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, pointer)| {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{pointer}")
        })
    }
}

impl IdPointers {
    /// The values of an id: the id itself, or the parts that were joined. `None` if these pointers give no such id.
    #[must_use]
    pub fn values(&self, id: &str) -> Option<Vec<String>> {
        if self.0.len() == 1 {
            return Some(vec![id.to_owned()]);
        }
        let values: Vec<String> = id.split('/').map(unescape).collect::<Option<_>>()?;
        (values.len() == self.0.len()).then_some(values)
    }

    /// The pointers. There is at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Pointer] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{super::json::Document, *};

    #[test]
    fn pointers_follow_rfc_6901() {
        // The examples of section 5 of the RFC.
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8," ":7}"#;
        let parsed = Document::parse(document, 2).unwrap();
        let find = |pointer: &str| {
            pointer
                .parse::<Pointer>()
                .unwrap()
                .find(parsed.root())
                .map(|found| found.text)
        };
        assert_eq!(find(""), Some(document));
        assert_eq!(find("/foo"), Some(r#"["bar","baz"]"#));
        assert_eq!(find("/foo/0"), Some("\"bar\""));
        assert_eq!(find("/"), Some("0"));
        assert_eq!(find("/a~1b"), Some("1"));
        assert_eq!(find("/c%d"), Some("2"));
        assert_eq!(find("/m~0n"), Some("8"));
        assert_eq!(find("/ "), Some("7"));
        for nothing in [
            "/foo/2", "/foo/00", "/foo/01", "/foo/+1", "/foo/-", "/foo/0/x", "/x",
        ] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
        for wrong in ["foo", "/a~", "/a~2b", " /a"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        for text in ["", "/", "/a~1b/m~0n/0"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn id_pointers_are_one_to_four_pointers_separated_by_commas() {
        let parse = str::parse::<IdPointers>;
        for text in ["", "/id", "/source,/id", "/a~1b/0,/c d,/,/~0"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("/a,/b,/c").unwrap().as_slice().len(), 3);
        for text in ["/a,", ",/a", ",", "/a,,/b"] {
            assert_eq!(parse(text), Err(InvalidIdPointers::Empty), "{text}");
        }
        let too_many = InvalidIdPointers::TooMany { count: 5 };
        assert_eq!(parse("/a,/b,/c,/d,/e"), Err(too_many));
        for text in ["id", "/a, /b", "/a,b", "/a~"] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("',' separates"), "{error}");
        }
    }
}
