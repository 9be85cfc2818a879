//! `k8s-e2e`: the chart, the manifests and the server on a control plane of Kubernetes, whose programs Go builds here.
//!
//! Pods are simulated or plain processes first, and then containers of our image under the kubelet of Kubernetes, if what Debian has
//! for that is installed. The build takes long, so what it makes is kept outside of the repository, and none of this is part of `ci`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::present;
use crate::k8s::{has_go, helm, python, target};
use crate::{image, succeeds, top};

/// Of the programs; `go.mod` in `k8s/e2e` says the same.
const VERSION: &str = "1.34.4";
/// Packages, and what is made of them.
const PLANE: [(&str, &str); 3] = [
    ("go.etcd.io/etcd/server/v3", "etcd"),
    ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
    ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
];
/// What runs containers, and the program of those that hold a pod's network.
const NODE: [(&str, &str); 4] = [
    ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
    ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
    ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
    ("vectordb/k8s/e2e/pause", "pause"),
];
/// Where Debian has the plugins of networks.
const PLUGINS: &str = "/usr/lib/cni";

/// Builds the programs that are not there yet, and runs the tests on them. `previous` is a server to upgrade from; `real` leaves out
/// what needs no containers.
pub(crate) fn run(previous: Option<&Path>, real: bool) -> bool {
    if let Some(program) = missing() {
        println!("SKIPPED: there is no {program}, and nothing was tried");
        return true;
    }
    let previous = match previous.map(Path::canonicalize) {
        Some(Err(error)) => {
            eprintln!("the program to upgrade from: {error}");
            return false;
        }
        found => found.and_then(Result::ok),
    };
    let without = missing_of_node();
    // Before all is built for nothing.
    if let (true, Some(program)) = (real, &without) {
        return no_containers(program);
    }
    let Some(tests) = Tests::built(previous) else { return false };
    if !real && !succeeds(&mut tests.pytest()) {
        return false;
    }
    match without {
        Some(program) => no_containers(&program),
        None => tests.under_kubelet(),
    }
}

/// Nothing failed that was tried.
fn no_containers(program: &str) -> bool {
    println!(
        "SKIPPED: there is no {program}, and no container was run: apt-get install containerd runc containernetworking-plugins iptables"
    );
    true
}

/// What all tests need.
struct Tests {
    bin: PathBuf,
    helm: PathBuf,
    /// With the packages of the tests.
    python: PathBuf,
    server: PathBuf,
    previous: Option<PathBuf>,
}

impl Tests {
    /// What is not there yet is built.
    fn built(previous: Option<PathBuf>) -> Option<Self> {
        let Some(bin) = bin() else {
            eprintln!("neither XDG_CACHE_HOME nor HOME is set");
            return None;
        };
        let room = target();
        if !all_built(&PLANE, &bin) {
            return None;
        }
        // The same program as in the image, so that both kinds of pods run it.
        let server = image::program(true)?;
        let helm = helm(&room.join("k8s"))?;
        let python = python(&room.join("k8s-e2e"), &directory().join("requirements.txt"))?;
        Some(Self { bin, helm, python, server, previous })
    }

    fn pytest(&self) -> Command {
        let mut pytest = Command::new("unshare");
        pytest
            .args(NAMESPACES)
            .arg(&self.python)
            .args(["-m", "pytest"])
            .current_dir(directory())
            .env("HELM", &self.helm)
            .env("KUBERNETES_BIN", &self.bin)
            .env("VECTORDB", &self.server)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(previous) = &self.previous {
            pytest.env("VECTORDB_PREVIOUS", previous);
        }
        pytest
    }

    /// The scenarios of pods again, with containers.
    fn under_kubelet(&self) -> bool {
        let images = target().join("image");
        let archive = |program: &Path, name: &str| image::archive(program, &images.join(name), "plain");
        let (true, Some(image)) = (all_built(&NODE, &self.bin), archive(&self.server, "e2e")) else { return false };
        let mut pytest = self.pytest();
        pytest.arg("test_pods.py").env("KUBELET", "real").env("CNI_BIN", PLUGINS).env("IMAGE", image);
        if let Some(previous) = &self.previous {
            let Some(image) = archive(previous, "e2e-previous") else { return false };
            pytest.env("IMAGE_PREVIOUS", image);
        }
        succeeds(&mut pytest)
    }
}

/// A network and files of its own, for pods with addresses and names, and processes of its own, of which none is left behind.
const NAMESPACES: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

/// What is needed for anything.
fn missing() -> Option<&'static str> {
    let needed = [
        ("go", has_go()),
        ("python3", present("python3")),
        ("kubectl", answers("kubectl", &["version", "--client"])),
        ("openssl", answers("openssl", &["version"])),
        ("way into a network of its own, as by unshare --net --mount --pid", has_namespaces()),
    ];
    needed.into_iter().find(|(_, there)| !there).map(|(name, _)| name)
}

/// What is needed for containers.
fn missing_of_node() -> Option<String> {
    let program = ["containerd", "runc", "ctr", "iptables"].into_iter().find(|program| !answers(program, &["--version"]));
    let plugin =
        || ["bridge", "host-local", "loopback"].into_iter().map(|name| format!("{PLUGINS}/{name}")).find(|path| !Path::new(path).exists());
    program.map(String::from).or_else(plugin)
}

fn has_namespaces() -> bool {
    let mut tried = NAMESPACES.to_vec();
    tried.extend(["ip", "link", "set", "lo", "up"]);
    answers("unshare", &tried)
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Where the tests are, and the module of the programs.
fn directory() -> PathBuf {
    top().join("k8s/e2e")
}

/// Where programs are kept.
fn bin() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let bin = cache.join("vectordb").join(format!("kubernetes-{VERSION}"));
    std::fs::create_dir_all(&bin).ok()?;
    Some(bin)
}

/// Builds what is not there yet.
fn all_built(programs: &[(&str, &str)], bin: &Path) -> bool {
    programs.iter().all(|(package, name)| bin.join(name).exists() || build(package, &bin.join(name)))
}

fn build(package: &str, to: &Path) -> bool {
    println!("-- building {package}");
    let version = "k8s.io/component-base/version";
    let (major, minor) = ("1", VERSION.split('.').nth(1).unwrap_or_default());
    // Without them a program calls itself v0.0.0, and others do not work with it.
    let flags = format!("-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}");
    let mut go = Command::new("go");
    succeeds(go.args(["build", "-ldflags", &flags, "-o"]).arg(to).arg(package).current_dir(directory()).env("CGO_ENABLED", "0"))
}
