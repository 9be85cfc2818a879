//! Why a command did not do what it should.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use vectordb_service::ServiceError;

/// What the help says about exit codes.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 damaged data was found.";

/// What went wrong, in words, and whether it was damage.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    damage: bool,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), damage: false }
    }

    /// Data is not what it should be.
    pub(super) fn damage(message: impl Into<String>) -> Self {
        Self { message: message.into(), damage: true }
    }

    /// A file that cannot be read or written.
    pub(super) fn file(path: &Path, error: &dyn fmt::Display) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    pub(super) fn code(&self) -> ExitCode {
        if self.damage { ExitCode::from(3) } else { ExitCode::FAILURE }
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
