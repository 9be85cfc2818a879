//! A node: everything it needs to take part, and the reconciliation of what is here with what is agreed on.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;
use vectordb_core::{StdFs, UpdateResult};
use vectordb_service::{Consistency, Fault, RoutedCollection, RoutedShard, Service, ServiceError, ShardRoute, is_about_points};

use super::client::PeerClient;
use super::cut::Kept;
use super::door;
use super::entry;
use super::feed;
use super::identity::Identity;
use super::leader::{self, Beat, Beats};
use super::overseer;
use super::parcel::{Parcels, Throttle};
use super::raft::{ConsensusError, Group};
use super::replica::{Home, Replica, Work};
use super::resharding::{Admission, Pass, Resharding};
use super::route::{Change, Route};
use super::sender;
use super::state::{ClusterState, CollectionMeta, Command, Member, Outcome, PeerId, ShardMeta, ShardRef};
use crate::config::{ClusterConfig, TlsConfig};
use crate::kubernetes::Kubernetes;
use crate::tls::{Certificates, TlsError, TlsListener};

/// How long a change may take until everybody agrees.
pub(super) const AGREEMENT: Duration = Duration::from_secs(15);
/// How often things are looked at although nothing is known to have changed.
const GLANCE: Duration = Duration::from_secs(1);

/// Why a node does not take part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The settings make no sense.
    #[error("{0}")]
    Settings(String),
    /// Its files cannot be read or written.
    #[error("{path}: {source}")]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no agreement.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// Nobody of the cluster lets it in.
    #[error("no peer of the cluster answers at {uri}: {reason}")]
    Join {
        /// Whom it asked.
        uri: String,
        /// What came of it.
        reason: String,
    },
    /// The cluster does not let it in, and will not.
    #[error("the cluster at {uri} does not let this node in: {reason}")]
    Refused {
        /// Whom it asked.
        uri: String,
        /// Why.
        reason: String,
    },
    /// The certificates of the door for nodes.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The service and its data.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// What all parts of a node share.
pub(crate) struct Shared {
    pub(crate) me: Member,
    pub(crate) uri: String,
    pub(crate) group: Group,
    pub(crate) client: PeerClient,
    pub(super) beats: Mutex<Beats>,
    pub(super) give_up_after: Duration,
    rebalance: bool,
    /// What fails together with this node, if that is known.
    pub(super) zone: Option<String>,
    /// Where this node runs, if it is to ask there.
    pub(super) kubernetes: Option<Kubernetes>,
    handle: Handle,
    service: Weak<Service>,
    home: Home,
    /// Work that is not finished, on the file system of the data.
    pub(super) scratch_path: PathBuf,
    replicas: RwLock<BTreeMap<ShardRef, Arc<Replica>>>,
    routes: Mutex<BTreeMap<ShardRef, Arc<Route>>>,
    /// Files of shards that somebody will come for.
    pub(super) kept: Mutex<BTreeMap<Uuid, Kept>>,
    /// Files of shards on their way to replicas.
    pub(super) parcels: Parcels,
    pub(super) transfers: Throttle,
    reconciling: Mutex<()>,
    /// The entry that what is here agrees with.
    reconciled: watch::Sender<u64>,
    /// The entry as of which the service was shown collections last.
    pub(super) shown: AtomicU64,
    /// What the leader had agreed on when this node first heard of it since it started.
    pub(super) first_heard: Mutex<Option<u64>>,
    /// Set once everything was in order, and never reset: troubles of others are not this node's.
    was_ready: AtomicBool,
    /// Others take over what is here, as this node is about to stop.
    stepping_aside: AtomicBool,
    /// Its disk is almost full.
    full: AtomicBool,
    stopping: AtomicBool,
    /// There is something to tell the leader.
    beat: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.me.peer)
    }
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Node {
    /// Who the node of a data directory is, at most 53 bits.
    ///
    /// # Errors
    /// [`ClusterError::Files`].
    pub(crate) fn peer_id(storage: &Path, config: &ClusterConfig) -> Result<u64, ClusterError> {
        Ok(identity(storage, config)?.peer_id)
    }

    /// Takes part in a cluster: in the one it was part of, or in that of the peer it is to join, or in one that it founds.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) async fn start(
        storage: &Path,
        config: &ClusterConfig,
        listener: TcpListener,
        tls: Option<&TlsConfig>,
        service: &Arc<Service>,
    ) -> Result<Self, ClusterError> {
        let identity = identity(storage, config)?;
        check_scheme(config)?;
        let tls = if config.p2p.enable_tls { Some(whole(tls)?) } else { None };
        let client = PeerClient::new(identity.peer_id, config.p2p.secret.clone(), tls).map_err(ClusterError::Settings)?;
        let certificates = tls.map(|files| Certificates::read(files, true)).transpose()?.map(Arc::new);
        let kubernetes = entry::kubernetes(config).await?;
        let directory = cluster_directory(storage);
        let group = Group::start(identity.peer_id, &directory.join("raft"), client.clone()).await?;
        let port = listener.local_addr().map_err(|source| ClusterError::Files { path: directory.clone(), source })?.port();
        let uri = config.uri.clone().unwrap_or_else(|| format!("{}://127.0.0.1:{port}", scheme(config)));
        let shared = Arc::new(Shared {
            me: identity.member(),
            uri,
            group,
            client,
            beats: Mutex::default(),
            give_up_after: Duration::from_secs(config.replace_peer_after_secs),
            rebalance: config.rebalance,
            zone: config.zone.clone().filter(|zone| !zone.is_empty()),
            kubernetes,
            handle: Handle::current(),
            service: Arc::downgrade(service),
            home: Home { directory: directory.join("replicas"), fs: Arc::new(StdFs), db: service.database().clone() },
            scratch_path: directory.join("scratch"),
            replicas: RwLock::default(),
            routes: Mutex::default(),
            kept: Mutex::default(),
            parcels: Parcels::default(),
            transfers: Throttle::new(config.transfer_bytes_per_sec),
            reconciling: Mutex::default(),
            reconciled: watch::Sender::new(0),
            shown: AtomicU64::new(0),
            first_heard: Mutex::default(),
            was_ready: AtomicBool::new(false),
            stepping_aside: AtomicBool::new(false),
            full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            beat: Notify::new(),
        });
        shared.prepare()?;
        let (stop, stopped) = watch::channel(false);
        let secret = config.p2p.secret.clone();
        let mut tasks = match certificates {
            Some(certificates) => shared.open_encrypted_door(listener, certificates, secret, &stopped, &directory)?,
            None => vec![tokio::spawn(door::serve(listener, Arc::clone(&shared), secret, stopped.clone()))],
        };
        shared.enter(config).await?;
        service.join(Arc::clone(&shared) as Arc<dyn vectordb_service::Cluster>);
        tasks.push(tokio::spawn(reconcile_always(Arc::clone(&shared), stopped.clone())));
        tasks.push(tokio::spawn(beat_always(Arc::clone(&shared))));
        tasks.push(tokio::spawn(leader::run(Arc::clone(&shared))));
        tasks.push(tokio::spawn(overseer::run(Arc::clone(&shared), stopped)));
        Ok(Self { shared, tasks, stop })
    }

    /// Has others take over what this node is primary of, and leaves the in-sync sets of others, so that no write waits for it when it
    /// stops. What nobody else has stays, and so does everything after a few seconds without an agreement. The writes that came before
    /// have their answers then, for the next primaries could not say any more what became of them.
    pub(crate) async fn step_aside(&self) {
        const PATIENCE: Duration = Duration::from_secs(3);
        const GLANCE: Duration = Duration::from_millis(10);
        let me = self.shared.me;
        self.shared.stepping_aside.store(true, Ordering::Release);
        self.shared.beat.notify_one();
        let mut agreed = self.shared.group.agreed.clone();
        let is_free = agreed.wait_for(|agreed| {
            let mut shards = agreed.state.collections.values().flat_map(CollectionMeta::all_shards);
            shards.all(|shard| !shard.in_sync.contains(&me) || shard.in_sync.len() == 1)
        });
        let freed_at = match tokio::time::timeout(PATIENCE, is_free).await {
            Ok(Ok(agreed)) => agreed.index,
            Ok(Err(_)) => return,
            Err(_) => return tracing::warn!("stopping although others count on replicas here"),
        };
        let finish = async {
            // Until others know, they send more.
            self.shared.settled(freed_at).await;
            while self.shared.is_awaited() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, finish).await.is_err() {
            tracing::warn!("stopping although somebody may wait for the answer to a write");
        }
    }

    /// Waits until the node cannot hear any more what is agreed on, as when its disk takes nothing, and says why.
    pub(crate) async fn failed(&self) -> String {
        let mut metrics = self.shared.group.raft.metrics();
        let stopped = metrics.wait_for(|metrics| metrics.running_state.is_err()).await;
        let reason = stopped.ok().and_then(|metrics| metrics.running_state.as_ref().err().map(ToString::to_string));
        let reason = reason.unwrap_or_else(|| "its member of the group is gone".to_owned());
        format!("this node cannot hear any more what its cluster agrees on: {reason}")
    }

    /// Takes no more part. Replicas of others take over.
    pub(crate) async fn stop(self) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        if let Err(error) = self.shared.group.raft.shutdown().await {
            tracing::warn!(%error, "agreement did not end well");
        }
        for task in self.tasks {
            // What panicked has nothing more to finish.
            let _ = task.await;
        }
        let shared = self.shared;
        let noted = tokio::task::spawn_blocking(move || shared.note_commits());
        let _ = noted.await;
    }
}

fn scheme(config: &ClusterConfig) -> &'static str {
    if config.p2p.enable_tls { "https" } else { "http" }
}

/// What nodes know each other by.
fn whole(tls: Option<&TlsConfig>) -> Result<&TlsConfig, ClusterError> {
    let is_whole = |tls: &&TlsConfig| tls.cert.is_some() && tls.key.is_some() && tls.ca_cert.is_some();
    tls.filter(is_whole).ok_or_else(|| ClusterError::Settings("cluster.p2p.enable_tls needs tls.cert, tls.key and tls.ca_cert".to_owned()))
}

/// Addresses say whether they are those of encrypted doors.
fn check_scheme(config: &ClusterConfig) -> Result<(), ClusterError> {
    let scheme = scheme(config);
    let wrong = |uri: &&String| uri.split_once("://").is_none_or(|(given, _)| given != scheme);
    match config.uri.iter().chain(&config.bootstrap).find(wrong) {
        None => Ok(()),
        Some(uri) => {
            let enabled = config.p2p.enable_tls;
            Err(ClusterError::Settings(format!(
                "with cluster.p2p.enable_tls: {enabled}, addresses of nodes begin with {scheme}://, not as {uri}"
            )))
        }
    }
}

fn cluster_directory(storage: &Path) -> PathBuf {
    storage.join("cluster")
}

fn identity(storage: &Path, config: &ClusterConfig) -> Result<Identity, ClusterError> {
    let path = cluster_directory(storage);
    Identity::of(&path, config.peer_id).map_err(|source| ClusterError::Files { path, source })
}

/// Brings what is here in line with what is agreed on, whenever that changes.
async fn reconcile_always(node: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut agreed = node.group.agreed.clone();
    while !node.is_stopping() {
        let working = Arc::clone(&node);
        let result = tokio::task::spawn_blocking(move || {
            working.reconcile();
            working.note_commits();
            working.forget_old_cuts();
            working.parcels.forget_old();
        });
        if let Err(error) = result.await {
            tracing::error!(%error, "reconciling was cut short");
        }
        tokio::select! {
            _ = agreed.changed() => {}
            () = tokio::time::sleep(GLANCE) => {}
            _ = stopped.changed() => {}
        }
    }
}

/// Tells the leader that this node lives, and those that may be the next: one that is need not wait then to know who does.
async fn beat_always(node: Arc<Shared>) {
    while !node.is_stopping() {
        let beat = node.beat();
        node.beats.lock().note(beat, Instant::now());
        if let Some(agreed) = leader::known_to_be_agreed(&node) {
            node.first_heard.lock().get_or_insert(agreed);
        }
        for uri in node.voters() {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let answer: Result<Option<u64>, _> = node.client.call(&uri, "/beat", &beat, leader::BEAT).await;
                if let Ok(Some(agreed)) = answer {
                    node.first_heard.lock().get_or_insert(agreed);
                }
            });
        }
        tokio::select! {
            () = tokio::time::sleep(leader::BEAT) => {}
            () = node.beat.notified() => {}
        }
    }
}

impl Shared {
    /// Opens the door for other nodes, and keeps its certificates fresh.
    fn open_encrypted_door(
        self: &Arc<Self>,
        listener: TcpListener,
        certificates: Arc<Certificates>,
        secret: Option<String>,
        stopped: &watch::Receiver<bool>,
        directory: &Path,
    ) -> Result<Vec<JoinHandle<()>>, ClusterError> {
        let encrypted = TlsListener::new(listener, Arc::clone(&certificates));
        let encrypted = encrypted.map_err(|source| ClusterError::Files { path: directory.to_path_buf(), source })?;
        let client = self.client.clone();
        let changed = move |_: &Certificates| {
            if let Err(error) = client.refresh() {
                tracing::warn!(%error, "other nodes are still shown the old certificate");
            }
        };
        let door = door::serve(encrypted, Arc::clone(self), secret, stopped.clone());
        Ok(vec![tokio::spawn(certificates.keep_fresh(stopped.clone(), changed)), tokio::spawn(door)])
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn is_stepping_aside(&self) -> bool {
        self.stepping_aside.load(Ordering::Acquire)
    }

    fn beat(&self) -> Beat {
        Beat::new(self.me, self.is_stepping_aside() || self.is_full())
    }

    /// Whether additions are about to be refused here, so that others should be primaries. Once it is so, it takes some more room to
    /// be otherwise, for shards would go to and fro.
    fn is_full(&self) -> bool {
        const LITTLE: f64 = 1.125;
        const ENOUGH: f64 = 1.25;
        let Some(ratio) = self.service().and_then(|service| service.room_ratio()) else { return false };
        let was = self.full.load(Ordering::Acquire);
        let is = ratio < if was { ENOUGH } else { LITTLE };
        if is && !was {
            tracing::warn!("the disk is almost full: others are to be primaries");
        } else if was && !is {
            tracing::info!("the disk has room again");
        }
        self.full.store(is, Ordering::Release);
        is
    }

    /// The service that the node is of, until that ends.
    pub(super) fn service(&self) -> Option<Arc<Service>> {
        self.service.upgrade()
    }

    pub(super) fn rebalances(&self) -> bool {
        self.rebalance
    }

    pub(crate) fn agreed(&self) -> Arc<ClusterState> {
        Arc::clone(&self.group.agreed.borrow().state)
    }

    /// Waits for something from a thread that may wait.
    pub(crate) fn wait_for<T>(&self, what: impl Future<Output = T>) -> T {
        self.handle.block_on(what)
    }

    /// Does something beside whatever else happens.
    pub(super) fn spawn<T: Send + 'static>(&self, what: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(what)
    }

    pub(crate) fn uri_of(&self, peer: PeerId) -> Option<String> {
        self.agreed().peers.get(&peer).map(|peer| peer.uri.clone())
    }

    pub(crate) fn replica(&self, shard: ShardRef) -> Option<Arc<Replica>> {
        self.replicas.read().get(&shard).cloned()
    }

    /// Whether writes that came here wait for the next primaries.
    fn is_awaited(&self) -> bool {
        self.replicas.read().values().any(|replica| replica.is_awaited())
    }

    pub(super) fn route(&self, shard: ShardRef) -> Option<Arc<Route>> {
        self.routes.lock().get(&shard).cloned()
    }

    pub(crate) fn is_in_sync(&self, shard: ShardRef) -> bool {
        self.agreed().shard(shard).is_some_and(|(_, _, meta)| meta.in_sync.contains(&self.me))
    }

    /// Other nodes to ask for a shard's points, the primary first, or alone if it has to be.
    pub(crate) fn readers(&self, shard: ShardRef, consistency: Consistency) -> Vec<(PeerId, String)> {
        let state = self.agreed();
        let Some((_, _, meta)) = state.shard(shard) else { return Vec::new() };
        let others = meta.in_sync.iter().filter(|member| **member != meta.primary && consistency == Consistency::Usual);
        let all = std::iter::once(&meta.primary).chain(others).filter(|member| **member != self.me);
        all.filter_map(|member| Some((member.peer, state.peers.get(&member.peer)?.uri.clone()))).collect()
    }

    /// Returns when there is no answer to be expected any more from a peer that was the primary of a shard. One that lives hears from
    /// the next primary what became of the writes that it had begun; where points have moved on, they were done before that.
    pub(crate) async fn deposed(&self, shard: ShardRef, peer: PeerId) {
        const ANSWER: Duration = Duration::from_secs(1);
        let mut agreed = self.group.agreed.clone();
        let counts = |meta: &ShardMeta| meta.primary.peer == peer || meta.is_in_sync(peer);
        let changed = agreed.wait_for(|agreed| !agreed.state.shard(shard).is_some_and(|(_, _, meta)| counts(meta)));
        if changed.await.is_err() {
            // Nothing will change any more: the node is stopping, and its calls end by themselves.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(ANSWER).await;
    }

    pub(super) fn leader(&self) -> Option<(PeerId, String)> {
        let metrics = self.group.raft.metrics().borrow().clone();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, node.addr.clone()))
    }

    /// Addresses of the others that lead, or may.
    fn voters(&self) -> Vec<String> {
        let metrics = self.group.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let others = membership.voter_ids().filter(|peer| *peer != self.me.peer);
        others.filter_map(|peer| Some(membership.get_node(&peer)?.addr.clone())).collect()
    }

    /// Removes what an interruption left behind.
    fn prepare(&self) -> Result<(), ClusterError> {
        let files = |path: &Path, source| ClusterError::Files { path: path.to_path_buf(), source };
        match std::fs::remove_dir_all(&self.scratch_path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(files(&self.scratch_path, error)),
            _ => {}
        }
        for path in [&self.scratch_path, &self.home.directory] {
            std::fs::create_dir_all(path).map_err(|error| files(path, error))?;
        }
        Ok(())
    }

    /// Has a command agreed on; its outcome, and the entry in which it happened.
    pub(crate) async fn propose(&self, command: Command) -> Result<(Outcome, u64), ServiceError> {
        let until = Instant::now() + AGREEMENT;
        let mut reason = "there is no leader".to_owned();
        while Instant::now() < until && !self.is_stopping() {
            match self.leader() {
                Some((id, _)) if id == self.me.peer => match self.group.raft.client_write(command.clone()).await {
                    Ok(done) => return Ok((done.data.0.unwrap_or(Ok(false)), done.log_id.index)),
                    Err(error) => reason = error.to_string(),
                },
                Some((_, uri)) => {
                    let answer = self.client.call::<_, Option<(Outcome, u64)>>(&uri, "/propose", &command, AGREEMENT).await;
                    match answer {
                        Ok(Some(done)) => return Ok(done),
                        Ok(None) => {}
                        Err(super::client::PeerError::Unreachable(why)) => reason = why,
                        Err(super::client::PeerError::Broken(why)) => {
                            return Err(ServiceError::internal(format!("the leader did not answer, it may or may not be done: {why}")));
                        }
                    }
                }
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(ServiceError::new(Fault::Unavailable, format!("no agreement: {reason}")))
    }

    /// The same from a thread that may wait; returns when this node, and every other that answers, is in line with it.
    pub(crate) fn agree(&self, command: Command) -> Outcome {
        let (outcome, index) = self.wait_for(self.propose(command))?;
        if outcome.is_ok() {
            self.wait_for(self.settled(index));
        }
        outcome
    }

    /// Proposes what somebody will propose again if it is not heard.
    pub(super) fn propose_quietly(self: &Arc<Self>, command: Command) {
        let node = Arc::clone(self);
        self.handle.spawn(async move {
            match node.propose(command).await {
                Ok((Ok(_), _)) => {}
                Ok((Err(error), _)) | Err(error) => tracing::debug!(%error, "a proposal came to nothing"),
            }
        });
    }

    /// Returns when the nodes that answer are in line with an entry, or after a few seconds.
    pub(super) async fn settled(&self, index: u64) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let others: Vec<String> = {
            let state = self.agreed();
            state.peers.iter().filter(|(id, _)| **id != self.me.peer).map(|(_, peer)| peer.uri.clone()).collect()
        };
        let asked = others.iter().map(|uri| self.client.call::<_, ()>(uri, "/settled", &index, PATIENCE));
        let (_, _) = tokio::join!(self.reconciled_to(index, PATIENCE), futures_util::future::join_all(asked));
    }

    pub(super) async fn reconciled_to(&self, index: u64, patience: Duration) {
        let mut reconciled = self.reconciled.subscribe();
        let waiting = reconciled.wait_for(|done| *done >= index);
        drop(tokio::time::timeout(patience, waiting).await);
    }

    /// Whether what is agreed on here is at least what the leader had when this node came.
    pub(super) fn has_caught_up(&self) -> bool {
        let here = self.group.agreed.borrow().index;
        self.first_heard.lock().is_some_and(|first| here >= first)
    }

    pub(super) fn is_in_order(&self) -> bool {
        if self.was_ready.load(Ordering::Acquire) {
            return true;
        }
        let state = self.agreed();
        let shards = state
            .collections
            .values()
            .flat_map(|collection| collection.all_shards().map(move |shard| (ShardRef { uid: collection.uid, shard: shard.id }, shard)));
        let mine = shards.filter(|(_, shard)| shard.in_sync.contains(&self.me));
        let ready = self.has_caught_up()
            && *self.reconciled.borrow() >= self.first_heard.lock().unwrap_or(u64::MAX)
            && mine.into_iter().all(|(of, _)| self.replica(of).is_some_and(|replica| replica.readable().is_some()));
        if ready {
            self.was_ready.store(true, Ordering::Release);
        }
        ready
    }

    /// Brings replicas, senders and the service in line with what is agreed on.
    fn reconcile(self: &Arc<Self>) {
        let _alone = self.reconciling.lock();
        if self.is_stopping() {
            return;
        }
        let (index, state) = {
            let agreed = self.group.agreed.borrow();
            (agreed.index, Arc::clone(&agreed.state))
        };
        let mut in_line = true;
        for collection in state.collections.values() {
            for meta in collection.all_shards() {
                let shard = ShardRef { uid: collection.uid, shard: meta.id };
                if let Err(error) = self.reconcile_shard(shard, collection, meta) {
                    tracing::warn!(%shard, %error, "a replica is not in line with what is agreed on");
                    in_line = false;
                }
            }
        }
        self.correct(&state);
        self.remove_dismissed(&state);
        self.show(&state);
        self.shown.store(index, Ordering::Release);
        if in_line {
            self.reconciled.send_replace(index);
        }
    }

    fn reconcile_shard(self: &Arc<Self>, shard: ShardRef, collection: &CollectionMeta, meta: &ShardMeta) -> Result<(), ServiceError> {
        if !meta.replicas.contains(&self.me.peer) {
            return Ok(());
        }
        let known = self.replica(shard);
        let replica = match known {
            Some(replica) => replica,
            // What is known after a loss of power may be old, the shard gone, and its replica with all that it knew.
            None if !self.has_caught_up() && !Replica::is_known(shard, &self.home)? => return Ok(()),
            None => {
                let config = collection.config_of(meta);
                let replica = Arc::new(Replica::open(shard, self.me, &self.home, &config)?);
                self.replicas.write().insert(shard, Arc::clone(&replica));
                replica
            }
        };
        replica.learn(meta)?;
        if replica.wants_epoch(meta) {
            self.propose_quietly(Command::Regrant { shard, epoch: meta.epoch });
        }
        if replica.acting_epoch() == Some(meta.epoch) {
            let mut started = replica.senders.lock();
            for &peer in meta.replicas.iter().filter(|&&peer| peer != self.me.peer) {
                if started.insert(peer, meta.epoch) != Some(meta.epoch) {
                    self.handle.spawn(sender::run(Arc::clone(self), Arc::clone(&replica), peer, meta.epoch));
                }
            }
            if let Some(attempt) = collection.feeds_from(meta).and_then(Resharding::attempt)
                && replica.feeding.lock().replace(attempt) != Some(attempt)
            {
                let (node, replica) = (Arc::clone(self), Arc::clone(&replica));
                self.handle.spawn_blocking(move || feed::run(node, replica, attempt));
            }
        }
        Ok(())
    }

    /// Removes replicas that are not to be here any more.
    fn remove_dismissed(&self, state: &ClusterState) {
        let gone: Vec<Arc<Replica>> = {
            let replicas = self.replicas.read();
            replicas.iter().filter(|(_, replica)| replica.is_dismissed(state)).map(|(_, replica)| Arc::clone(replica)).collect()
        };
        for replica in gone {
            self.replicas.write().remove(&replica.shard);
            if let Err(error) = replica.remove(state) {
                tracing::warn!(shard = %replica.shard, %error, "a replica that went left files behind");
            }
        }
        if self.has_caught_up() {
            self.remove_strays(state);
        }
    }

    /// Removes data of the engine that no replica holds, and files of replicas that are no more.
    fn remove_strays(&self, state: &ClusterState) {
        // In this order: what is being installed has its name first, and its replica says so when it is done.
        let names = self.home.db.collections();
        let held: Vec<String> = self.all_replicas().iter().map(|replica| replica.engine()).collect();
        for name in names.into_iter().filter(|name| !held.contains(name)) {
            let shard = shard_of_name(&name);
            if shard.is_none_or(|shard| state.is_gone(shard) || self.replica(shard).is_some()) {
                tracing::info!(name, "removing data that an interruption left behind");
                if let Err(error) = self.home.db.drop_collection(&name) {
                    tracing::warn!(name, %error, "it stays");
                }
            }
        }
        // Of shards that are no more nobody asks in which epoch their replicas were.
        for name in self.home.fs.list(&self.home.directory).unwrap_or_default() {
            if shard_of_name(&name).is_some_and(|shard| state.is_gone(shard) && self.replica(shard).is_none()) {
                drop(self.home.fs.remove(&self.home.directory.join(&name)));
            }
        }
    }

    /// Shows the service the collections of the cluster.
    fn show(self: &Arc<Self>, state: &ClusterState) {
        let Some(service) = self.service.upgrade() else { return };
        let mut routes = self.routes.lock();
        let mut shown = BTreeMap::new();
        let collections = state.collections.iter().map(|(name, collection)| {
            let shards = collection.shards.iter().map(|meta| {
                let shard = ShardRef { uid: collection.uid, shard: meta.id };
                let route = routes.get(&shard).cloned();
                let route = route.unwrap_or_else(|| {
                    Arc::new(Route { shard, node: Arc::downgrade(self), consistency: Consistency::Usual, deadline: None })
                });
                shown.insert(shard, Arc::clone(&route));
                RoutedShard { id: meta.id, key: meta.key.clone(), route: route as Arc<dyn ShardRoute> }
            });
            RoutedCollection { name: name.clone(), created_at: collection.created_at.clone(), shards: shards.collect() }
        });
        let collections: Vec<RoutedCollection> = collections.collect();
        *routes = shown;
        service.show(collections, state.aliases.clone());
    }

    pub(super) fn all_replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.read().values().cloned().collect()
    }

    fn note_commits(&self) {
        self.all_replicas().iter().for_each(|replica| replica.note_commit());
    }

    /// A write through the primary here; nothing when it is not here, or does not take it now, and nothing was done.
    pub(crate) fn write_here(
        self: &Arc<Self>,
        shard: ShardRef,
        change: Change,
        deadline: Instant,
    ) -> Option<Result<UpdateResult, ServiceError>> {
        let replica = self.replica(shard).filter(|replica| replica.is_primary())?;
        let state = self.agreed();
        let (_, collection, _) = state.shard(shard)?;
        let least = collection.config.write_consistency_factor.max(1) as usize;
        let about_config = match &change {
            Change::Config(_) => true,
            Change::Updates(updates) => updates.iter().any(|update| !is_about_points(update)),
            Change::Carried { .. } => false,
        };
        let (pass, work) = match change {
            Change::Updates(updates) => (None, Work::Updates(updates)),
            Change::Carried { pass, updates } => (Some(pass), Work::Updates(updates)),
            Change::Config(diff) => (None, Work::Config(diff)),
        };
        if let Work::Updates(updates) = &work {
            if let Some(Err(error)) = self.service().map(|service| service.check_room_for(updates)) {
                return Some(Err(error));
            }
            replica.data().wait_for_room(updates);
        }
        let written = replica.write(least, deadline, || self.admits(shard, pass, about_config), work);
        let result = written.transpose()?;
        if result.is_ok() && about_config {
            // New shards are made of it.
            let config = replica.data().config();
            if config != collection.config {
                let agreed = self.agree(Command::SetConfig { uid: shard.uid, config: Box::new(config) });
                return Some(agreed.and(result));
            }
        }
        Some(result)
    }

    /// Whether a shard takes a write, by what is agreed on now.
    fn admits(&self, shard: ShardRef, pass: Option<Pass>, about_config: bool) -> Result<bool, ServiceError> {
        let state = self.agreed();
        let Some((name, collection, _)) = state.shard(shard) else { return Ok(false) };
        if about_config && !collection.is_settled() {
            return Err(ServiceError::resharding(name));
        }
        Ok(collection.admission(shard.shard, pass) == Admission::Taken)
    }
}

/// The shard whose data has a name in the engine, or whose file has one.
fn shard_of_name(name: &str) -> Option<ShardRef> {
    let mut parts = name.splitn(3, ['-', '.']);
    let (uid, shard) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next()?;
    Some(ShardRef { uid, shard: vectordb_service::ShardId(shard) })
}
