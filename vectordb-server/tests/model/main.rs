//! The replication protocol of a shard as an explicit-state model, searched exhaustively.
//!
//! Primary and backups with an in-sync set and epochs (the family of Pacifica, Lin, Yang, Zhang & Zhou 2008), over a register of
//! metadata that is linearizable because a Raft group keeps it. Steps: write, replicate, a late acknowledgement, commit, shrink
//! and expand the in-sync set, fail over, crash, restart, loss of the disk, and learning the metadata late. What must hold:
//! every value that was acknowledged to a client is in the log of every in-sync member whose disk is still the one it had when
//! it became a member. And a value of which a client was told that it never will be written is never acknowledged. Each rule that the
//! server keeps has a mutant here that drops it, and each mutant must break one of the two.

mod resharding;

use std::collections::{HashSet, VecDeque};

const MOST_REPLICAS: usize = 3;
const MOST_VALUES: usize = 2;

/// A rule of the protocol that a mutant does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    /// None: the protocol itself.
    Nothing,
    /// Acknowledge only what all in-sync members have; instead a majority is enough.
    AllAcknowledge,
    /// A new primary comes from the in-sync set; instead anybody may follow.
    PrimaryInSync,
    /// Receivers refuse a lower epoch; instead they follow anybody.
    Fence,
    /// While a learner's admission is pending, its acknowledgement is required already.
    PendingCounts,
    /// A learner is admitted when it has the whole log of the primary; instead what is known to be committed is enough, which
    /// is nothing after a restart.
    WholeLog,
    /// A restarted primary takes a new epoch first; instead it goes on.
    NewEpochAfterRestart,
    /// Members are disks, not names; instead an emptied disk keeps its membership.
    Incarnation,
    /// What a later primary lacks is said to be undone once all that count have taken its log; instead, as soon as it begins.
    Purged,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    replicas: usize,
    values: u8,
    epochs: i8,
    crashes: u8,
    disk_losses: u8,
    /// States after which no more are added.
    states: usize,
}

/// Entries: the epoch each was written in, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Log {
    entries: [(i8, u8); MOST_VALUES],
    len: u8,
}

impl Log {
    fn push(&mut self, epoch: i8, value: u8) {
        self.entries[usize::from(self.len)] = (epoch, value);
        self.len += 1;
    }

    /// The values of the first entries, as bits.
    fn values(&self, count: u8) -> u8 {
        self.entries[..usize::from(count)].iter().fold(0, |bits, &(_, value)| bits | 1 << value)
    }
}

/// A replica on a certain disk, as a number below `2 * MOST_REPLICAS`.
fn member(replica: usize, incarnation: u8) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "at most three replicas")]
    let replica = replica as u8;
    2 * replica + incarnation.min(1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Replica {
    alive: bool,
    incarnation: u8,
    log: Log,
    /// The newest epoch it has heard of; −1 on an empty disk.
    epoch: i8,
    acts_as_primary: bool,
    /// The in-sync set as it knows it, members as bits.
    in_sync: u8,
    /// Of a primary: what each member is known to have.
    matched: [u8; 2 * MOST_REPLICAS],
    /// Of a primary: members that have taken its log, as bits.
    answered: u8,
    /// Of a primary: the learner whose admission is under way.
    pending: Option<u8>,
    commit: u8,
}

impl Replica {
    fn step_down(&mut self) {
        self.matched = [0; 2 * MOST_REPLICAS];
        self.answered = 0;
        self.pending = None;
    }

    /// Whom the writes of the primary at a place wait for.
    fn needed(&self, at: usize, pending_counts: bool) -> u8 {
        let pending = self.pending.filter(|_| pending_counts).map_or(0, |pending| 1 << pending);
        self.in_sync & !(0b11 << (2 * at)) | pending
    }
}

/// An acknowledgement on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Ack {
    from: u8,
    incarnation: u8,
    to: u8,
    epoch: i8,
    len: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// The metadata.
    epoch: i8,
    primary: u8,
    in_sync: u8,
    replicas: [Replica; MOST_REPLICAS],
    /// Sorted.
    acks: Vec<Ack>,
    /// Values that clients were told are safe, as bits.
    acknowledged: u8,
    /// Values that clients were told never will be there, as bits.
    refused: u8,
    written: u8,
    /// The epoch in which each was written.
    written_in: [i8; MOST_VALUES],
    crashes: u8,
    disk_losses: u8,
}

impl State {
    fn first(bounds: &Bounds) -> Self {
        let in_sync = (0..bounds.replicas).fold(0, |set, replica| set | 1 << member(replica, 0));
        let mut replicas = [Replica::default(); MOST_REPLICAS];
        for (at, replica) in replicas.iter_mut().enumerate().take(bounds.replicas) {
            *replica = Replica { alive: true, acts_as_primary: at == 0, in_sync, ..Replica::default() };
        }
        Self {
            epoch: 0,
            primary: 0,
            in_sync,
            replicas,
            acks: Vec::new(),
            acknowledged: 0,
            refused: 0,
            written: 0,
            written_in: [0; MOST_VALUES],
            crashes: 0,
            disk_losses: 0,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    fn add(&mut self, ack: Ack) {
        if let Err(at) = self.acks.binary_search(&ack) {
            self.acks.insert(at, ack);
        }
    }
}

struct Model {
    bounds: Bounds,
    dropped: Dropped,
}

impl Model {
    fn drops(&self, rule: Dropped) -> bool {
        self.dropped == rule
    }

    fn holds(&self, state: &State) -> bool {
        let has_all = |replica: &Replica| state.acknowledged & !replica.log.values(replica.log.len) == 0;
        let replicas = || state.replicas[..self.bounds.replicas].iter().enumerate();
        let mutant = self.drops(Dropped::Incarnation);
        let members = replicas()
            .filter(|(at, replica)| state.in_sync & 1 << member(*at, replica.incarnation) != 0 && !(mutant && replica.epoch == -1));
        let primary = &state.replicas[usize::from(state.primary)];
        let acting = mutant && primary.acts_as_primary && primary.epoch == state.epoch;
        let is_safe = members.into_iter().all(|(_, replica)| has_all(replica)) && (!acting || has_all(primary));
        is_safe && state.acknowledged & state.refused == 0
    }

    fn next(&self, state: &State, out: &mut Vec<State>) {
        for at in 0..self.bounds.replicas {
            let replica = &state.replicas[at];
            if replica.alive && replica.acts_as_primary {
                self.primary_steps(state, at, out);
            }
            self.life(state, at, out);
        }
        self.deliver(state, out);
        if state.epoch < self.bounds.epochs {
            self.fail_over(state, out);
        }
    }

    fn primary_steps(&self, state: &State, at: usize, out: &mut Vec<State>) {
        let replica = state.replicas[at];
        let (epoch, log) = (replica.epoch, replica.log);
        if state.written < self.bounds.values {
            out.push(state.with(|next| {
                next.replicas[at].log.push(epoch, state.written);
                next.written_in[usize::from(state.written)] = epoch;
                next.written += 1;
            }));
        }
        self.refuse(state, at, out);
        (0..self.bounds.replicas).filter(|&other| other != at).for_each(|other| self.replicate(state, at, other, out));
        self.commit(state, at, out);
        if epoch != state.epoch || state.epoch >= self.bounds.epochs {
            return;
        }
        for other in (0..2 * MOST_REPLICAS as u8).filter(|&other| replica.in_sync & 1 << other != 0 && usize::from(other / 2) != at) {
            out.push(state.with(|next| {
                next.epoch += 1;
                next.in_sync &= !(1 << other);
            }));
        }
        match replica.pending {
            Some(learner) if state.in_sync & 1 << learner == 0 => {
                let has = replica.matched[usize::from(learner)];
                // Also of an empty log it has to know: what it had itself is gone then.
                let has_all = has >= log.len && replica.answered & 1 << learner != 0;
                if has_all || self.drops(Dropped::WholeLog) && has >= replica.commit {
                    out.push(state.with(|next| {
                        next.epoch += 1;
                        next.in_sync = next.in_sync & !(0b11 << (learner & !1)) | 1 << learner;
                    }));
                }
            }
            Some(_) => {}
            None => {
                for (other, learner) in state.replicas[..self.bounds.replicas].iter().enumerate() {
                    let it = member(other, learner.incarnation);
                    if other != at && learner.alive && replica.in_sync & 1 << it == 0 {
                        out.push(state.with(|next| {
                            next.replicas[at].pending = Some(it);
                            next.replicas[at].matched[usize::from(it)] = 0;
                            next.replicas[at].answered &= !(1 << it);
                        }));
                    }
                }
            }
        }
    }

    /// A client of an earlier primary is told that its value is not in the log of this one, and never will be.
    fn refuse(&self, state: &State, at: usize, out: &mut Vec<State>) {
        let replica = &state.replicas[at];
        let needed = replica.needed(at, true);
        if needed & !replica.answered != 0 && !self.drops(Dropped::Purged) {
            return;
        }
        let lacks = |value: u8| (replica.log.values(replica.log.len) | state.refused) & 1 << value == 0;
        for value in (0..state.written).filter(|&value| lacks(value) && state.written_in[usize::from(value)] < replica.epoch) {
            out.push(state.with(|next| next.refused |= 1 << value));
        }
    }

    /// Another replica takes the primary's whole log; its acknowledgement is on its way.
    fn replicate(&self, state: &State, at: usize, other: usize, out: &mut Vec<State>) {
        let (primary, backup) = (state.replicas[at], state.replicas[other]);
        let fence = !self.drops(Dropped::Fence);
        let refuses = fence && backup.epoch > primary.epoch || backup.epoch == primary.epoch && backup.acts_as_primary;
        if !backup.alive || refuses {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most three replicas")]
        let ack = Ack { from: other as u8, incarnation: backup.incarnation, to: at as u8, epoch: primary.epoch, len: primary.log.len };
        let it = member(other, backup.incarnation);
        let known = primary.matched[usize::from(it)] >= primary.log.len && primary.answered & 1 << it != 0;
        if backup.log == primary.log && backup.epoch >= primary.epoch && (known || state.acks.contains(&ack)) {
            return;
        }
        out.push(state.with(|next| {
            let backup = &mut next.replicas[other];
            backup.log = primary.log;
            backup.epoch = if fence { backup.epoch.max(primary.epoch) } else { primary.epoch };
            backup.acts_as_primary = false;
            backup.in_sync = primary.in_sync;
            backup.commit = primary.commit.min(primary.log.len);
            backup.step_down();
            next.add(ack);
        }));
    }

    fn commit(&self, state: &State, at: usize, out: &mut Vec<State>) {
        let replica = &state.replicas[at];
        let needed = replica.needed(at, !self.drops(Dropped::PendingCounts));
        for len in replica.commit + 1..=replica.log.len {
            let has = (0..2 * MOST_REPLICAS).filter(|&other| needed & 1 << other != 0 && replica.matched[other] >= len).count();
            let all = needed.count_ones() as usize;
            let enough = if self.drops(Dropped::AllAcknowledge) { 2 * (has + 1) > all + 1 } else { has == all };
            if enough {
                out.push(state.with(|next| {
                    next.replicas[at].commit = len;
                    next.acknowledged |= replica.log.values(len);
                }));
            }
        }
    }

    /// Learning the metadata, dying, coming back, and losing the disk.
    fn life(&self, state: &State, at: usize, out: &mut Vec<State>) {
        let replica = state.replicas[at];
        if replica.alive && replica.epoch < state.epoch {
            out.push(state.with(|next| {
                let learner = &mut next.replicas[at];
                learner.epoch = state.epoch;
                learner.acts_as_primary = usize::from(state.primary) == at && state.in_sync & 1 << member(at, replica.incarnation) != 0;
                learner.in_sync = state.in_sync;
                learner.step_down();
            }));
        }
        if replica.alive && state.crashes < self.bounds.crashes {
            out.push(state.with(|next| {
                next.crashes += 1;
                let dead = &mut next.replicas[at];
                dead.alive = false;
                dead.commit = 0;
                dead.step_down();
            }));
        }
        if replica.alive {
            return;
        }
        out.push(state.with(|next| {
            let back = &mut next.replicas[at];
            back.alive = true;
            back.acts_as_primary &= self.drops(Dropped::NewEpochAfterRestart);
        }));
        if state.disk_losses < self.bounds.disk_losses {
            out.push(state.with(|next| {
                next.disk_losses += 1;
                let empty = &mut next.replicas[at];
                empty.log = Log::default();
                empty.incarnation += u8::from(!self.drops(Dropped::Incarnation));
                empty.epoch = -1;
                empty.acts_as_primary = false;
                empty.in_sync = 0;
            }));
        }
    }

    /// Acknowledgements arrive, or turn out to be for somebody who is no longer there.
    fn deliver(&self, state: &State, out: &mut Vec<State>) {
        for (place, ack) in state.acks.iter().enumerate() {
            let to = usize::from(ack.to);
            let primary = &state.replicas[to];
            let it = member(usize::from(ack.from), ack.incarnation);
            let known = usize::from(it);
            let counts = primary.in_sync & 1 << it != 0 || primary.pending == Some(it);
            let arrives = primary.alive && primary.acts_as_primary && primary.epoch == ack.epoch && counts;
            out.push(state.with(|next| {
                if arrives {
                    let matched = &mut next.replicas[to].matched[known];
                    *matched = ack.len.max(*matched);
                    next.replicas[to].answered |= 1 << it;
                }
                next.acks.remove(place);
            }));
        }
    }

    fn fail_over(&self, state: &State, out: &mut Vec<State>) {
        let old = usize::from(state.primary);
        for (at, replica) in state.replicas[..self.bounds.replicas].iter().enumerate() {
            let it = member(at, replica.incarnation);
            if !replica.alive || state.in_sync & 1 << it == 0 && !self.drops(Dropped::PrimaryInSync) {
                continue;
            }
            if at != old {
                out.push(state.with(|next| {
                    next.epoch += 1;
                    #[expect(clippy::cast_possible_truncation, reason = "at most three replicas")]
                    let primary = at as u8;
                    next.primary = primary;
                    next.in_sync = next.in_sync & !(0b11 << (2 * old)) & !(0b11 << (2 * at)) | 1 << it;
                }));
                // Handing over: the old primary lives, and stays a member.
                out.push(state.with(|next| {
                    next.epoch += 1;
                    #[expect(clippy::cast_possible_truncation, reason = "at most three replicas")]
                    let primary = at as u8;
                    next.primary = primary;
                    next.in_sync = next.in_sync & !(0b11 << (2 * at)) | 1 << it;
                }));
            } else if !replica.acts_as_primary || replica.epoch < state.epoch {
                out.push(state.with(|next| next.epoch += 1));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Every state was seen, so many.
    Exhausted(usize),
    /// So many states were seen, and there are more.
    Bounded(usize),
    /// A value was lost after so many steps.
    Lost(usize),
}

fn search(dropped: Dropped, bounds: Bounds) -> Verdict {
    let model = Model { bounds, dropped };
    let first = State::first(&bounds);
    let mut seen = HashSet::from([first.clone()]);
    let mut queue = VecDeque::from([(first, 0)]);
    let mut next = Vec::new();
    while let Some((state, depth)) = queue.pop_front() {
        if !model.holds(&state) {
            return Verdict::Lost(depth);
        }
        if seen.len() >= bounds.states {
            continue;
        }
        model.next(&state, &mut next);
        for state in next.drain(..) {
            if !seen.contains(&state) {
                seen.insert(state.clone());
                queue.push_back((state, depth + 1));
            }
        }
    }
    if seen.len() < bounds.states { Verdict::Exhausted(seen.len()) } else { Verdict::Bounded(seen.len()) }
}

/// Two replicas, one value, three epochs, one crash and one lost disk.
const SMALL: Bounds = Bounds { replicas: 2, values: 1, epochs: 3, crashes: 1, disk_losses: 1, states: usize::MAX };

#[test]
fn with_all_rules_nothing_is_lost_in_any_state() {
    let verdicts = [SMALL, Bounds { epochs: 4, ..SMALL }].map(|bounds| search(Dropped::Nothing, bounds));
    println!("{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Exhausted(_))), "{verdicts:?}");
    // A model that does next to nothing would hold as well.
    assert!(matches!(verdicts, [Verdict::Exhausted(small), Verdict::Exhausted(large)] if small > 50_000 && large > 200_000));
}

#[test]
fn with_all_rules_nothing_is_lost_near_the_start_of_larger_ones() {
    let two_values = Bounds { values: 2, states: 250_000, ..SMALL };
    let three_replicas = Bounds { replicas: 3, states: 200_000, ..SMALL };
    for bounds in [two_values, three_replicas] {
        let verdict = search(Dropped::Nothing, bounds);
        println!("{verdict:?}");
        assert!(matches!(verdict, Verdict::Bounded(_)), "{verdict:?}");
    }
}

#[test]
fn without_any_one_of_the_rules_something_is_lost() {
    let three = Bounds { replicas: 3, crashes: 0, disk_losses: 0, ..SMALL };
    let mutants = [
        (Dropped::AllAcknowledge, three),
        (Dropped::PrimaryInSync, SMALL),
        (Dropped::Fence, SMALL),
        (Dropped::PendingCounts, SMALL),
        (Dropped::WholeLog, SMALL),
        (Dropped::NewEpochAfterRestart, SMALL),
        (Dropped::Incarnation, SMALL),
        (Dropped::Purged, three),
    ];
    for (dropped, bounds) in mutants {
        let verdict = search(dropped, Bounds { states: 3_000_000, ..bounds });
        println!("without {dropped:?}: {verdict:?}");
        assert!(matches!(verdict, Verdict::Lost(_)), "without {dropped:?} the model is content: {verdict:?}");
    }
}
