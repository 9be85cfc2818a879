//! `clients`: the stock clients of other languages against the server.
//!
//! They are downloaded into `target/clients` in the versions that their lists pin, and anew when a list changes. Where a language
//! is missing its clients are passed over, and that is said; in CI it is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{succeeds, top};

/// The server, as cargo built it, and where the clients and their tests lie.
struct Clients {
    server: PathBuf,
    tests: PathBuf,
    room: PathBuf,
}

/// Names of the browser that looks at the dashboard.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Runs all clients against a server's executable.
pub(crate) fn run(server: &Path) -> bool {
    let Some(target) = server.parent().and_then(Path::parent) else { return false };
    let clients = Clients { server: server.to_owned(), tests: top().join("vectordb-server/tests/client"), room: target.join("clients") };
    clients.python() && clients.javascript()
}

impl Clients {
    fn python(&self) -> bool {
        if !present("python3") {
            return passed_over("python3");
        }
        let tests = self.tests.join("python");
        let environment = self.room.join("python");
        let list = tests.join("requirements.txt");
        let python = environment.join("bin/python");
        let installed = installed(&environment, &list, || {
            succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment))
                && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list))
        });
        let mut command = Command::new(&python);
        command.args(["-m", "pytest", "--durations=5"]).arg(&tests);
        if !BROWSERS.into_iter().any(present) {
            // No stock client is missing then, so this is none of CI's failures.
            println!("-- there is no Chromium: the dashboard is not looked at");
            command.arg("--ignore").arg(tests.join("test_dashboard.py"));
        }
        installed && succeeds(command.env("VECTORDB", &self.server).env("PYTHONDONTWRITEBYTECODE", "1"))
    }

    fn javascript(&self) -> bool {
        if !present("node") || !present("npm") {
            return passed_over("node with npm");
        }
        let tests = self.tests.join("javascript");
        let room = self.room.join("javascript");
        let installed = installed(&room, &tests.join("package-lock.json"), || {
            let copied = copy(&tests, &room);
            copied && succeeds(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&room))
        });
        // Tests change more often than what they need.
        let copied = installed && copy(&tests, &room);
        copied && succeeds(Command::new("node").arg("--test").current_dir(&room).env("VECTORDB", &self.server))
    }
}

/// Whether a program can be run.
pub(crate) fn present(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Says that tests are passed over for want of a program, which is no success in CI.
pub(crate) fn passed_over(program: &str) -> bool {
    let in_ci = std::env::var_os("CI").is_some();
    println!("-- there is no {program}: what needs it is passed over{}", if in_ci { ", which CI must not" } else { "" });
    !in_ci
}

/// Installs what a list names into an empty directory, unless the same list was installed there before.
pub(crate) fn installed(directory: &Path, list: &Path, install: impl FnOnce() -> bool) -> bool {
    let stamp = directory.join("installed");
    let Ok(wanted) = std::fs::read(list) else {
        eprintln!("{}: cannot be read", list.display());
        return false;
    };
    if std::fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return true;
    }
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory).is_ok() && install() && std::fs::write(&stamp, wanted).is_ok()
}

/// Copies the files of a directory, not its directories.
fn copy(from: &Path, to: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(from) else { return false };
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    files.into_iter().all(|entry| std::fs::copy(entry.path(), to.join(entry.file_name())).is_ok())
}
