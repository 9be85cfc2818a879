//! The Kubernetes that a node runs in: what the node asks of its API, and what it tells there.
//!
//! Nothing that a client waits for is asked here. Each request ends after a few seconds, and whoever makes one can do without the
//! answer: nodes go on as they are while the API is away. Names come from the pod's own: the pod `qdrant-0` belongs to the stateful
//! set `qdrant`, whose cluster is noted in the ConfigMap `qdrant-cluster`, and how few pods it may have in `qdrant-scale`.
//!
//! Files: `api` (requests, by the crate `kube`), or `without` (none, without the feature `k8s`).

#![cfg_attr(not(feature = "k8s"), allow(dead_code, reason = "nothing is asked without the feature"))]

#[cfg_attr(feature = "k8s", path = "api.rs")]
#[cfg_attr(not(feature = "k8s"), path = "without.rs")]
mod api;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::KubernetesConfig;
use api::Api;

/// Who reports events.
const REPORTER: &str = "vectordb.io/server";
/// The key of the ConfigMap that says who founded the cluster.
const FOUNDER: &str = "founder";
/// The key of the ConfigMap that says how few pods are allowed.
const FLOOR: &str = "minReplicas";
/// How long a change of the floor may take until admission knows of it.
const ADMISSION: Duration = Duration::from_secs(30);

/// Why there is no answer, or none that helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nothing says which pod this is, or how the API is reached.
    #[error("{0}")]
    Settings(String),
    /// Nobody answered in time, or only to say that it cannot.
    #[error("the API of Kubernetes does not answer: {0}")]
    Away(String),
    /// The API understood, and does not do it.
    #[error("the API of Kubernetes refuses with {code}: {message}")]
    Refused {
        /// The status of HTTP.
        code: u16,
        /// Why.
        message: String,
    },
}

impl Trouble {
    fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == status)
    }
}

/// A request's method and body.
#[derive(Debug)]
enum Ask {
    Get,
    Make(Value),
    /// A merge patch (RFC 7386).
    Patch(Value),
}

/// Whether a node may found a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Founding {
    /// It may, and nobody else may from now on.
    Granted,
    /// Somebody has, or may.
    TakenBy(String),
}

/// Something that people should see where they look after their pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    /// One word, as in `PeerJoined`.
    pub(crate) reason: &'static str,
    /// What happened, in a sentence.
    pub(crate) note: String,
}

/// The API, and the stateful set that this pod belongs to.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    api: Api,
    namespace: String,
    pod: String,
    set: String,
    ordinal: u64,
}

impl Kubernetes {
    /// Finds out who this pod is and how the API is reached, without asking it yet.
    ///
    /// # Errors
    /// [`Trouble::Settings`].
    pub(crate) async fn open(config: &KubernetesConfig) -> Result<Self, Trouble> {
        let named = |said: &Option<String>, variable: &str| {
            let found = said.clone().or_else(|| std::env::var(variable).ok()).filter(|name| !name.is_empty());
            found.ok_or_else(|| Trouble::Settings(format!("the variable {variable} does not say who this pod is")))
        };
        let (pod, namespace) = (named(&config.pod, "POD_NAME")?, named(&config.namespace, "POD_NAMESPACE")?);
        let (set, ordinal) = set_and_ordinal(&pod)?;
        let api = Api::open(config.kubeconfig.as_deref()).await?;
        Ok(Self { api, namespace, set, ordinal, pod })
    }

    /// The number of this pod in its set.
    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// The ConfigMap that says who founded the cluster, as people name it.
    pub(crate) fn founding_name(&self) -> String {
        format!("configmap/{}-cluster in the namespace {}", self.set, self.namespace)
    }

    /// The commands that scale the set past the guard.
    pub(crate) fn scaling_by_hand(&self, replicas: u64) -> String {
        let Self { namespace, set, .. } = self;
        let patch = |least: &str| format!("kubectl -n {namespace} patch configmap {set}-scale -p '{{\"data\":{least}}}'");
        let allow = patch(&format!("{{\"{FLOOR}\":\"{replicas}\"}}"));
        format!("{allow}\nkubectl -n {namespace} scale statefulset {set} --replicas={replicas}\n{}", patch("null"))
    }

    /// Addresses of the pods of a service, ready or not.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn addresses(&self, service: &str) -> Result<BTreeSet<IpAddr>, Trouble> {
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}",
            self.namespace
        );
        let found = self.api.send(&path, Ask::Get).await?;
        let endpoints = list(&found["items"]).flat_map(|slice| list(&slice["endpoints"]));
        let others = endpoints.filter(|endpoint| endpoint["targetRef"]["name"] != self.pod.as_str());
        Ok(others.flat_map(|endpoint| list(&endpoint["addresses"])).filter_map(|address| address.as_str()?.parse().ok()).collect())
    }

    /// Notes who founds the cluster, if nobody has been noted yet. Of several that ask at once one is granted it.
    ///
    /// # Errors
    /// [`Trouble`]; then nothing is known, and no cluster may be founded.
    pub(crate) async fn claim_founding(&self, founder: &str) -> Result<Founding, Trouble> {
        let name = format!("{}-cluster", self.set);
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "cluster"}},
            "data": {FOUNDER: founder},
        });
        match self.api.send(&self.config_map(""), Ask::Make(object)).await {
            Ok(_) => Ok(Founding::Granted),
            Err(trouble) if trouble.is(409) => {
                let noted = self.api.send(&self.config_map(&name), Ask::Get).await?;
                // Whoever was cut short between the note and the deed goes on.
                let by = noted["data"][FOUNDER].as_str().unwrap_or("somebody").to_owned();
                Ok(if by == founder { Founding::Granted } else { Founding::TakenBy(by) })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Pods that the set is to have.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn replicas(&self) -> Result<u64, Trouble> {
        let set = self.api.send(&self.stateful_set(""), Ask::Get).await?;
        Ok(set["spec"]["replicas"].as_u64().unwrap_or(1))
    }

    /// How few pods are allowed now; nothing: no fewer than there are.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn floor(&self) -> Result<Option<u64>, Trouble> {
        let noted = self.api.send(&self.config_map(&format!("{}-scale", self.set)), Ask::Get).await?;
        Ok(noted["data"][FLOOR].as_str().and_then(|least| least.parse().ok()))
    }

    /// Changes how few pods are allowed.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn set_floor(&self, least: Option<u64>) -> Result<(), Trouble> {
        let change = json!({"data": {FLOOR: least.map(|least| least.to_string())}});
        self.api.send(&self.config_map(&format!("{}-scale", self.set)), Ask::Patch(change)).await.map(drop)
    }

    /// Changes how many pods the set is to have: allows it, does it, and forbids it again.
    ///
    /// # Errors
    /// [`Trouble`]; then it is forbidden again, unless the API is away.
    pub(crate) async fn scale(&self, replicas: u64) -> Result<(), Trouble> {
        match self.set_floor(Some(replicas)).await {
            // There is no guard, or none that is ours.
            Err(trouble) if trouble.is(404) => return self.set_replicas(replicas).await,
            other => other?,
        }
        let until = Instant::now() + ADMISSION;
        let scaled = loop {
            match self.set_replicas(replicas).await {
                // Admission hears of the leave a moment later.
                Err(trouble) if trouble.is(422) && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                other => break other,
            }
        };
        self.set_floor(None).await.and(scaled)
    }

    async fn set_replicas(&self, replicas: u64) -> Result<(), Trouble> {
        let change = json!({"spec": {"replicas": replicas}});
        self.api.send(&self.stateful_set("/scale"), Ask::Patch(change)).await.map(drop)
    }

    /// Tells people something, at the stateful set.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn tell(&self, happening: &Happening) -> Result<(), Trouble> {
        let set = self.api.send(&self.stateful_set(""), Ask::Get).await?;
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": format!("{}.{}", self.set, Uuid::new_v4().simple()), "namespace": self.namespace},
            "eventTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            "reportingController": REPORTER,
            "reportingInstance": self.pod,
            "action": happening.reason,
            "reason": happening.reason,
            "note": happening.note,
            "type": "Normal",
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": self.set,
                "namespace": self.namespace,
                "uid": set["metadata"]["uid"],
            },
        });
        self.api.send(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace), Ask::Make(event)).await.map(drop)
    }

    fn config_map(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/configmaps{}{name}", self.namespace, if name.is_empty() { "" } else { "/" })
    }

    fn stateful_set(&self, part: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/statefulsets/{}{part}", self.namespace, self.set)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `qdrant` and 3 of `qdrant-3`.
fn set_and_ordinal(pod: &str) -> Result<(String, u64), Trouble> {
    let parts = pod.rsplit_once('-').and_then(|(set, ordinal)| Some((set.to_owned(), ordinal.parse().ok()?)));
    parts.ok_or_else(|| Trouble::Settings(format!("{pod} is no pod of a stateful set")))
}

#[cfg(all(test, feature = "k8s"))]
mod fake;
#[cfg(all(test, feature = "k8s"))]
mod tests;
