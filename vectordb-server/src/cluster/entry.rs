//! How a node comes into a cluster: into the one that it was part of, into that of whom it is to ask, or into one that it founds.
//!
//! Whom to ask may be a name that stands for all nodes, as a headless service of Kubernetes does: each of its addresses is asked. All
//! nodes of a stateful set can then be started alike. When none of them is part of a cluster yet, the one with the number 0 founds it,
//! but only after it has not found any that is for a while: an empty disk is no reason to found a second cluster. Where the API of
//! Kubernetes can be asked, it is: for addresses, and for the one leave to found a cluster that there is.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::BasicNode;
use vectordb_service::Fault;

use super::client::PeerClient;
use super::door::Join;
use super::leader;
use super::node::{AGREEMENT, ClusterError, Shared};
use super::raft::ConsensusError;
use super::state::{ClusterState, Command, Outcome};
use crate::config::ClusterConfig;
use crate::kubernetes::{Founding, Kubernetes};

/// How long to look for somebody who lets this node in.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the first node of a stateful set looks for a cluster before it founds one.
const FOUNDING: Duration = Duration::from_secs(10);
/// How long a node may take to say whether it is part of a cluster.
const SHORT: Duration = Duration::from_secs(2);
/// How long to wait before asking again.
const ROUND: Duration = Duration::from_millis(500);

/// What peers are told of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The Kubernetes around this node, if it is to be asked, and can be.
pub(super) async fn kubernetes(config: &ClusterConfig) -> Result<Option<Kubernetes>, ClusterError> {
    if !config.kubernetes.enabled {
        return Ok(None);
    }
    if !cfg!(feature = "k8s") {
        tracing::warn!("built without the feature `k8s`: the API of Kubernetes is not asked for anything");
        return Ok(None);
    }
    Kubernetes::open(&config.kubernetes).await.map(Some).map_err(|trouble| ClusterError::Settings(trouble.to_string()))
}

/// What came of asking to be let in.
enum Asked {
    /// It was.
    LetIn,
    /// It is not, and will not be.
    Refused { uri: String, reason: String },
    /// Nobody could say.
    NotYet(String),
}

impl Shared {
    pub(super) async fn enter(self: &Arc<Self>, config: &ClusterConfig) -> Result<(), ClusterError> {
        let known = self.group.raft.is_initialized().await.map_err(|error| ConsensusError::Start(error.to_string()))?;
        let other = config.bootstrap.as_deref().filter(|other| !same(other, &self.uri));
        match other {
            _ if known => {}
            Some(other) => self.join(other, config.replace_lost_peer).await?,
            None => self.found_alone().await?,
        }
        let announcing = Arc::clone(self);
        tokio::spawn(async move { announcing.announce().await });
        Ok(())
    }

    async fn found(&self) -> Result<(), ClusterError> {
        tracing::info!(uri = self.uri, "founding a cluster");
        let founder = BTreeMap::from([(self.me.peer, BasicNode::new(&self.uri))]);
        self.group.raft.initialize(founder).await.map_err(|error| ConsensusError::Start(error.to_string()).into())
    }

    /// Founds a cluster that nobody is asked about, once the note of it is made.
    async fn found_alone(&self) -> Result<(), ClusterError> {
        let begun = Instant::now();
        loop {
            match self.may_found().await {
                Ok(()) => return self.found().await,
                Err(reason) if begun.elapsed() > PATIENCE => return Err(ClusterError::Join { uri: self.uri.clone(), reason }),
                Err(reason) => tracing::warn!(reason, "no cluster is founded yet"),
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// Whether this node may found a cluster, and if not, why. Where it runs in Kubernetes that is noted there once, so that no second
    /// one is founded, whichever volumes are lost and whoever is away; without an answer from there none is.
    async fn may_found(&self) -> Result<(), String> {
        let Some(kubernetes) = &self.kubernetes else { return Ok(()) };
        match kubernetes.claim_founding(&self.founder()).await {
            Ok(Founding::Granted) => Ok(()),
            Ok(Founding::TakenBy(other)) => Err(format!(
                "{} says that peer {other} founded a cluster, and nobody of it lets this node in; if it is gone for good, delete that",
                kubernetes.founding_name()
            )),
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    /// How this node is noted as the founder: an empty disk is somebody else.
    pub(super) fn founder(&self) -> String {
        format!("{}/{}", self.me.peer, self.me.disk)
    }

    fn introduction(&self) -> Command {
        let version = VERSION.to_owned();
        Command::AddPeer { id: self.me.peer, uri: self.uri.clone(), disk: self.me.disk, version, zone: self.zone.clone() }
    }

    /// Says again who this node is, when another disk of it is agreed on: what it said with an earlier one may have come late.
    pub(super) fn correct(self: &Arc<Self>, state: &ClusterState) {
        if state.peers.get(&self.me.peer).is_some_and(|known| known.disk != self.me.disk) {
            self.propose_quietly(self.introduction());
        }
    }

    /// Says where this node is, until that is agreed on. It does so even if that seems to be the case: it may have been taken out
    /// meanwhile, and nobody tells one that is no part of the group any more.
    async fn announce(self: Arc<Self>) {
        while !self.is_stopping() {
            if matches!(self.propose(self.introduction()).await, Ok((Ok(_), _))) || self.ask_in_again().await {
                return;
            }
            tokio::time::sleep(leader::BEAT).await;
        }
    }

    /// Asks those that were peers when this node knew last to be let in.
    async fn ask_in_again(&self) -> bool {
        let others: Vec<String> = self.agreed().peers.values().map(|peer| peer.uri.clone()).filter(|uri| !same(uri, &self.uri)).collect();
        for uri in others {
            match self.ask_in(&uri, false).await {
                (_, Asked::LetIn) => return true,
                (_, Asked::Refused { uri, reason }) => tracing::warn!(uri, reason, "the cluster does not let this node in again"),
                (_, Asked::NotYet(reason)) => tracing::debug!(uri, reason, "nobody lets this node in yet"),
            }
        }
        false
    }

    /// Asks to be let in until somebody does.
    async fn join(&self, other: &str, replaces: bool) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let founds = is_first(&self.uri);
        let mut met = false;
        loop {
            let (somebody, asked) = self.ask_in(other, replaces).await;
            met |= somebody;
            let mut reason = match asked {
                Asked::LetIn => return Ok(()),
                Asked::Refused { uri, reason } => return Err(ClusterError::Refused { uri, reason }),
                Asked::NotYet(reason) => reason,
            };
            if founds && !met && begun.elapsed() > FOUNDING {
                match self.may_found().await {
                    Ok(()) => return self.found().await,
                    Err(why) => reason = why,
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(ClusterError::Join { uri: other.to_owned(), reason });
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// Asks everybody who is found to be let in, once; and whether anybody is part of a cluster.
    async fn ask_in(&self, other: &str, replaces: bool) -> (bool, Asked) {
        let mut met = false;
        let mut reason = "nobody is there".to_owned();
        for uri in self.addresses(other).await {
            let (client, address) = self.way_to(other, &uri);
            met |= client.call::<_, bool>(&address, "/standing", &(), SHORT).await.unwrap_or(false);
            let join = Join { introduction: self.introduction(), replaces };
            match client.call::<_, Outcome>(&address, "/join", &join, AGREEMENT).await {
                Ok(Ok(_)) => return (met, Asked::LetIn),
                Ok(Err(error)) if error.fault == Fault::BadRequest => return (met, Asked::Refused { uri, reason: error.message }),
                Ok(Err(error)) => reason = error.to_string(),
                Err(error) => reason = error.to_string(),
            }
        }
        (met, Asked::NotYet(reason))
    }

    /// How one of the addresses is reached that a name stands for. Certificates are for the name.
    fn way_to(&self, name: &str, uri: &str) -> (PeerClient, String) {
        let place = Place::of(name).filter(|_| self.client.is_encrypted());
        let address = uri.split_once("://").and_then(|(_, address)| address.parse().ok());
        match (place, address) {
            (Some(place), Some(address)) => match self.client.reaching(place.host, address) {
                Ok(client) => (client, name.to_owned()),
                Err(error) => {
                    tracing::debug!(error, uri, "this address cannot be asked by its name");
                    (self.client.clone(), uri.to_owned())
                }
            },
            _ => (self.client.clone(), uri.to_owned()),
        }
    }

    /// The address itself, or those of all nodes that its name stands for, by the API of Kubernetes and by the name.
    async fn addresses(&self, other: &str) -> Vec<String> {
        let mut found = addresses(other).await;
        let place = Place::of(other);
        if let (Some(kubernetes), Some(place)) = (&self.kubernetes, place) {
            match kubernetes.addresses(place.service()).await {
                Ok(pods) => found.extend(pods.into_iter().map(|pod| place.with(pod))),
                Err(trouble) => tracing::debug!(%trouble, "the name alone says where other nodes are"),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Parts of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'u> {
    scheme: &'u str,
    host: &'u str,
    port: &'u str,
}

impl<'u> Place<'u> {
    /// Nothing for what is no name of a host.
    fn of(uri: &'u str) -> Option<Self> {
        let (scheme, rest) = uri.trim_end_matches('/').split_once("://")?;
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "6335"));
        let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err() && !host.starts_with('[');
        is_name.then_some(Self { scheme, host, port })
    }

    /// The service of Kubernetes that the name is of.
    fn service(&self) -> &'u str {
        self.host.split('.').next().unwrap_or(self.host)
    }

    fn with(&self, address: IpAddr) -> String {
        format!("{}://{}", self.scheme, SocketAddr::new(address, self.port.parse().unwrap_or(6335)))
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// Whether the host has the number 0 in its stateful set.
fn is_first(uri: &str) -> bool {
    let host = uri.split("://").nth(1).and_then(|rest| rest.split(['.', ':', '/']).next());
    host.is_some_and(|host| host.ends_with("-0"))
}

/// The address itself, or those of all hosts that its name stands for.
async fn addresses(uri: &str) -> Vec<String> {
    let plain = || vec![uri.to_owned()];
    let Some((scheme, rest)) = uri.trim_end_matches('/').split_once("://") else { return plain() };
    let place = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:6335") };
    match tokio::net::lookup_host(&place).await {
        Ok(found) => {
            let mut found: Vec<String> = found.map(|address| format!("{scheme}://{address}")).collect();
            found.sort_unstable();
            found.dedup();
            if found.len() > 1 { found } else { plain() }
        }
        Err(_) => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_stateful_set_is_known_by_its_name() {
        assert!(is_first("http://qdrant-0.qdrant-headless:6335") && is_first("http://db-0"));
        for other in ["http://qdrant-10.qdrant-headless:6335", "http://10.0.0.0:6335", "http://node-1:6335", "qdrant-0"] {
            assert!(!is_first(other), "{other}");
        }
    }

    #[test]
    fn a_service_is_the_first_part_of_a_name_and_its_pods_are_reached_at_the_same_port() {
        let place = Place::of("http://qdrant-headless.vector-db.svc:7000/").expect("a name");
        assert_eq!((place.service(), place.with([10, 0, 0, 7].into())), ("qdrant-headless", "http://10.0.0.7:7000".to_owned()));
        assert_eq!(
            Place::of("https://db").map(|place| place.with("fd00::1".parse().expect("an address"))),
            Some("https://[fd00::1]:6335".into())
        );
        for none in ["http://10.0.0.7:6335", "http://[fd00::1]:6335", "nowhere", "http://"] {
            assert_eq!(Place::of(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn a_plain_address_is_asked_as_it_is() {
        assert_eq!(addresses("http://127.0.0.1:7005").await, ["http://127.0.0.1:7005"]);
        assert_eq!(addresses("nowhere").await, ["nowhere"]);
    }
}
