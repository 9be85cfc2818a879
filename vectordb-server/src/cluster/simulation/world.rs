//! What happens, in the order of a clock that only moves when something does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vectordb_benches::synthetic::Random;
use vectordb_core::{CollectionConfig, Distance, PointId};
use vectordb_service::{Fault, ShardId, place};

use super::super::leader::Beat;
use super::super::replica::{Append, AppendReply, Fate, Outgoing, Standing};
use super::super::resharding::Admission;
use super::super::sender::{self, Next, Sent};
use super::super::state::{ClusterState, Command, PeerId, ShardRef};
use super::clients::{Asked, Client};
use super::feeding::{Load, Step, View};
use super::history::History;
use super::node::{self, Asker, Node, Waiting};

/// Microseconds.
pub(super) type Time = u64;
pub(super) const MS: Time = 1000;
pub(super) const SECOND: Time = 1000 * MS;

/// How long things go wrong, and how long they then have to become well.
const TROUBLE: Time = 30 * SECOND;
const PEACE: Time = 60 * SECOND;
/// How long a client waits for an answer.
pub(super) const PATIENCE: Time = 10 * SECOND;
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(12);
const CLIENTS: usize = 5;

/// One life of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) node: usize,
    pub(super) life: u64,
    pub(super) shard: ShardRef,
    pub(super) peer: PeerId,
    pub(super) epoch: u64,
    /// Number of the message.
    pub(super) sent: u64,
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    /// Certainly not done.
    Refused,
    Unknown,
}

pub(super) enum Event {
    /// A node hears of what was agreed on.
    Hear(usize),
    /// A node has something agreed on, if it still lives this life.
    Propose(usize, u64, Command, Time),
    Agreed(Command),
    Beat(usize),
    BeatArrives(Beat, usize, u64),
    BeatAnswered(usize, u64, usize),
    /// The leader looks around; if there is none, one may be found.
    Lead,
    /// A node looks after itself.
    Glance(usize, u64),
    Turn(Way),
    Arrives(Way, Box<Append>, Sent),
    Answered(Way, Option<Sent>, Option<AppendReply>),
    FilesArrive(Way, Vec<(PathBuf, Vec<u8>)>, Standing),
    FilesAnswered(Way, bool),
    Write(usize),
    Try(Asked),
    WriteArrives(Asked, usize, ShardRef),
    Settle(usize, u64, u64),
    WriteAnswered(Asked, Told),
    FeedTurn(Step),
    FeedLooks(Step, View),
    Carry(Box<Load>),
    CarryArrives(Box<Load>, usize),
    Carried(Step, bool),
    Trouble,
    /// A node that stepped aside stops.
    Stop(usize, u64),
    /// A disk that was full has room.
    Room(usize),
    Start(usize),
    Mend,
}

impl Event {
    /// The node on which it happens, which may be frozen.
    fn node(&self) -> Option<usize> {
        match self {
            Self::Hear(node)
            | Self::Propose(node, ..)
            | Self::Beat(node)
            | Self::BeatArrives(_, node, _)
            | Self::BeatAnswered(node, ..)
            | Self::Glance(node, _)
            | Self::WriteArrives(_, node, _)
            | Self::CarryArrives(_, node)
            | Self::Settle(node, ..) => Some(*node),
            Self::Turn(way) | Self::Answered(way, ..) | Self::FilesAnswered(way, _) => Some(way.node),
            Self::FeedTurn(step) | Self::FeedLooks(step, _) | Self::Carried(step, _) => Some(step.node),
            Self::Carry(load) => Some(load.step.node),
            Self::Arrives(way, ..) | Self::FilesArrive(way, ..) => Some(World::index(way.peer)),
            _ => None,
        }
    }
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A digest of everything that happened.
    trace: u64,
    pub(super) acknowledged: u64,
    keys: usize,
    /// Changes of primaries.
    pub(super) primaries: u64,
    /// Disks that were lost.
    pub(super) wiped: u64,
    /// New shards that took the place of others.
    pub(super) resharded: u64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) time: Time,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    pub(super) events: BTreeMap<(Time, u64), Event>,
    /// Counts what is to happen.
    pub(super) count: u64,
    /// What is agreed on after each entry.
    pub(super) states: Vec<Arc<ClusterState>>,
    pub(super) leader: Option<usize>,
    /// The entry with which new shards came, and since when the leader waits until all who answer know it.
    pub(super) settling: Option<(usize, Time)>,
    pub(super) nodes: Vec<Node>,
    /// The part of the network in which each node is.
    pub(super) parts: Vec<u64>,
    clients: Vec<Client>,
    pub(super) history: History,
    serial: u64,
    pub(super) is_peaceful: bool,
    trace: u64,
    tells: bool,
    pub(super) outcome: Outcome,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 7);
        let count = 3 + 2 * random.below(2);
        let epoch = Instant::now();
        let nodes: Vec<Node> =
            (1..=count).map(|peer| Node::new(peer, (random.below(3600 * SECOND), 900 + random.below(200)), epoch)).collect();
        let mut state = ClusterState::default();
        for node in &nodes {
            let (uri, disk) = (format!("peer{}", node.me.peer), node.me.disk);
            drop(state.apply(&Command::AddPeer { id: node.me.peer, uri, disk, version: String::new(), zone: None }));
        }
        let factor = 2 + random.below(2);
        let placement = (0..2).map(|shard| (0..factor).map(|copy| (shard + copy) % count + 1).collect()).collect();
        let config = CollectionConfig {
            replication_factor: u32::try_from(factor).unwrap_or(2),
            write_consistency_factor: 1 + u32::from(random.below(4) == 0),
            ..CollectionConfig::unnamed(2, Distance::Euclid)
        };
        drop(state.apply(&Command::CreateCollection { name: "c".into(), config: Box::new(config), created_at: String::new(), placement }));
        let outcome = Outcome { trace: 0, acknowledged: 0, keys: 0, primaries: 0, wiped: 0, resharded: 0 };
        Self {
            random,
            time: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
            states: vec![Arc::new(state)],
            leader: None,
            settling: None,
            parts: vec![0; nodes.len()],
            nodes,
            clients: (0..CLIENTS).map(Client::new).collect(),
            history: History::default(),
            serial: 0,
            is_peaceful: false,
            trace: 0xcbf2_9ce4_8422_2325,
            tells: std::env::var_os("VECTORDB_TRACE").is_some(),
            outcome,
        }
    }

    pub(super) fn index(peer: PeerId) -> usize {
        usize::try_from(peer).unwrap_or(0) - 1
    }

    /// Notes what happens.
    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        let _ = write!(line, "{} {what}", self.time);
        if self.tells {
            eprintln!("{line}");
        }
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn later(&mut self, by: Time, event: Event) {
        self.count += 1;
        let at = (self.time + by, self.count);
        self.queue.push(Reverse(at));
        self.events.insert(at, event);
    }

    /// How long a message takes: mostly little, now and then long.
    pub(super) fn delay(&mut self) -> Time {
        if !self.is_peaceful && self.random.below(25) == 0 {
            return self.random.below(3 * SECOND);
        }
        100 + self.random.below(3 * MS)
    }

    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        self.parts[from] == self.parts[to]
    }

    /// Whether a message that is sent now arrives.
    pub(super) fn passes(&mut self, from: usize, to: usize) -> bool {
        let lost = !self.is_peaceful && self.random.below(100) == 0;
        self.reaches(from, to) && !lost
    }

    pub(super) fn head(&self) -> Arc<ClusterState> {
        Arc::clone(&self.states[self.states.len() - 1])
    }

    pub(super) fn known(&self, node: usize) -> Arc<ClusterState> {
        Arc::clone(&self.states[self.nodes[node].known])
    }

    pub(super) fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].running.is_some() && self.nodes[node].life == life
    }

    /// Runs to the end, and checks what is there then.
    pub(super) fn run(mut self) -> Result<Outcome, String> {
        for node in 0..self.nodes.len() {
            self.later(0, Event::Start(node));
        }
        self.later(0, Event::Lead);
        for client in 0..CLIENTS {
            self.later(SECOND, Event::Write(client));
        }
        self.later(SECOND, Event::Trouble);
        self.later(TROUBLE, Event::Mend);
        while let Some(Reverse(at)) = self.queue.pop() {
            if at.0 > TROUBLE + PEACE {
                break;
            }
            let Some(event) = self.events.remove(&at) else { continue };
            self.time = at.0;
            if let Some(node) = event.node()
                && self.nodes[node].frozen_until > self.time
            {
                let wait = self.nodes[node].frozen_until - self.time;
                self.later(wait, event);
                continue;
            }
            let touched = event.node();
            self.happen(event).map_err(|reason| format!("at {} us: {reason}", self.time))?;
            if let Some(node) = touched {
                self.look_after(node);
            }
        }
        self.check_end()?;
        self.outcome.trace = self.trace;
        self.outcome.keys = self.history.acknowledged_keys();
        Ok(self.outcome)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Hear(node) => self.hear(node)?,
            Event::Propose(node, life, command, until) => self.propose(node, life, command, until),
            Event::Agreed(command) => self.agreed(&command),
            Event::Beat(node) => self.beat(node),
            Event::BeatArrives(beat, at, life) => self.beat_arrives(beat, at, life),
            Event::BeatAnswered(node, life, agreed) if self.lives(node, life) => {
                self.nodes[node].first_heard.get_or_insert(agreed);
            }
            Event::BeatAnswered(..) => {}
            Event::Lead => self.lead()?,
            Event::Glance(node, life) => self.glance(node, life)?,
            Event::Turn(way) => self.turn(way)?,
            Event::Arrives(way, message, sent) => self.arrives(way, &message, sent)?,
            Event::Answered(way, sent, reply) => self.answered(way, sent, reply.as_ref()),
            Event::FilesArrive(way, files, standing) => self.files_arrive(way, &files, standing)?,
            Event::FilesAnswered(way, arrived) => self.files_answered(way, arrived),
            Event::Write(client) => self.write(client),
            Event::Try(asked) => self.try_write(asked),
            Event::WriteArrives(asked, node, shard) => self.write_arrives(asked, node, shard)?,
            Event::Settle(node, life, write) => self.settle(node, life, write)?,
            Event::WriteAnswered(asked, told) => self.write_answered(asked, told),
            Event::FeedTurn(step) => self.feed_turn(step)?,
            Event::FeedLooks(step, view) => self.feed_looks(step, &view)?,
            Event::Carry(load) => self.carry(load),
            Event::CarryArrives(load, node) => self.carry_arrives(load, node)?,
            Event::Carried(step, arrived) => self.carried(step, arrived),
            Event::Trouble => self.trouble()?,
            Event::Stop(node, life) => self.stop(node, life),
            Event::Room(node) => self.fill(node, false),
            Event::Start(node) => self.start(node)?,
            Event::Mend => self.mend()?,
        }
        Ok(())
    }

    fn glance(&mut self, node: usize, life: u64) -> Result<(), String> {
        if !self.lives(node, life) {
            return Ok(());
        }
        self.reconcile(node)?;
        let me = self.nodes[node].me;
        if self.known(node).peers.get(&me.peer).is_some_and(|known| known.disk != me.disk) {
            let introduction =
                Command::AddPeer { id: me.peer, uri: format!("peer{}", me.peer), disk: me.disk, version: String::new(), zone: None };
            self.later(0, Event::Propose(node, life, introduction, self.time));
        }
        if let Some(running) = &self.nodes[node].running {
            running.replicas.values().for_each(|replica| replica.note_commit());
        }
        self.later(SECOND, Event::Glance(node, life));
        self.check_primaries()
    }

    pub(super) fn reconcile(&mut self, node: usize) -> Result<(), String> {
        let (state, life) = (self.known(node), self.nodes[node].life);
        let (commands, feeds) = self.nodes[node].reconcile(&state)?;
        for command in commands {
            self.later(0, Event::Propose(node, life, command, self.time + 15 * SECOND));
        }
        feeds.into_iter().for_each(|shard| self.begin_feed(node, shard));
        Ok(())
    }

    /// Sends what there is to send, and answers clients whose writes are decided.
    fn look_after(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let Some(running) = &mut self.nodes[node].running else { return };
        let mut turns = Vec::new();
        for (&(shard, peer), sender) in &mut running.senders {
            let fresh = sender.news.has_changed().unwrap_or(false);
            if !sender.is_busy && fresh {
                sender.news.mark_unchanged();
                sender.is_busy = true;
                turns.push(Way { node, life, shard, peer, epoch: sender.copying.epoch, sent: sender.sent });
            }
        }
        let (mut told, mut fates) = (Vec::new(), Vec::new());
        running.waiting.retain(|_, waiting| {
            let Some(replica) = running.replicas.get(&waiting.shard).filter(|_| waiting.is_settled) else { return true };
            let Some(fate) = replica.fate(&waiting.begun) else { return true };
            let words = match fate {
                Fate::Done => Told::Done,
                Fate::Undone => Told::Refused,
                Fate::Unknown => Told::Unknown,
            };
            fates.push(format!("{} batch {}: {fate:?}", waiting.shard, waiting.begun.staged.lsn));
            told.push((waiting.asker, words));
            false
        });
        fates.into_iter().for_each(|fate| self.note(format_args!("peer {}, {fate}", node + 1)));
        for way in turns {
            let wait = self.random.below(2 * MS);
            self.later(wait, Event::Turn(way));
        }
        for (asker, told) in told {
            match asker {
                Asker::Client(asked) => self.tell(asked, told),
                Asker::Feed(step) => self.answer_feed(node, step, told),
            }
        }
    }

    /// The sender of a way, if it still lives and waits for this.
    fn sender(&mut self, way: Way) -> Option<&mut node::Sender> {
        if !self.lives(way.node, way.life) {
            return None;
        }
        let sender = self.nodes[way.node].running.as_mut()?.senders.get_mut(&(way.shard, way.peer))?;
        (sender.copying.epoch == way.epoch && sender.sent == way.sent).then_some(sender)
    }

    fn turn(&mut self, way: Way) -> Result<(), String> {
        let state = self.known(way.node);
        let now = self.nodes[way.node].now(self.time);
        let Some(sender) = self.sender(way) else { return Ok(()) };
        sender.is_busy = true;
        sender.sent += 1;
        let way = Way { sent: sender.sent, ..way };
        if !sender.copying.is_wanted(&state) {
            return Ok(());
        }
        match sender.copying.outgoing() {
            Ok(Outgoing::Nothing) => {}
            Ok(Outgoing::Message(message)) => {
                let sent = Sent::new(&message, now);
                let to = Self::index(way.peer);
                self.later(sender::TIMEOUT.as_micros() as Time, Event::Answered(way, Some(sent), None));
                if self.passes(way.node, to) {
                    let wait = self.delay();
                    self.later(wait, Event::Arrives(way, Box::new(message), sent));
                }
            }
            Ok(Outgoing::Files) => {
                let replica = Arc::clone(&sender.copying.replica);
                let files = node::packed(&self.nodes[way.node].fs, &replica, self.count)?;
                self.note(format_args!("peer {} sends {} files of {} to {}", way.node + 1, files.len(), way.shard, way.peer));
                // Whoever gives up may do so although they arrive.
                let patience = 100 * MS + self.random.below(30 * SECOND);
                self.later(patience, Event::FilesAnswered(way, false));
                let there = self.nodes[Self::index(way.peer)].running.as_ref().and_then(|running| running.replicas.get(&way.shard));
                let standing = there.map(|replica| replica.standing());
                if let Some(standing) = standing.filter(|_| self.passes(way.node, Self::index(way.peer))) {
                    let wait = self.delay() + self.random.below(500 * MS);
                    self.later(wait, Event::FilesArrive(way, files, standing));
                }
            }
            Err(error) => return Err(format!("peer {}, shard {}: the log cannot be read: {error}", way.node + 1, way.shard)),
        }
        Ok(())
    }

    fn arrives(&mut self, way: Way, message: &Append, sent: Sent) -> Result<(), String> {
        let node = Self::index(way.peer);
        let now = self.nodes[node].now(self.time);
        let leaves = self.nodes[node].steps_aside;
        let reply = match &self.nodes[node].running {
            None => None,
            Some(running) => match running.replicas.get(&way.shard) {
                None => Some(AppendReply::Absent),
                Some(replica) => {
                    let reply = replica.append(message, now).map_err(|error| format!("peer {}, shard {}: {error}", way.peer, way.shard))?;
                    Some(reply.by_one_that(leaves))
                }
            },
        };
        self.note(format_args!(
            "{} from {} to {}: epoch {}, {} frames after {}, commit {}: {reply:?}",
            way.shard,
            way.node + 1,
            way.peer,
            message.epoch,
            message.frames.len(),
            message.after,
            message.commit
        ));
        if self.passes(node, way.node) {
            let wait = self.delay();
            self.later(wait, Event::Answered(way, Some(sent), reply));
        }
        Ok(())
    }

    fn answered(&mut self, way: Way, sent: Option<Sent>, reply: Option<&AppendReply>) {
        let state = self.known(way.node);
        let now = self.nodes[way.node].now(self.time);
        let Some((sender, sent)) = self.sender(way).zip(sent) else { return };
        let heard = sender.copying.heard(&sent, reply, &state, now);
        self.goes_on(way, heard);
    }

    fn goes_on(&mut self, way: Way, (next, command): (Next, Option<Command>)) {
        if let Some(command) = command {
            self.later(0, Event::Propose(way.node, way.life, command, self.time + 15 * SECOND));
        }
        let Some(sender) = self.sender(way) else { return };
        // The answer that comes too late finds another number.
        sender.sent += 1;
        sender.is_busy = next != Next::News;
        let way = Way { sent: sender.sent, ..way };
        let wait = match next {
            Next::More => 0,
            Next::News => sender::BEAT.as_micros() as Time,
            Next::Pause => sender::PAUSE.as_micros() as Time,
            Next::Rest => sender::REST.as_micros() as Time,
        };
        self.later(wait, Event::Turn(way));
    }

    fn files_arrive(&mut self, way: Way, files: &[(PathBuf, Vec<u8>)], standing: Standing) -> Result<(), String> {
        let node = Self::index(way.peer);
        let number = self.count;
        let Some(running) = &self.nodes[node].running else { return Ok(()) };
        let Some(replica) = running.replicas.get(&way.shard).cloned() else { return Ok(()) };
        let directory = node::unpacked(&self.nodes[node].fs, files, number)?;
        let installed = replica.install(way.epoch, &directory, standing);
        self.note(format_args!("files of {} for peer {}, epoch {}: {}", way.shard, way.peer, way.epoch, installed.is_ok()));
        if self.passes(node, way.node) {
            let wait = self.delay();
            self.later(wait, Event::FilesAnswered(way, installed.is_ok()));
        }
        Ok(())
    }

    fn files_answered(&mut self, way: Way, arrived: bool) {
        let now = self.nodes[way.node].now(self.time);
        let Some(sender) = self.sender(way) else { return };
        let heard = sender.copying.sent_files(arrived, now);
        self.goes_on(way, heard);
    }

    fn write(&mut self, client: usize) {
        let wait = 5 * MS + self.random.below(60 * MS);
        if self.is_peaceful {
            return;
        }
        if self.clients[client].asked.is_none() {
            self.serial += 1;
            let until = self.time + PATIENCE;
            let asked = self.clients[client].next(&mut self.random, &mut self.history, self.serial, until);
            self.try_write(asked);
        }
        self.later(wait, Event::Write(client));
    }

    /// By way of any node to the one that this takes for the primary.
    fn try_write(&mut self, asked: Asked) {
        if self.clients[asked.client].asked != Some(asked) {
            return;
        }
        if self.time >= asked.until {
            self.clients[asked.client].asked = None;
            return;
        }
        let entry = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
        let state = self.known(entry);
        let shards = &state.collections["c"].shards;
        let ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
        let meta = &shards[place(&PointId::Num(asked.key), &ids)];
        let shard = ShardRef { uid: state.collections["c"].uid, shard: meta.id };
        let primary = Self::index(meta.primary.peer);
        let up = self.nodes[entry].running.is_some() && self.nodes[entry].frozen_until <= self.time;
        if !up || self.nodes[primary].running.is_none() || !self.reaches(entry, primary) {
            self.later(50 * MS, Event::Try(asked));
            return;
        }
        let wait = self.delay();
        self.later(wait, Event::WriteArrives(asked, primary, shard));
        // Nobody waits for longer.
        self.later(asked.until - self.time, Event::WriteAnswered(asked, Told::Unknown));
    }

    fn write_arrives(&mut self, asked: Asked, node: usize, shard: ShardRef) -> Result<(), String> {
        let state = self.known(node);
        let life = self.nodes[node].life;
        let least = state.collections["c"].config.write_consistency_factor as usize;
        let Some(running) = &mut self.nodes[node].running else {
            self.tell(asked, Told::Unknown);
            return Ok(());
        };
        let admits = || Ok(state.collections["c"].admission(shard.shard, None) == Admission::Taken);
        let begun = running.replicas.get(&shard).map(|replica| replica.begin(least, admits, asked.work()));
        match begun {
            Some(Ok(Some(begun))) => {
                let lsn = begun.staged.lsn;
                let write = self.count;
                running.waiting.insert(write, Waiting { shard, begun, is_settled: false, asker: Asker::Client(asked) });
                let wait = self.time_of_sync();
                self.note(format_args!("{shard}: key {} {:?} is batch {lsn} of peer {}", asked.key, asked.written, node + 1));
                self.later(wait, Event::Settle(node, life, write));
            }
            Some(Err(error)) if !matches!(error.fault, Fault::Unavailable | Fault::OutOfSpace) => {
                return Err(format!("peer {}, shard {shard}: a write fails: {error}", node + 1));
            }
            _ => self.tell(asked, Told::Refused),
        }
        Ok(())
    }

    /// How long a disk takes: mostly little.
    pub(super) fn time_of_sync(&mut self) -> Time {
        if !self.is_peaceful && self.random.below(60) == 0 { self.random.below(15 * SECOND) } else { self.random.below(4 * MS) }
    }

    fn settle(&mut self, node: usize, life: u64, write: u64) -> Result<(), String> {
        if !self.lives(node, life) {
            return Ok(());
        }
        let Some(running) = &mut self.nodes[node].running else { return Ok(()) };
        let Some(waiting) = running.waiting.get_mut(&write) else { return Ok(()) };
        waiting.is_settled = true;
        if let Some(replica) = running.replicas.get(&waiting.shard)
            && let Err(error) = replica.settle(&waiting.begun)
        {
            return Err(format!("peer {}, shard {}: a sync fails: {error}", node + 1, waiting.shard));
        }
        Ok(())
    }

    fn tell(&mut self, asked: Asked, told: Told) {
        let wait = self.delay();
        let told = if !self.is_peaceful && self.random.below(50) == 0 { Told::Unknown } else { told };
        self.later(wait, Event::WriteAnswered(asked, told));
    }

    fn write_answered(&mut self, asked: Asked, told: Told) {
        if self.clients[asked.client].asked != Some(asked) {
            return;
        }
        match told {
            // It may let it be, and then that write must never be seen.
            Told::Refused if self.random.below(8) > 0 => return self.later(50 * MS, Event::Try(asked)),
            Told::Refused => self.history.refused(asked.key),
            Told::Done => {
                self.history.acknowledged(asked.key);
                self.outcome.acknowledged += 1;
            }
            Told::Unknown => {}
        }
        self.note(format_args!("client {} is told of key {}: {told:?}", asked.client, asked.key));
        self.clients[asked.client].asked = None;
    }
}
