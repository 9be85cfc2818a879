//! Errors as gRPC tells them.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use vectordb_service::{Fault, ServiceError};

/// The code of the fault with the full text; how long to wait goes into the metadata, as HTTP has it in a header.
pub(super) fn status(error: &ServiceError) -> Status {
    let mut status = Status::new(Code::from_i32(error.fault.grpc_code()), error.to_string());
    if let Fault::RateLimited { retry_after_secs } = error.fault {
        status.metadata_mut().insert("retry-after", MetadataValue::from(retry_after_secs));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_code_and_their_words() {
        let limited = status(&ServiceError::new(Fault::RateLimited { retry_after_secs: 3 }, "wait"));
        assert_eq!(limited.code(), Code::ResourceExhausted);
        assert_eq!(limited.message(), "Rate limiting exceeded: wait");
        assert_eq!(limited.metadata().get("retry-after").and_then(|value| value.to_str().ok()), Some("3"));
        let missing = status(&ServiceError::no_collection("books"));
        assert_eq!((missing.code(), missing.message()), (Code::NotFound, "Not found: Collection `books` doesn't exist!"));
        assert!(missing.metadata().is_empty());
    }
}
