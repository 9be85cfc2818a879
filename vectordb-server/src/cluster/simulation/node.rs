//! A node: its disk, its clock, and, while it runs, its replicas and what copies them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;
use vectordb_benches::faults::sim_fs::SimFs;
use vectordb_core::{Background, Database, Fs, Options};

use super::super::leader::{Beat, Beats, Waits};
use super::super::replica::{Begun, Home, Replica};
use super::super::resharding::Resharding;
use super::super::sender::Copying;
use super::super::state::{ClusterState, Command, Member, PeerId, ShardRef};
use super::clients::Asked;
use super::feeding::{Feeding, Step};

/// What copies a replica to one peer.
pub(super) struct Sender {
    pub(super) copying: Copying,
    pub(super) news: watch::Receiver<u64>,
    /// Counts messages; the answer to an earlier one comes too late.
    pub(super) sent: u64,
    /// Whether it waits for an answer, or for its next turn.
    pub(super) is_busy: bool,
}

/// Who waits for a write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Client(Asked),
    Feed(Step),
}

/// A write that the log has.
pub(super) struct Waiting {
    pub(super) shard: ShardRef,
    pub(super) begun: Begun,
    pub(super) is_settled: bool,
    pub(super) asker: Asker,
}

/// What ends with a crash.
pub(super) struct Running {
    home: Home,
    pub(super) replicas: BTreeMap<ShardRef, Arc<Replica>>,
    pub(super) senders: BTreeMap<(ShardRef, PeerId), Sender>,
    /// By the order of what happened.
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// By old shard.
    pub(super) feeds: BTreeMap<ShardRef, Feeding>,
    pub(super) feeds_begun: u64,
    pub(super) beats: Beats,
    pub(super) waits: Waits,
}

pub(super) struct Node {
    pub(super) me: Member,
    pub(super) fs: SimFs,
    pub(super) running: Option<Running>,
    /// Counts starts; what was meant for an earlier one finds nobody.
    pub(super) life: u64,
    /// The entry up to which it knows what is agreed on.
    pub(super) known: usize,
    /// The entry that the leader knew when it first heard of this life.
    pub(super) first_heard: Option<usize>,
    /// It is about to stop.
    pub(super) steps_aside: bool,
    /// Its disk is full.
    pub(super) is_full: bool,
    /// Nothing happens on it before.
    pub(super) frozen_until: u64,
    /// Microseconds that its clock is ahead, and how many it makes of a thousand.
    clock: (u64, u64),
    epoch: Instant,
}

const DATA: &str = "/data";
const REPLICAS: &str = "/replicas";

impl Node {
    pub(super) fn new(peer: PeerId, clock: (u64, u64), epoch: Instant) -> Self {
        let me = Member { peer, disk: Uuid::from_u128(peer.into()) };
        Self {
            me,
            fs: SimFs::default(),
            running: None,
            life: 0,
            known: 0,
            first_heard: None,
            steps_aside: false,
            is_full: false,
            frozen_until: 0,
            clock,
            epoch,
        }
    }

    /// The time by its own clock.
    pub(super) fn now(&self, time: u64) -> Instant {
        self.epoch + Duration::from_micros(self.clock.0 + time / 1000 * self.clock.1 + time % 1000)
    }

    /// Begins, with what its disk has.
    pub(super) fn start(&mut self) -> Result<(), String> {
        self.fs.set_full(self.is_full);
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let options = Options::default().fs(Arc::clone(&fs)).background(Background::Manual).threads(1).replicated(true);
        let db = Database::open_with(DATA, options).map_err(|error| format!("peer {} does not open: {error}", self.me.peer))?;
        fs.create_dir_all(Path::new(REPLICAS)).map_err(|error| error.to_string())?;
        let home = Home { directory: REPLICAS.into(), fs, db };
        let (replicas, senders, waiting, feeds) = Default::default();
        let (beats, waits) = (Beats::default(), Waits::default());
        self.running = Some(Running { home, replicas, senders, waiting, feeds, feeds_begun: 0, beats, waits });
        self.life += 1;
        self.first_heard = None;
        self.steps_aside = false;
        Ok(())
    }

    pub(super) fn beat(&self) -> Beat {
        Beat::new(self.me, self.steps_aside || self.is_full)
    }

    /// Another disk, with nothing on it.
    pub(super) fn replace_disk(&mut self) {
        self.me.disk = Uuid::from_u128(self.me.disk.as_u128() + 1000);
        self.fs = SimFs::default();
        self.known = 0;
    }

    /// What the server does whenever it hears of what is agreed on; commands that it proposes, and shards whose points it begins to
    /// bring to others.
    pub(super) fn reconcile(&mut self, state: &ClusterState) -> Result<(Vec<Command>, Vec<ShardRef>), String> {
        let has_caught_up = self.first_heard.is_some_and(|first| self.known >= first);
        let Some(running) = &mut self.running else { return Ok(Default::default()) };
        // Nothing begins before the node is let in with the disk that it has.
        if state.peers.get(&self.me.peer).is_none_or(|known| known.disk != self.me.disk) {
            return Ok(Default::default());
        }
        let (mut proposed, mut feeds) = (Vec::new(), Vec::new());
        for collection in state.collections.values() {
            for meta in collection.all_shards().filter(|meta| meta.replicas.contains(&self.me.peer)) {
                let shard = ShardRef { uid: collection.uid, shard: meta.id };
                let failed = |error: vectordb_service::ServiceError| format!("peer {}, shard {shard}: {error}", self.me.peer);
                let replica = match running.replicas.get(&shard) {
                    Some(replica) => Arc::clone(replica),
                    None if !has_caught_up && !Replica::is_known(shard, &running.home).map_err(failed)? => continue,
                    None => {
                        let replica = Replica::open(shard, self.me, &running.home, &collection.config_of(meta)).map_err(failed)?;
                        let replica = Arc::new(replica);
                        running.replicas.insert(shard, Arc::clone(&replica));
                        replica
                    }
                };
                replica.learn(meta).map_err(failed)?;
                if replica.wants_epoch(meta) {
                    proposed.push(Command::Regrant { shard, epoch: meta.epoch });
                }
                if replica.acting_epoch() == Some(meta.epoch) {
                    for &peer in meta.replicas.iter().filter(|&&peer| peer != self.me.peer) {
                        let known = running.senders.get(&(shard, peer));
                        if known.is_none_or(|known| known.copying.epoch != meta.epoch) {
                            let sent = known.map_or(0, |known| known.sent + 1);
                            let copying = Copying::new(Arc::clone(&replica), peer, meta.epoch);
                            let mut news = replica.news();
                            // A new one has its turn at once.
                            news.mark_changed();
                            let sender = Sender { copying, news, sent, is_busy: false };
                            running.senders.insert((shard, peer), sender);
                        }
                    }
                    let attempt = collection.feeds_from(meta).and_then(Resharding::attempt);
                    if attempt.is_some_and(|attempt| running.feed(self.me.peer, self.life, shard, attempt)) {
                        feeds.push(shard);
                    }
                }
            }
        }
        let dismissed: Vec<ShardRef> =
            running.replicas.iter().filter(|(_, replica)| replica.is_dismissed(state)).map(|(shard, _)| *shard).collect();
        for shard in dismissed {
            if let Some(replica) = running.replicas.remove(&shard) {
                replica.remove(state).map_err(|error| format!("peer {}, shard {shard} does not go: {error}", self.me.peer))?;
            }
        }
        Ok((proposed, feeds))
    }
}

/// The files of a replica as they are now, as they travel.
pub(super) fn packed(fs: &SimFs, replica: &Replica, number: u64) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let directory = PathBuf::from(format!("/sent/{number}"));
    fs.create_dir_all(&directory).map_err(|error| error.to_string())?;
    replica.snapshot(&directory).map_err(|error| format!("a snapshot fails: {error}"))?;
    let disk = fs.disk();
    let inside = disk.files().filter_map(|(path, bytes)| Some((path.strip_prefix(&directory).ok()?.to_path_buf(), bytes.to_vec())));
    let files = inside.collect();
    fs.remove_dir_all(&directory).map_err(|error| error.to_string())?;
    Ok(files)
}

/// Writes files that came into a directory.
pub(super) fn unpacked(fs: &SimFs, files: &[(PathBuf, Vec<u8>)], number: u64) -> Result<PathBuf, String> {
    let directory = PathBuf::from(format!("/received/{number}"));
    let write = |(path, bytes): &(PathBuf, Vec<u8>)| {
        let path = directory.join(path);
        fs.create_dir_all(path.parent().unwrap_or(&directory))?;
        let file = fs.create(&path)?;
        file.write_at(0, bytes)?;
        file.sync()
    };
    files.iter().try_for_each(write).map_err(|error: vectordb_core::Error| error.to_string())?;
    Ok(directory)
}
