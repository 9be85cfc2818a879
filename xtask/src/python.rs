//! `python`: the Python package over the engine as cargo built it for the tests.
//!
//! A wheel would be another build of the engine, with other features than the workspace has as a whole; so the package is laid out
//! beside its native part instead, and tested there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::{installed, passed_over, present};
use crate::{succeeds, top};

/// Where everything is.
struct Python {
    source: PathBuf,
    /// The directory that holds the package as it would be installed.
    path: PathBuf,
    interpreter: PathBuf,
    cache: PathBuf,
}

/// Tests the package with its native part, and beside the crate by itself.
pub(crate) fn run(library: &Path, bridge: &Path) -> bool {
    if !present("python3") {
        return passed_over("python3");
    }
    let Some(target) = library.parent().and_then(Path::parent) else { return false };
    let room = target.join("python");
    let source = top().join("vectordb-py");
    let environment = room.join("environment");
    let python = Python { path: room.join("package"), interpreter: environment.join("bin/python"), cache: room.join("mypy"), source };
    let list = python.source.join("tests/requirements.txt");
    let ready = installed(&environment, &list, || {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment))
            && succeeds(python.module(&["pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list))
    });
    ready
        && python.lay_out(library)
        && std::thread::scope(|scope| {
            // Types take as long as tests.
            let types = scope.spawn(|| python.types() && python.stubs());
            let tested = python.test(bridge);
            types.join().unwrap_or(false) && tested
        })
}

impl Python {
    fn module(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg("-m").args(arguments).env("PYTHONPATH", &self.path).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Puts the package and its native part together, without what an earlier state of it had.
    fn lay_out(&self, library: &Path) -> bool {
        let package = self.path.join("vectordb");
        let _ = std::fs::remove_dir_all(&self.path);
        let copied = std::fs::create_dir_all(&package).and_then(|()| {
            for entry in std::fs::read_dir(self.source.join("python/vectordb"))? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    std::fs::copy(entry.path(), package.join(entry.file_name()))?;
                }
            }
            std::fs::copy(library, package.join("_native.abi3.so"))
        });
        copied.map_err(|error| eprintln!("{}: {error}", package.display())).is_ok()
    }

    fn test(&self, bridge: &Path) -> bool {
        succeeds(self.module(&["pytest", "--durations=5"]).env("VECTORDB_BRIDGE", bridge).current_dir(&self.source))
    }

    fn types(&self) -> bool {
        let package = self.path.join("vectordb");
        let mut command = self.module(&["mypy", "--cache-dir"]);
        command.arg(&self.cache).arg(package).arg("tests").arg(top().join("examples/python/retrieval.py"));
        succeeds(command.arg(top().join("examples/python/rag_langchain.py")).current_dir(&self.source))
    }

    fn stubs(&self) -> bool {
        succeeds(self.module(&["mypy.stubtest", "vectordb._native"]).current_dir(&self.path))
    }
}
