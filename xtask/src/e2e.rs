//! `k8s-e2e`: the chart, the manifests and the server on a control plane of Kubernetes, whose programs Go builds here.
//!
//! The build takes long, so what it makes is kept outside of the repository, and none of this is part of `ci`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::present;
use crate::k8s::{has_go, helm, python, target};
use crate::{ci, succeeds, top};

/// Of the programs; `go.mod` in `k8s/e2e` says the same.
const VERSION: &str = "1.34.4";
/// Packages, and what is made of them.
const PROGRAMS: [(&str, &str); 3] = [
    ("go.etcd.io/etcd/server/v3", "etcd"),
    ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
    ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
];

/// Builds the programs that are not there yet, and runs the tests on them. `previous` is a server to upgrade from.
pub(crate) fn run(previous: Option<&Path>) -> bool {
    let missing = [
        ("go", has_go()),
        ("python3", present("python3")),
        ("kubectl", has_kubectl()),
        ("openssl", has_openssl()),
        ("way into a network of its own, as by unshare --net --mount --pid", has_namespaces()),
    ];
    if let Some((program, _)) = missing.iter().find(|(_, there)| !there) {
        println!("SKIPPED: there is no {program}, and nothing was tried");
        return true;
    }
    let (tests, Some(bin)) = (top().join("k8s/e2e"), bin()) else {
        eprintln!("neither XDG_CACHE_HOME nor HOME is set");
        return false;
    };
    let built = PROGRAMS.iter().all(|(package, name)| bin.join(name).exists() || build(package, &bin.join(name), &tests));
    if !built {
        return false;
    }
    let (room, Some(server)) = (target(), ci::server()) else { return false };
    let (Some(helm), Some(python)) = (helm(&room.join("k8s")), python(&room.join("k8s-e2e"), &tests.join("requirements.txt"))) else {
        return false;
    };
    let mut pytest = Command::new("unshare");
    pytest
        .args(NAMESPACES)
        .arg(&python)
        .args(["-m", "pytest"])
        .current_dir(&tests)
        .env("HELM", &helm)
        .env("KUBERNETES_BIN", &bin)
        .env("VECTORDB", server)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    match previous.map(Path::canonicalize) {
        Some(Ok(previous)) => pytest.env("VECTORDB_PREVIOUS", previous),
        Some(Err(error)) => {
            eprintln!("the program to upgrade from: {error}");
            return false;
        }
        None => &mut pytest,
    };
    succeeds(&mut pytest)
}

/// A network and files of its own, for pods with addresses and names, and processes of its own, of which none is left behind.
const NAMESPACES: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

fn has_namespaces() -> bool {
    Command::new("unshare").args(NAMESPACES).args(["ip", "link", "set", "lo", "up"]).output().is_ok_and(|output| output.status.success())
}

fn has_kubectl() -> bool {
    Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|output| output.status.success())
}

fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success())
}

/// Where programs are kept.
fn bin() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let bin = cache.join("vectordb").join(format!("kubernetes-{VERSION}"));
    std::fs::create_dir_all(&bin).ok()?;
    Some(bin)
}

fn build(package: &str, to: &Path, module: &Path) -> bool {
    println!("-- building {package}");
    let version = "k8s.io/component-base/version";
    let (major, minor) = ("1", VERSION.split('.').nth(1).unwrap_or_default());
    // Without them a program calls itself v0.0.0, and others do not work with it.
    let flags = format!("-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}");
    let mut go = Command::new("go");
    succeeds(go.args(["build", "-ldflags", &flags, "-o"]).arg(to).arg(package).current_dir(module).env("CGO_ENABLED", "0"))
}
