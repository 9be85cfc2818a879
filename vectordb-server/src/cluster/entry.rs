//! How a node comes into a cluster: into the one that it was part of, into that of whom it is to ask, or into one that it founds.
//!
//! Whom to ask may be a name that stands for all nodes, as a headless service of Kubernetes does: each of its addresses is asked. All
//! nodes of a stateful set can then be started alike. When none of them is part of a cluster yet, the one with the number 0 founds it,
//! but only after it has not found any that is for a while: an empty disk is no reason to found a second cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::BasicNode;
use vectordb_service::Fault;

use super::door::Join;
use super::node::{AGREEMENT, ClusterError, Shared};
use super::raft::ConsensusError;
use super::state::Outcome;
use crate::config::ClusterConfig;

/// How long to look for somebody who lets this node in.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the first node of a stateful set looks for a cluster before it founds one.
const FOUNDING: Duration = Duration::from_secs(10);
/// How long a node may take to say whether it is part of a cluster.
const SHORT: Duration = Duration::from_secs(2);

impl Shared {
    pub(super) async fn enter(self: &Arc<Self>, config: &ClusterConfig) -> Result<(), ClusterError> {
        let known = self.group.raft.is_initialized().await.map_err(|error| ConsensusError::Start(error.to_string()))?;
        match &config.bootstrap {
            _ if known => {}
            Some(other) if !same(other, &self.uri) => self.join(other, config.replace_lost_peer).await?,
            _ => self.found().await?,
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

    /// Asks to be let in until somebody does.
    async fn join(&self, other: &str, replaces: bool) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let founds = is_first(&self.uri);
        let mut met = false;
        loop {
            let mut reason = "nobody is there".to_owned();
            for uri in addresses(other).await {
                met |= self.client.call::<_, bool>(&uri, "/standing", &(), SHORT).await.unwrap_or(false);
                let join = Join { introduction: self.introduction(), replaces };
                match self.client.call::<_, Outcome>(&uri, "/join", &join, AGREEMENT).await {
                    Ok(Ok(_)) => return Ok(()),
                    Ok(Err(error)) if error.fault == Fault::BadRequest => return Err(ClusterError::Refused { uri, reason: error.message }),
                    Ok(Err(error)) => reason = error.to_string(),
                    Err(error) => reason = error.to_string(),
                }
            }
            if founds && !met && begun.elapsed() > FOUNDING {
                return self.found().await;
            }
            if begun.elapsed() > PATIENCE {
                return Err(ClusterError::Join { uri: other.to_owned(), reason });
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
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

    #[tokio::test]
    async fn a_plain_address_is_asked_as_it_is() {
        assert_eq!(addresses("http://127.0.0.1:7005").await, ["http://127.0.0.1:7005"]);
        assert_eq!(addresses("nowhere").await, ["nowhere"]);
    }
}
