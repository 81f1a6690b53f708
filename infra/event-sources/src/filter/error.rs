//! Errors of filter criteria.

/// The maximum number of filters of a mapping, without a raised quota (X4).
pub const MAX_FILTERS: usize = 5;
/// The maximum number of characters in a filter's `Pattern` (X4).
pub const MAX_PATTERN_CHARACTERS: usize = 4_096;

/// The reason why filter criteria are invalid. `Display` is AWS's error message where it is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilterCriteria {
    /// There are more filters than a mapping may have (X4).
    #[error("Filter criteria exceeded the limit of {MAX_FILTERS} filters")]
    TooManyFilters,
    /// A pattern is too long (X4). AWS's error message is not known.
    #[error("A filter pattern is longer than {MAX_PATTERN_CHARACTERS} characters")]
    PatternTooLong,
    /// A pattern is not a valid filter pattern (X5, X9).
    #[error("Invalid filter pattern definition.")]
    Pattern(#[source] InvalidPattern),
}

/// The reason why a text is not a filter pattern. AWS returns the same message for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The text is not JSON.
    #[error("the pattern is not JSON")]
    NotJson,
    /// A value is neither an object nor, inside an object, an array.
    #[error("a value is neither an object nor an array")]
    LeafNotAnArray,
    /// An object has no keys.
    #[error("an object is empty")]
    EmptyObject,
    /// An array has no values.
    #[error("an array is empty")]
    EmptyArray,
    /// An array contains another array, or an operator that does not have exactly one key.
    #[error(
        "an array may contain only strings, numbers, true, false, null and operators with one key"
    )]
    LeafValue,
    /// Lambda does not list this operator (X5).
    #[error("unknown operator {0:?}")]
    UnknownOperator(String),
    /// An operator does not support its operand.
    #[error("invalid operand for operator {0:?}")]
    Operand(&'static str),
}
