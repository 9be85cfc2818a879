//! The nodes of a running cluster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client::{Client, ServerArgs, encoded};
use super::failure::Failure;
use super::output::{count_bar, json as print_json};
use crate::config::Config;
use crate::kubernetes::Kubernetes;

#[derive(Debug, clap::Args)]
pub(super) struct Ctl {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Tell who is part of the cluster, and who leads.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring the replicas of a peer elsewhere, and wait until it has none.
    Drain {
        /// The peer's number.
        peer: u64,
        /// Let replicas come again instead.
        #[arg(long)]
        undo: bool,
        /// Seconds to wait.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u64,
    },
    /// Change how many pods a stateful set has: bring the replicas of all peers behind elsewhere, take them out, then scale.
    ///
    /// The number of a pod is the last number in the name of its host, as in `http://qdrant-3.qdrant-headless:6335`. The set itself
    /// is scaled where this runs in one of its pods and `cluster.kubernetes.enabled` is set; otherwise that is left to you.
    ScaleTo {
        /// Pods that stay.
        replicas: u64,
        /// Seconds to wait for each peer.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u64,
    },
    /// What a pod does before it is stopped: nothing, unless its stateful set has become smaller; then bring its replicas elsewhere,
    /// and take it out.
    Prestop {
        /// Seconds to wait. If there are replicas then, they stay, and come back with the pod.
        #[arg(long, value_name = "SECONDS", default_value_t = 540)]
        timeout: u64,
        /// Seconds to stay afterwards, in which those who send requests hear that this pod is going.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        linger: u64,
    },
    /// Make a peer's replica the primary of its shard.
    Promote {
        /// The collection.
        collection: String,
        /// The shard's number.
        shard: u32,
        /// The peer's number.
        peer: u64,
        /// Even if it is not in sync, and nobody who is answers any more: what it lacks is lost then, whoever comes back.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Leave replicas that are well where they are. What dead or drained peers have is still made elsewhere.
    Pause {
        /// Let them be moved for balance again instead.
        #[arg(long)]
        undo: bool,
    },
    /// Compare what the replicas of each shard hold, point by point.
    Verify {
        /// The collection.
        collection: String,
        /// Make those anew that differ from what most hold, or from the primary.
        #[arg(long)]
        repair: bool,
    },
    /// Let the replicas of a shard be moved for balance again that were moved by hand.
    Unpin {
        /// The collection.
        collection: String,
        /// The shard's number.
        shard: u32,
    },
    /// Take a peer out of the cluster.
    Remove {
        /// The peer's number.
        peer: u64,
        /// Even if it has the only copy of something, which is lost then.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    peer_id: u64,
    #[serde(default)]
    peers: BTreeMap<u64, Peer>,
    #[serde(default)]
    raft_info: Value,
    #[serde(default)]
    balance_paused: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    uri: String,
    #[serde(default)]
    draining: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Draining {
    replicas: u64,
}

pub(super) fn run(ctl: &Ctl) -> Result<(), Failure> {
    let client = || ctl.server.client();
    match &ctl.verb {
        Verb::Status { json } => status(&client()?, *json),
        Verb::Drain { peer, undo: true, .. } => client()?.call::<Draining>("POST", &drain_path(*peer, true), &Value::Null).map(drop),
        Verb::Drain { peer, timeout, .. } => drain(&client()?, *peer, Duration::from_secs(*timeout)),
        Verb::ScaleTo { replicas, timeout } => scale_to(&client()?, *replicas, Duration::from_secs(*timeout)),
        Verb::Prestop { timeout, linger } => {
            let done = prestop(&ctl.server, Duration::from_secs(*timeout));
            std::thread::sleep(Duration::from_secs(*linger));
            done
        }
        Verb::Promote { collection, shard, peer, accept_loss } => {
            let replica = json!({"shard_id": shard, "peer_id": peer, "accept_loss": accept_loss});
            operate(&client()?, collection, &json!({"promote_replica": replica}))
        }
        Verb::Pause { undo } => {
            let path = if *undo { "/cluster/pause?undo=true" } else { "/cluster/pause" };
            client()?.call::<bool>("POST", path, &Value::Null).map(drop)
        }
        Verb::Verify { collection, repair } => verify(&client()?, collection, *repair),
        Verb::Unpin { collection, shard } => operate(&client()?, collection, &json!({"unpin_shard": {"shard_id": shard}})),
        Verb::Remove { peer, force } => remove(&client()?, *peer, *force),
    }
}

fn operate(client: &Client, collection: &str, operation: &Value) -> Result<(), Failure> {
    client.call::<bool>("POST", &format!("/collections/{}/cluster", encoded(collection)), operation).map(drop)
}

/// What the replicas of a collection hold.
#[derive(Debug, Deserialize)]
struct Sums {
    equal: bool,
    shards: Vec<ShardSums>,
}

#[derive(Debug, Deserialize)]
struct ShardSums {
    shard_id: u32,
    replicas: Vec<ReplicaSum>,
}

#[derive(Debug, Deserialize)]
struct ReplicaSum {
    peer_id: u64,
    is_primary: bool,
    differs: bool,
    #[serde(default)]
    last_batch: u64,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    error: Option<String>,
}

fn verify(client: &Client, collection: &str, repair: bool) -> Result<(), Failure> {
    let path = format!("/collections/{}/cluster/verify{}", encoded(collection), if repair { "?repair=true" } else { "" });
    let sums: Sums = client.call("POST", &path, &Value::Null)?;
    let mut unknown = 0;
    for shard in &sums.shards {
        for replica in &shard.replicas {
            let role = if replica.is_primary { "primary" } else { "" };
            let found = replica.error.clone().unwrap_or_else(|| format!("up to batch {}: {}", replica.last_batch, replica.digest));
            let differs = if replica.differs { "  DIFFERS" } else { "" };
            println!("shard {:<4} {:>16} {role:<8} {found}{differs}", shard.shard_id, replica.peer_id);
            unknown += usize::from(replica.error.is_some());
        }
    }
    match (sums.equal, repair) {
        (true, _) if unknown > 0 => Err(Failure::new(format!("{unknown} replicas could not be compared"))),
        (true, _) => Ok(()),
        (false, true) => Err(Failure::new("there were replicas that differ; they are being made anew")),
        (false, false) => Err(Failure::new("there are replicas that differ: `--repair` makes them anew")),
    }
}

fn asked(client: &Client) -> Result<Status, Failure> {
    let status: Status = client.call("GET", "/cluster", &Value::Null)?;
    if status.status == "disabled" {
        return Err(Failure::new("the server is not part of a cluster"));
    }
    Ok(status)
}

fn status(client: &Client, json: bool) -> Result<(), Failure> {
    let status = asked(client)?;
    if json {
        print_json(&status);
        return Ok(());
    }
    let leader = status.raft_info["leader"].as_u64();
    for (id, peer) in &status.peers {
        let role = if leader == Some(*id) { "leader" } else { "" };
        let zone = peer.zone.as_deref().unwrap_or_default();
        let line = format!("{id:>16}  {:<50} {role:<7}{zone:<12} {}", peer.uri, if peer.draining { "draining" } else { "" });
        println!("{}", line.trim_end());
    }
    if status.balance_paused {
        println!("replicas that are well stay where they are");
    }
    Ok(())
}

fn drain_path(peer: u64, undo: bool) -> String {
    format!("/cluster/peer/{peer}/drain{}", if undo { "?undo=true" } else { "" })
}

/// Can be interrupted and begun again: what was moved stays moved.
fn drain(client: &Client, peer: u64, timeout: Duration) -> Result<(), Failure> {
    let until = Instant::now() + timeout;
    let mut bar: Option<(u64, ProgressBar)> = None;
    loop {
        let Draining { replicas } = client.call("POST", &drain_path(peer, false), &Value::Null)?;
        let (first, bar) = bar.get_or_insert_with(|| (replicas, count_bar("replicas", replicas)));
        bar.set_position(first.saturating_sub(replicas));
        if replicas == 0 {
            bar.finish_and_clear();
            eprintln!("peer {peer} has no replicas");
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Failure::new(format!("peer {peer} still has {replicas} replicas; it goes on, and can be asked for again")));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn remove(client: &Client, peer: u64, force: bool) -> Result<(), Failure> {
    client.call::<bool>("DELETE", &format!("/cluster/peer/{peer}{}", if force { "?force=true" } else { "" }), &Value::Null).map(drop)
}

fn scale_to(client: &Client, replicas: u64, timeout: Duration) -> Result<(), Failure> {
    let status = asked(client)?;
    if replicas == 0 {
        return Err(Failure::new("a cluster without nodes has no data: at least one stays"));
    }
    let mut leaving = Vec::new();
    for (id, peer) in &status.peers {
        let number = ordinal(&peer.uri);
        let number = number.ok_or_else(|| Failure::new(format!("{} does not say which pod of a stateful set it is", peer.uri)))?;
        if number >= replicas {
            leaving.push(*id);
        }
    }
    // All at once, so that no replica comes to one that leaves next.
    for peer in &leaving {
        client.call::<Draining>("POST", &drain_path(*peer, false), &Value::Null)?;
    }
    leaving.iter().try_for_each(|peer| drain(client, *peer, timeout))?;
    leaving.iter().try_for_each(|peer| remove(client, *peer, false))?;
    println!("{} of {} peers were taken out; {replicas} pods are enough", leaving.len(), status.peers.len());
    match Surroundings::open()? {
        Some(surroundings) => surroundings.scale(replicas),
        None => Ok(()),
    }
}

/// Ends at once, and well, where there is nothing to do or where nobody says what is: a pod that is restarted must not wait.
fn prestop(server: &ServerArgs, timeout: Duration) -> Result<(), Failure> {
    let leaves = match Surroundings::open() {
        Ok(Some(surroundings)) => surroundings.leaves(),
        Ok(None) => Ok(false),
        Err(failure) => Err(failure),
    };
    match leaves {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(failure) => {
            eprintln!("vectordb: taken for a restart: {failure}");
            return Ok(());
        }
    }
    let client = &server.client()?;
    let status = asked(client)?;
    let here = status.peer_id;
    if !status.peers.contains_key(&here) {
        return Ok(());
    }
    let drained = drain(client, here, timeout);
    if drained.is_err() {
        // What is still here stays whole on the volume, and serves again when there are more pods.
        client.call::<Draining>("POST", &drain_path(here, true), &Value::Null)?;
        return drained;
    }
    remove(client, here, false)
}

/// The Kubernetes around this pod, for a moment.
struct Surroundings {
    runtime: Runtime,
    kubernetes: Kubernetes,
}

impl Surroundings {
    /// Nothing where the settings do not say that it is to be asked.
    fn open() -> Result<Option<Self>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let config = Config::load(None).map_err(|error| failed(&error))?.cluster.kubernetes;
        if !config.enabled {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let kubernetes = runtime.block_on(Kubernetes::open(&config)).map_err(|trouble| failed(&trouble))?;
        Ok(Some(Self { runtime, kubernetes }))
    }

    /// Whether the set has become so small that this pod goes for good. A set without pods is only stopped.
    fn leaves(&self) -> Result<bool, Failure> {
        let replicas = self.runtime.block_on(self.kubernetes.replicas()).map_err(|trouble| Failure::new(trouble.to_string()))?;
        Ok(replicas > 0 && self.kubernetes.ordinal() >= replicas)
    }

    fn scale(&self, replicas: u64) -> Result<(), Failure> {
        match self.runtime.block_on(self.kubernetes.scale(replicas)) {
            Ok(()) => {
                println!("the stateful set has {replicas} pods now");
                Ok(())
            }
            Err(trouble) => {
                let left = self.kubernetes.scaling_by_hand(replicas);
                Err(Failure::new(format!("the peers are taken out, but the stateful set is not scaled: {trouble}\nDo it by hand:\n{left}")))
            }
        }
    }
}

/// The number of a pod by the address of its peer.
fn ordinal(uri: &str) -> Option<u64> {
    let host = uri.split("://").nth(1)?.split(['/', ':']).next()?;
    host.split('.').next()?.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_known_by_the_names_of_their_hosts() {
        assert_eq!(ordinal("http://qdrant-3.qdrant-headless:6335/"), Some(3));
        assert_eq!(ordinal("https://my-db-12"), Some(12));
        for other in ["http://10.0.0.7:6335/", "http://localhost:6335", "qdrant-3", "http://qdrant-x.y"] {
            assert_eq!(ordinal(other), None, "{other}");
        }
    }
}
