//! What a caller may conclude from a failed call to an AWS service.

/// A call to a service that gave no usable answer, by what the caller may conclude.
///
/// The texts hold error codes and I/O error kinds only. They never quote a request or a response, because either may
/// contain a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The service throttled every attempt of the SDK. Nothing was written.
    #[error("throttled ({code})")]
    Throttled {
        /// The service's error code.
        code: String,
    },
    /// Timeout, broken connection or server error. The write may have happened.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// The kind of the error, without anything from the request.
        reason: String,
    },
    /// Access denied, no such resource, or a validation error. Nothing was written, and a retry alone does not help.
    ///
    /// Callers retry all the same: the cause is usually a deployment, and the message must outlive it.
    #[error("refused ({code})")]
    Refused {
        /// The service's error code.
        code: String,
    },
}

impl ServiceError {
    /// A refused call with this error code.
    #[must_use]
    pub fn refused(code: impl Into<String>) -> Self {
        Self::Refused { code: code.into() }
    }

    /// A call whose outcome is unknown for this reason.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    /// Whether a retry alone may succeed. If not, an operator must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unknown { .. } => true,
            Self::Refused { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_calls_need_an_operator() {
        let code = "ThrottlingException".to_owned();
        assert!(ServiceError::Throttled { code }.is_transient());
        assert!(ServiceError::unknown("timeout").is_transient());
        assert!(!ServiceError::refused("AccessDeniedException").is_transient());
    }
}
