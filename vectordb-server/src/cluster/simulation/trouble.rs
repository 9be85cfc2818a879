//! What goes wrong and how it is mended, the agreement, and what must hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use vectordb_benches::faults::sim_fs::{Loss, SimFs};
use vectordb_core::{Collection, PointId, ScrollRequest};
use vectordb_service::{ShardId, place};

use super::super::leader::{BEAT, Beat, Waits, settling};
use super::super::placement::plan;
use super::super::state::{ClusterState, Command, Member, ShardRef};
use super::super::survey::Sizes;
use super::clients::FIELD;
use super::world::{Event, GIVE_UP_AFTER, MS, SECOND, Time, World};

/// What the points of a collection hold.
fn content(data: &Collection) -> Result<BTreeMap<u64, u64>, String> {
    let page = data.scroll(&ScrollRequest { limit: 100_000, ..ScrollRequest::default() }).map_err(|error| error.to_string())?;
    let serial = |record: &vectordb_core::Record| {
        let PointId::Num(key) = record.id else { return None };
        Some((key, record.payload.as_ref()?.get(FIELD)?.as_u64()?))
    };
    page.records.iter().map(|record| serial(record).ok_or_else(|| format!("point {} is no point of ours", record.id))).collect()
}

impl World {
    pub(super) fn start(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].running.is_some() {
            return Ok(());
        }
        self.nodes[node].start()?;
        self.note(format_args!("peer {} starts", node + 1));
        // The machine of the agreement keeps what it applied last in a file, which may be some entries old.
        let back = usize::try_from(self.random.below(4)).unwrap_or(0);
        self.nodes[node].known = self.nodes[node].known.saturating_sub(back);
        let (me, life) = (self.nodes[node].me, self.nodes[node].life);
        let (uri, version) = (format!("peer{}", me.peer), String::new());
        let introduction = Command::AddPeer { id: me.peer, uri, disk: me.disk, version, zone: None };
        self.later(MS, Event::Propose(node, life, introduction, self.time + 60 * SECOND));
        self.later(0, Event::Beat(node));
        self.later(0, Event::Glance(node, life));
        Ok(())
    }

    /// Stops a node in the middle of whatever it does.
    fn crash(&mut self, node: usize, loss: Option<Loss>) {
        if self.nodes[node].running.take().is_none() {
            return;
        }
        let killed = self.nodes[node].fs.kill();
        self.nodes[node].fs = match loss {
            Some(loss) => SimFs::new(killed.disk().after_power_loss(loss, &mut self.random)),
            None => killed,
        };
        self.nodes[node].frozen_until = 0;
        self.note(format_args!("peer {} crashes: {loss:?}", node + 1));
    }

    /// Stops a node that has stepped aside.
    pub(super) fn stop(&mut self, node: usize, life: u64) {
        if self.lives(node, life) {
            self.crash(node, None);
            let wait = 100 * MS + self.random.below(6 * SECOND);
            self.later(wait, Event::Start(node));
        }
    }

    /// Whether whatever was acknowledged is on another disk, whichever command that is under way is agreed on. Who loses a disk while
    /// others are away, or are back and not yet heard by whoever leads or may lead, asks for too much: for some seconds the leader takes
    /// the lost one for alive, and may have it follow on one of these.
    fn may_lose(&self, node: usize) -> bool {
        let is_away = |other: usize| {
            let there = &self.nodes[other];
            there.running.is_none() || there.frozen_until > self.time || !self.reaches(node, other) || !self.is_heard(other)
        };
        if (0..self.nodes.len()).any(is_away) {
            return false;
        }
        let me = self.nodes[node].me;
        let head = self.head();
        let intact = |member: &Member| self.nodes[Self::index(member.peer)].me == *member;
        let mut shards = head.collections.values().flat_map(|collection| collection.all_shards());
        let others = shards.all(|shard| !shard.in_sync.contains(&me) || shard.in_sync.iter().any(|other| *other != me && intact(other)));
        let changes = |event: &Event| match event {
            Event::Agreed(command) | Event::Propose(_, _, command, _) => !matches!(command, Command::AddPeer { .. }),
            _ => false,
        };
        others && !self.events.values().any(changes)
    }

    fn is_heard(&self, node: usize) -> bool {
        let peer = self.nodes[node].me.peer;
        self.nodes.iter().all(|there| {
            let silent_for = there.running.as_ref().and_then(|running| running.beats.silent_for(peer, there.now(self.time)));
            silent_for.is_some_and(|silent_for| silent_for < BEAT * 4)
        })
    }

    pub(super) fn trouble(&mut self) -> Result<(), String> {
        if self.is_peaceful {
            return Ok(());
        }
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
        match self.random.below(19) {
            0..=3 => {
                let loss = Loss::KINDS.get(usize::try_from(self.random.below(8)).unwrap_or(0)).copied();
                self.crash(node, loss);
                let wait = 100 * MS + self.random.below(6 * SECOND);
                self.later(wait, Event::Start(node));
            }
            4..=6 => {
                if self.may_lose(node) {
                    self.crash(node, Some(Loss::All));
                    self.nodes[node].replace_disk();
                    self.outcome.wiped += 1;
                    let wait = 100 * MS + self.random.below(3 * SECOND);
                    self.later(wait, Event::Start(node));
                    self.later(5 * SECOND, Event::Trouble);
                    return Ok(());
                }
            }
            7 => {
                self.nodes[node].frozen_until = self.time + self.random.below(5 * SECOND);
                self.note(format_args!("peer {} stands still", node + 1));
            }
            8 => {
                for part in 0..self.parts.len() {
                    self.parts[part] = self.random.below(2);
                }
                let parts = self.parts.clone();
                self.note(format_args!("the network falls into {parts:?}"));
            }
            9 => self.parts.fill(0),
            10..=12 => self.reshard(),
            13..=14 if self.nodes[node].running.is_some() && !self.nodes[node].steps_aside => {
                self.nodes[node].steps_aside = true;
                self.note(format_args!("peer {} steps aside", node + 1));
                let (wait, life) = (200 * MS + self.random.below(3 * SECOND), self.nodes[node].life);
                self.later(wait, Event::Stop(node, life));
            }
            15..=16 if !self.nodes[node].is_full => {
                self.fill(node, true);
                let wait = SECOND + self.random.below(8 * SECOND);
                self.later(wait, Event::Room(node));
            }
            _ => self.compact(node)?,
        }
        let wait = 200 * MS + self.random.below(4 * SECOND);
        self.later(wait, Event::Trouble);
        Ok(())
    }

    pub(super) fn fill(&mut self, node: usize, full: bool) {
        self.nodes[node].is_full = full;
        self.nodes[node].fs.set_full(full);
        self.note(format_args!("the disk of peer {} is {}", node + 1, if full { "full" } else { "not full" }));
    }

    /// Has another number of shards agreed on, or that it is not to be.
    fn reshard(&mut self) {
        let state = self.head();
        let command = if self.random.below(6) == 0 {
            Command::AbortResharding { name: "c".into() }
        } else {
            let (count, peers) = (1 + self.random.below(4), self.nodes.len() as u64);
            let factor = state.collections["c"].factor() as u64;
            let first = self.random.below(peers);
            let placement = (0..count).map(|shard| (0..factor).map(|copy| (first + shard + copy) % peers + 1).collect()).collect();
            Command::StartResharding { name: "c".into(), key: None, placement }
        };
        self.later(MS, Event::Agreed(command));
    }

    /// Lets reshardings go on for which somebody has waited for long enough.
    fn lead_reshardings(&mut self, leader: usize) {
        let (state, known) = (self.known(leader), self.nodes[leader].known);
        let now = self.nodes[leader].now(self.time);
        let Some(running) = &mut self.nodes[leader].running else { return };
        let mut commands = running.waits.over(&state, now);
        let Some(uid) = settling(&state).next() else {
            self.settling = None;
            commands.into_iter().for_each(|command| self.later(MS, Event::Agreed(command)));
            return;
        };
        let (index, since) = *self.settling.get_or_insert((known, self.time));
        let answers =
            |node: usize| self.nodes[node].running.is_some() && self.nodes[node].frozen_until <= self.time && self.reaches(leader, node);
        let all_know = (0..self.nodes.len()).all(|node| self.nodes[node].known >= index || !answers(node));
        if all_know || self.time - since > 5 * SECOND {
            commands.push(Command::EndResharding { uid });
        }
        commands.into_iter().for_each(|command| self.later(MS, Event::Agreed(command)));
    }

    /// Puts what is in the logs of a node into files, so that who lacks it needs these.
    fn compact(&mut self, node: usize) -> Result<(), String> {
        let Some(running) = &self.nodes[node].running else { return Ok(()) };
        for replica in running.replicas.values() {
            let data = replica.data();
            let position = data.log_position();
            if position.last == position.published {
                data.optimize().map_err(|error| format!("peer {}, shard {}: {error}", node + 1, replica.shard))?;
            }
        }
        self.note(format_args!("peer {} writes files", node + 1));
        Ok(())
    }

    /// Nothing goes wrong any more.
    pub(super) fn mend(&mut self) -> Result<(), String> {
        self.note(format_args!("all is mended"));
        self.is_peaceful = true;
        self.parts.fill(0);
        for node in 0..self.nodes.len() {
            self.nodes[node].frozen_until = 0;
            self.fill(node, false);
            self.start(node)?;
        }
        Ok(())
    }

    fn has_majority(&self, node: usize) -> bool {
        let near = (0..self.nodes.len()).filter(|&other| self.nodes[other].running.is_some() && self.reaches(node, other));
        near.count() * 2 > self.nodes.len()
    }

    fn can_lead(&self, node: usize) -> bool {
        self.nodes[node].running.is_some() && self.nodes[node].frozen_until <= self.time && self.has_majority(node)
    }

    pub(super) fn lead(&mut self) -> Result<(), String> {
        self.later(BEAT.as_micros() as Time / 2, Event::Lead);
        // One that stands still may lead on when it is back.
        if self.leader.is_some_and(|leader| self.nodes[leader].frozen_until > self.time) && self.random.below(20) > 0 {
            return Ok(());
        }
        if self.leader.is_none_or(|leader| !self.can_lead(leader)) {
            let able: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.can_lead(node)).collect();
            let elected = !able.is_empty() && self.random.below(4) == 0;
            self.leader = elected.then(|| able[usize::try_from(self.random.below(able.len() as u64)).unwrap_or(0)]);
            let Some(leader) = self.leader else { return Ok(()) };
            self.note(format_args!("peer {} leads", leader + 1));
            let now = self.nodes[leader].now(self.time);
            if let Some(running) = &mut self.nodes[leader].running {
                drop(running.beats.health(&ClusterState::default(), false, GIVE_UP_AFTER, now));
                running.waits = Waits::default();
            }
            self.settling = None;
            // Whoever leads has everything that was agreed on.
            self.hear(leader)?;
        }
        let Some(leader) = self.leader else { return Ok(()) };
        let (state, now) = (self.known(leader), self.nodes[leader].now(self.time));
        let Some(running) = &mut self.nodes[leader].running else { return Ok(()) };
        let health = running.beats.health(&state, true, GIVE_UP_AFTER, now);
        for command in plan(&state, &health, Some(&Sizes::new())) {
            let wait = self.random.below(20 * MS);
            self.later(wait, Event::Agreed(command));
        }
        self.lead_reshardings(leader);
        for node in 0..self.nodes.len() {
            if self.passes(leader, node) {
                let wait = self.delay();
                self.later(wait, Event::Hear(node));
            }
        }
        Ok(())
    }

    pub(super) fn propose(&mut self, node: usize, life: u64, command: Command, until: Time) {
        if !self.lives(node, life) || self.time > until {
            return;
        }
        let me = self.nodes[node].me;
        let asks_in = matches!(command, Command::AddPeer { .. });
        if asks_in && self.known(node).peers.get(&me.peer).is_none_or(|known| known.disk != me.disk) {
            // It asks until it is let in.
            self.later(SECOND, Event::Propose(node, life, command.clone(), until));
        }
        let Some(leader) = self.leader.filter(|&leader| self.can_lead(leader)) else {
            if !asks_in {
                self.later(100 * MS, Event::Propose(node, life, command, until));
            }
            return;
        };
        if self.passes(node, leader) {
            let wait = self.delay();
            self.later(wait, Event::Agreed(command));
        }
    }

    pub(super) fn agreed(&mut self, command: &Command) {
        let Some(leader) = self.leader.filter(|&leader| self.can_lead(leader)) else { return };
        let before = self.head();
        let mut state = (*before).clone();
        let outcome = state.apply(command);
        self.note(format_args!("{command:?}: {}", outcome.is_ok()));
        if state == *before {
            return;
        }
        let primaries = |state: &super::super::state::ClusterState| -> Vec<_> {
            state.collections.values().flat_map(|collection| collection.all_shards().map(|shard| shard.primary)).collect()
        };
        self.outcome.primaries += u64::from(primaries(&state) != primaries(&before));
        self.outcome.resharded += u64::from(settling(&before).next().is_none() && settling(&state).next().is_some());
        self.states.push(Arc::new(state));
        for node in 0..self.nodes.len() {
            if self.passes(leader, node) {
                let wait = self.delay();
                self.later(wait, Event::Hear(node));
            }
        }
    }

    pub(super) fn hear(&mut self, node: usize) -> Result<(), String> {
        let newest = self.states.len() - 1;
        if self.nodes[node].running.is_none() || self.nodes[node].known == newest {
            return Ok(());
        }
        // A node may see each of several states, or the last one alone.
        let steps = newest - self.nodes[node].known;
        let steps = if self.random.below(2) == 0 { steps } else { 1 + usize::try_from(self.random.below(steps as u64)).unwrap_or(0) };
        self.nodes[node].known += steps;
        self.reconcile(node)
    }

    pub(super) fn beat(&mut self, node: usize) {
        if self.nodes[node].running.is_none() {
            return;
        }
        self.later(BEAT.as_micros() as Time, Event::Beat(node));
        for other in 0..self.nodes.len() {
            if self.passes(node, other) {
                // Nobody waits longer for one.
                let wait = self.delay().min(BEAT.as_micros() as Time);
                self.later(wait, Event::BeatArrives(self.nodes[node].beat(), other, self.nodes[node].life));
            }
        }
    }

    pub(super) fn beat_arrives(&mut self, beat: Beat, at: usize, life: u64) {
        let now = self.nodes[at].now(self.time);
        let Some(running) = &mut self.nodes[at].running else { return };
        running.beats.note(beat, now);
        let node = Self::index(beat.member().peer);
        if self.leader == Some(at) && self.passes(at, node) {
            let wait = self.delay();
            self.later(wait, Event::BeatAnswered(node, life, self.nodes[at].known));
        }
    }

    /// A primary that the agreement knows, and that knows it, shows everything acknowledged.
    pub(super) fn check_primaries(&self) -> Result<(), String> {
        let head = self.head();
        let mut seen = BTreeMap::new();
        for collection in head.collections.values() {
            for meta in &collection.shards {
                let shard = ShardRef { uid: collection.uid, shard: meta.id };
                let node = &self.nodes[Self::index(meta.primary.peer)];
                let replica = node.running.as_ref().and_then(|running| running.replicas.get(&shard));
                let data = replica.filter(|replica| replica.acting_epoch() == Some(meta.epoch));
                let Some(data) = data.and_then(|replica| replica.readable_at(node.now(self.time))) else { return Ok(()) };
                seen.extend(content(&data)?);
            }
        }
        let violations = self.history.violations(&seen);
        if violations.is_empty() { Ok(()) } else { Err(format!("{violations:?}")) }
    }

    pub(super) fn check_end(&self) -> Result<(), String> {
        let head = self.head();
        let mut all = BTreeMap::new();
        for collection in head.collections.values() {
            if let Some(running) = &collection.resharding {
                return Err(format!("a resharding does not end: {running:?}"));
            }
            let ids: Vec<ShardId> = collection.shards.iter().map(|shard| shard.id).collect();
            for meta in &collection.shards {
                let shard = ShardRef { uid: collection.uid, shard: meta.id };
                if meta.in_sync.len() != collection.factor() || meta.replicas.len() != collection.factor() {
                    return Err(format!("shard {shard} does not become well: {meta:?}"));
                }
                let mut first = None;
                for member in &meta.in_sync {
                    let running = self.nodes[Self::index(member.peer)].running.as_ref();
                    let replica =
                        running.and_then(|running| running.replicas.get(&shard)).ok_or_else(|| format!("{member:?} has no {shard}"))?;
                    let data = replica.data();
                    let (position, content) = (data.log_position(), content(&data)?);
                    if position.last != position.published {
                        return Err(format!("peer {}, shard {shard}: {position:?}", member.peer));
                    }
                    let (peer, last, known) = &*first.get_or_insert((member.peer, position.last, content.clone()));
                    if *known != content || *last != position.last {
                        return Err(format!(
                            "peers {peer} and {} differ in {shard}: {last} {known:?}, {position:?} {content:?}",
                            member.peer
                        ));
                    }
                    if let Some(key) = content.keys().find(|key| ids[place(&PointId::Num(**key), &ids)] != meta.id) {
                        return Err(format!("key {key} is in {shard}, where nobody looks for it"));
                    }
                    all.extend(content);
                }
            }
        }
        let violations = self.history.violations(&all);
        if violations.is_empty() { Ok(()) } else { Err(format!("in the end: {violations:?}")) }
    }
}
