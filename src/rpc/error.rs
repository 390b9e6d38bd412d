//! What a call is refused with: go-ethereum's codes and words, because clients compare them.

use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: i32,
    pub(crate) message: String,
}

impl Error {
    /// What the method itself says.
    pub(crate) fn method(message: impl Into<String>) -> Self {
        Self {
            code: METHOD_FAILED,
            message: message.into(),
        }
    }

    /// Arguments that are missing, too many, or of the wrong kind.
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self {
            code: INVALID_PARAMS,
            message: message.into(),
        }
    }

    /// A message that is JSON and no call.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self {
            code: INVALID_REQUEST,
            message: message.into(),
        }
    }

    /// A message that is not JSON.
    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self {
            code: PARSE_ERROR,
            message: message.into(),
        }
    }

    /// A method that nobody registered.
    pub(crate) fn unknown_method(name: &str) -> Self {
        Self {
            code: METHOD_NOT_FOUND,
            message: format!("the method {name} does not exist/is not available"),
        }
    }

    /// A subscription that nobody registered.
    pub(crate) fn unknown_subscription(name: &str, namespace: &str) -> Self {
        Self {
            code: METHOD_NOT_FOUND,
            message: format!("no {name:?} subscription in {namespace} namespace"),
        }
    }

    /// The node behind the methods has ended.
    pub(crate) fn node_stopped() -> Self {
        Self::method("node not started")
    }
}

impl From<Error> for ErrorObjectOwned {
    fn from(error: Error) -> Self {
        ErrorObject::owned(error.code, error.message, None::<()>)
    }
}

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const METHOD_FAILED: i32 = -32000;
