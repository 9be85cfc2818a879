//! Feeds of reshardings, step by step: what `feed` does in a thread of its own, with messages that are late or lost.

use uuid::Uuid;
use vectordb_core::{Lsn, PayloadSelector, PointId, Update, VectorSelector};
use vectordb_service::{Fault, ShardId, taken_over, whole_points};

use super::super::replica::Work;
use super::super::resharding::{Admission, Feed, Pass, Phase, Progress};
use super::super::state::{Command, PeerId, ShardRef};
use super::node::{Asker, Running, Waiting};
use super::world::{Event, MS, SECOND, Told, World};

/// Points of one message.
const PAGE: usize = 8;
/// Points that may be left when writes begin to be held.
const FEW: usize = 16;
/// How long a message may take with all its repetitions.
const PATIENCE: u64 = 10 * SECOND;

/// One step of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) node: usize,
    life: u64,
    shard: ShardRef,
    attempt: ShardId,
    /// Counts them; what comes of an earlier one comes too late.
    number: u64,
}

/// A message of a feed to a new shard.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) step: Step,
    shard: ShardRef,
    pass: Pass,
    updates: Vec<Update>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Wanted,
    Asked(u64),
    Has(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Track,
    /// Until readers see everything up to there.
    Show(Lsn),
    Copy(Option<PointId>),
    Follow,
}

/// How far a feed is.
#[derive(Debug)]
pub(super) struct Feeding {
    id: Uuid,
    attempt: ShardId,
    number: u64,
    token: Token,
    stage: Stage,
    /// Where it goes on when what it sends has arrived.
    next: Stage,
    /// Points of which it sends what they are now.
    ids: Vec<PointId>,
    /// Messages that are not answered yet.
    left: usize,
}

/// What a node knows of the resharding that a feed is for.
#[derive(Debug, Clone)]
pub(super) struct View {
    shards: Vec<ShardId>,
    phase: Phase,
    round: u64,
    feed: Feed,
}

impl Running {
    /// Begins a feed; true when there is none for the same shards.
    pub(super) fn feed(&mut self, me: PeerId, life: u64, shard: ShardRef, attempt: ShardId) -> bool {
        let Some(replica) = self.replicas.get(&shard) else { return false };
        if replica.feeding.lock().replace(attempt) == Some(attempt) {
            return false;
        }
        let number = self.feeds.get(&shard).map_or(0, |before| before.number + 1);
        let (token, stage, next) = (Token::Wanted, Stage::Track, Stage::Track);
        self.feeds_begun += 1;
        let id = Uuid::from_u64_pair(me << 32 | life, self.feeds_begun);
        self.feeds.insert(shard, Feeding { id, attempt, number, token, stage, next, ids: Vec::new(), left: 0 });
        true
    }
}

impl World {
    pub(super) fn begin_feed(&mut self, node: usize, shard: ShardRef) {
        let life = self.nodes[node].life;
        let Some(feeding) = self.nodes[node].running.as_ref().and_then(|running| running.feeds.get(&shard)) else { return };
        let step = Step { node, life, shard, attempt: feeding.attempt, number: feeding.number };
        self.later(0, Event::FeedTurn(step));
    }

    fn feeding(&mut self, step: Step) -> Option<&mut Feeding> {
        if !self.lives(step.node, step.life) {
            return None;
        }
        let feeding = self.nodes[step.node].running.as_mut()?.feeds.get_mut(&step.shard)?;
        (feeding.attempt == step.attempt && feeding.number == step.number).then_some(feeding)
    }

    fn view_of(&self, step: Step) -> Option<View> {
        let state = self.known(step.node);
        let (_, collection, shard) = state.shard(step.shard)?;
        let running = collection.feeds_from(shard).filter(|running| running.attempt() == Some(step.attempt))?;
        (shard.primary == self.nodes[step.node].me).then(|| View {
            shards: running.shards.iter().map(|shard| shard.id).collect(),
            phase: running.phase,
            round: running.round,
            feed: running.feeds.get(&step.shard.shard).copied().unwrap_or_default(),
        })
    }

    /// There is nothing to feed any more.
    fn end_feed(&mut self, step: Step) {
        let Some(running) = &mut self.nodes[step.node].running else { return };
        running.feeds.remove(&step.shard);
        if let Some(replica) = running.replicas.get(&step.shard) {
            replica.untrack(step.attempt);
            replica.feeding.lock().take_if(|attempt| *attempt == step.attempt);
        }
    }

    /// Another step after a while; what the one before began does not count.
    fn next_step(&mut self, step: Step, wait: u64) {
        let Some(feeding) = self.feeding(step) else { return };
        feeding.number += 1;
        let step = Step { number: feeding.number, ..step };
        self.later(wait, Event::FeedTurn(step));
    }

    fn say(&mut self, step: Step, progress: Progress) {
        let running = self.nodes[step.node].running.as_ref();
        let replica = running.and_then(|running| running.replicas.get(&step.shard));
        let Some(epoch) = replica.and_then(|replica| replica.acting_epoch()) else { return self.end_feed(step) };
        let command = Command::Feed { shard: step.shard, epoch, attempt: step.attempt, progress };
        self.later(0, Event::Propose(step.node, step.life, command, self.time + 2 * SECOND));
    }

    pub(super) fn feed_turn(&mut self, step: Step) -> Result<(), String> {
        if self.feeding(step).is_none() {
            return Ok(());
        }
        let Some(view) = self.view_of(step) else {
            self.end_feed(step);
            return Ok(());
        };
        let Some(feeding) = self.feeding(step) else { return Ok(()) };
        if feeding.token == Token::Asked(view.feed.token) {
            feeding.token = Token::Has(view.feed.token);
        }
        if !matches!(feeding.token, Token::Has(_)) {
            let token = view.feed.token + 1;
            feeding.token = Token::Asked(token);
            let feed = feeding.id;
            self.say(step, Progress::Begun { feed, token });
            let wait = 50 * MS + self.random.below(300 * MS);
            self.next_step(step, wait);
            return Ok(());
        }
        let stage = feeding.stage.clone();
        let running = self.nodes[step.node].running.as_ref();
        let Some(replica) = running.and_then(|running| running.replicas.get(&step.shard)).cloned() else { return Ok(()) };
        match stage {
            Stage::Track => match replica.track(step.attempt) {
                None => self.end_feed(step),
                Some(since) => self.goes_to(step, Stage::Show(since)),
            },
            Stage::Show(since) if replica.data().log_position().published < since => self.next_step(step, 10 * MS),
            Stage::Show(_) => self.goes_to(step, Stage::Copy(None)),
            Stage::Copy(offset) => {
                let mut page = whole_points(PAGE);
                page.offset = offset;
                let read = replica.data().scroll(&page).map_err(|error| error.to_string())?;
                let next = read.next_offset.map_or(Stage::Follow, |next| Stage::Copy(Some(next)));
                self.send_parts(step, taken_over(read.records, &[], &view.shards), &view.shards, next);
            }
            Stage::Follow => {
                // Between what is known and what is found something may be written.
                let wait = self.random.below(5 * MS);
                self.later(wait, Event::FeedLooks(step, view));
            }
        }
        Ok(())
    }

    fn goes_to(&mut self, step: Step, stage: Stage) {
        if let Some(feeding) = self.feeding(step) {
            feeding.stage = stage;
        }
        self.next_step(step, MS);
    }

    pub(super) fn feed_looks(&mut self, step: Step, view: &View) -> Result<(), String> {
        let Some(Token::Has(token)) = self.feeding(step).map(|feeding| feeding.token.clone()) else { return Ok(()) };
        let running = self.nodes[step.node].running.as_ref();
        let Some(replica) = running.and_then(|running| running.replicas.get(&step.shard)).cloned() else { return Ok(()) };
        let Some(changed) = replica.changed(step.attempt, PAGE) else {
            self.end_feed(step);
            return Ok(());
        };
        if !changed.ids.is_empty() {
            let read = replica.data().retrieve(&changed.ids, &PayloadSelector::All, &VectorSelector::All);
            let parts = taken_over(read.map_err(|error| error.to_string())?, &changed.ids, &view.shards);
            if let Some(feeding) = self.feeding(step) {
                feeding.ids = changed.ids;
            }
            self.send_parts(step, parts, &view.shards, Stage::Follow);
            return Ok(());
        }
        let wait = match view.phase {
            Phase::Copying if changed.left <= FEW && !view.feed.near => {
                self.say(step, Progress::Near { token });
                100 * MS
            }
            Phase::Holding if changed.left == 0 && changed.is_shown && !view.feed.drained => {
                self.say(step, Progress::Drained { token, round: view.round });
                100 * MS
            }
            _ => 10 * MS,
        };
        self.next_step(step, wait);
        Ok(())
    }

    /// Sends each new shard its part.
    fn send_parts(&mut self, step: Step, parts: Vec<Vec<Update>>, shards: &[ShardId], next: Stage) {
        let work: Vec<_> = shards.iter().copied().zip(parts).filter(|(_, part)| !part.is_empty()).collect();
        let Some(feeding) = self.feeding(step) else { return };
        let Token::Has(token) = feeding.token else { return };
        (feeding.left, feeding.next) = (work.len(), next.clone());
        if work.is_empty() {
            return self.goes_to(step, next);
        }
        let pass = Pass { from: step.shard.shard, token };
        for (shard, updates) in work {
            let load = Load { step, shard: ShardRef { shard, ..step.shard }, pass, updates };
            self.later(0, Event::Carry(Box::new(load)));
        }
        self.later(PATIENCE, Event::Carried(step, false));
    }

    /// To the one that the node takes for the primary; again, while it was not taken.
    pub(super) fn carry(&mut self, load: Box<Load>) {
        let step = load.step;
        if self.feeding(step).is_none() {
            return;
        }
        let state = self.known(step.node);
        let new = state.collections.values().find(|collection| collection.uid == load.shard.uid);
        let new = new.and_then(|collection| collection.resharding.as_ref()).filter(|running| running.attempt().is_some());
        let primary: Option<PeerId> =
            new.and_then(|running| running.shards.iter().find(|new| new.id == load.shard.shard)).map(|new| new.primary.peer);
        let Some(primary) = primary else { return self.carried(step, false) };
        let to = Self::index(primary);
        if self.nodes[to].running.is_none() || !self.reaches(step.node, to) {
            self.later(50 * MS, Event::Carry(load));
        } else {
            let mut wait = self.delay();
            if !self.is_peaceful && self.random.below(30) == 0 {
                // The connection breaks, and what was on its way arrives all the same, after what comes later.
                wait += self.random.below(2 * SECOND);
                self.later(MS, Event::Carried(step, false));
            }
            self.later(wait, Event::CarryArrives(load, to));
        }
    }

    pub(super) fn carry_arrives(&mut self, load: Box<Load>, node: usize) -> Result<(), String> {
        let (state, life) = (self.known(node), self.nodes[node].life);
        let Some((_, collection, _)) = state.shard(load.shard) else {
            self.later(50 * MS, Event::Carry(load));
            return Ok(());
        };
        let least = collection.config.write_consistency_factor as usize;
        let admits = || Ok(collection.admission(load.shard.shard, Some(load.pass)) == Admission::Taken);
        let Some(running) = &mut self.nodes[node].running else { return Ok(()) };
        let replica = running.replicas.get(&load.shard);
        match replica.map(|replica| replica.begin(least, admits, Work::Updates(load.updates.clone()))) {
            Some(Ok(Some(begun))) => {
                let lsn = begun.staged.lsn;
                let (shard, asker) = (load.shard, Asker::Feed(load.step));
                let write = self.count;
                running.waiting.insert(write, Waiting { shard, begun, is_settled: false, asker });
                self.note(format_args!("{shard}: {} updates by {:?} are batch {lsn} of peer {}", load.updates.len(), load.pass, node + 1));
                let wait = self.time_of_sync();
                self.later(wait, Event::Settle(node, life, write));
            }
            Some(Err(error)) if !matches!(error.fault, Fault::Unavailable | Fault::OutOfSpace) => {
                return Err(format!("peer {}, shard {}: points do not arrive: {error}", node + 1, load.shard));
            }
            _ => {
                let wait = 50 * MS + self.delay();
                self.later(wait, Event::Carry(load));
            }
        }
        Ok(())
    }

    /// What came of a message, on its way back.
    pub(super) fn answer_feed(&mut self, node: usize, step: Step, told: Told) {
        if self.passes(node, step.node) {
            let wait = self.delay();
            self.later(wait, Event::Carried(step, told == Told::Done));
        }
    }

    pub(super) fn carried(&mut self, step: Step, arrived: bool) {
        let Some(feeding) = self.feeding(step) else { return };
        if arrived {
            feeding.left -= 1;
            if feeding.left == 0 {
                feeding.ids.clear();
                let next = feeding.next.clone();
                self.goes_to(step, next);
            }
            return;
        }
        feeding.token = Token::Wanted;
        let ids = std::mem::take(&mut feeding.ids);
        let running = self.nodes[step.node].running.as_ref();
        if let Some(replica) = running.and_then(|running| running.replicas.get(&step.shard)) {
            replica.note_again(step.attempt, ids);
        }
        self.next_step(step, 200 * MS);
    }
}
