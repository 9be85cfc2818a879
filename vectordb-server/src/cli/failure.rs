//! Why a command did not do what it should.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use vectordb_service::ServiceError;

/// What the help says about exit codes.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 damaged data was found, 101 a cluster does not let \
    the node in.";

/// What went wrong, in words, and what the process ends with.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Data is not what it should be.
    pub(super) fn damage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 3 }
    }

    /// The cluster refuses the node, as it will the next time.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 101 }
    }

    /// A file that cannot be read or written.
    pub(super) fn file(path: &Path, error: &dyn fmt::Display) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::new(error.message)
    }
}

impl From<vectordb_core::Error> for Failure {
    fn from(error: vectordb_core::Error) -> Self {
        let message = error.to_string();
        if error.kind() == vectordb_core::ErrorKind::Corrupt { Self::damage(message) } else { Self::new(message) }
    }
}
