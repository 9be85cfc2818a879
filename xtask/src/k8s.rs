//! `k8s`: the chart, the manifests made of it and the alert rules, looked at without a cluster.
//!
//! helm is built by Go, promtool is taken out of Debian's package of Prometheus, schemas of Kubernetes come with a package of
//! Python; all of them are put into `target/k8s`, in versions that are pinned here or in the list of the tests. Where a toolchain
//! is missing the step is passed over, and that is said; in CI it is a failure.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clients::{installed, passed_over, present};
use crate::{succeeds, top};

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.18.6";

/// Checks the files; before that makes the manifests anew if `write`.
pub(crate) fn run(write: bool) -> bool {
    if !has_go() {
        return passed_over("go");
    }
    if !present("python3") {
        return passed_over("python3");
    }
    let tests = top().join("k8s/tests");
    let room = target().join("k8s");
    let Some(tools) = Tools::installed(&room, &tests) else { return false };
    let run = |command: &mut Command| {
        command.current_dir(&tests).env("HELM", &tools.helm).env("PROMTOOL", &tools.promtool).env("PYTHONDONTWRITEBYTECODE", "1");
        succeeds(command)
    };
    (!write || run(Command::new(&tools.python).arg("generate.py"))) && run(Command::new(&tools.python).args(["-m", "pytest"]))
}

/// Whether there is Go, which knows no `--version`.
pub(crate) fn has_go() -> bool {
    Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from)
}

/// Programs that look at the files.
struct Tools {
    helm: PathBuf,
    promtool: PathBuf,
    /// With the packages of the tests.
    python: PathBuf,
}

impl Tools {
    /// What is not there yet is put there.
    fn installed(room: &Path, tests: &Path) -> Option<Self> {
        let helm = helm(room)?;
        let promtool = room.join("bin/promtool");
        let has_promtool = promtool.exists() || unpacked("prometheus", "usr/bin/promtool", room, &promtool);
        let python = python(&room.join("python"), &tests.join("requirements.txt"))?;
        has_promtool.then_some(Self { helm, promtool, python })
    }
}

/// helm, which is built if it is not there yet.
pub(crate) fn helm(room: &Path) -> Option<PathBuf> {
    let bin = room.join("bin");
    std::fs::create_dir_all(&bin).ok()?;
    let helm = bin.join(version_of(HELM));
    (helm.exists() || built(HELM, &bin, &helm)).then_some(helm)
}

/// A Python with the packages of a list.
pub(crate) fn python(environment: &Path, list: &Path) -> Option<PathBuf> {
    let python = environment.join("bin/python");
    let there = installed(environment, list, || {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(environment))
            && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(list))
    });
    there.then_some(python)
}

/// `helm-v3.1.2` of `example.com/helm@v3.1.2`.
fn version_of(module: &str) -> String {
    module.rsplit('/').next().unwrap_or(module).replace('@', "-")
}

/// Builds a program of Go.
fn built(module: &str, bin: &Path, to: &Path) -> bool {
    let mut go = Command::new("go");
    go.args(["install", "-ldflags=-s -w", module]).env("GOBIN", bin).env("CGO_ENABLED", "0").current_dir(bin);
    let name = version_of(module);
    let plain = bin.join(name.split('-').next().unwrap_or(&name));
    succeeds(&mut go) && std::fs::rename(plain, to).is_ok()
}

/// Takes a file out of a package of Debian, or copies what is installed.
fn unpacked(package: &str, file: &str, room: &Path, to: &Path) -> bool {
    let name = Path::new(file).file_name().unwrap_or(OsStr::new(file));
    let directory = room.join(package);
    let there = Path::new("/").join(file);
    if there.exists() {
        return std::fs::copy(there, to).is_ok();
    }
    let _ = std::fs::remove_dir_all(&directory);
    if std::fs::create_dir_all(&directory).is_err() {
        return false;
    }
    let download = || succeeds(Command::new("apt-get").args(["download", "-qq", package]).current_dir(&directory));
    // The lists of packages may be missing, or be of yesterday.
    let downloaded = download() || (succeeds(Command::new("apt-get").args(["update", "-qq"])) && download());
    let found = std::fs::read_dir(&directory).ok().and_then(|mut entries| Some(entries.next()?.ok()?.path()));
    let unpacked = downloaded && found.is_some_and(|deb| succeeds(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&directory)));
    let done = unpacked && std::fs::rename(directory.join(file), to).is_ok();
    let _ = std::fs::remove_dir_all(&directory);
    if !done {
        eprintln!("{}: Debian's package {package} has it; put it into {}", name.display(), to.display());
    }
    done
}
