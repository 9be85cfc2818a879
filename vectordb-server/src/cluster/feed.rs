//! Brings the points of one old shard into new ones, where its primary is, for as long as it is: first all of them, then those that
//! are written meanwhile, until the new shards take over (`resharding`).

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use vectordb_core::{PayloadSelector, PointId, Update, VectorSelector};
use vectordb_service::{Consistency, ServiceError, ShardId, taken_over, whole_points};

use super::node::Shared;
use super::replica::Replica;
use super::resharding::{Pass, Phase, Progress};
use super::route::{Change, Route, Sent};
use super::state::{Command, ShardRef};

/// Points of one message.
const PAGE: usize = 256;
/// Points that may be left when writes begin to be held.
const FEW: usize = 512;
/// How long to wait when there is nothing to do.
const PAUSE: Duration = Duration::from_millis(10);
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Runs until the resharding is over, or begun anew.
pub(super) fn run(node: Arc<Shared>, replica: Arc<Replica>, attempt: ShardId) {
    let shard = replica.shard;
    tracing::info!(%shard, into = %attempt, "bringing points into new shards");
    let mut feed = Feed { id: Uuid::new_v4(), node, replica, attempt, token: 0 };
    // It ends by itself when there is nothing to feed any more.
    let ended = feed.work();
    feed.replica.untrack(attempt);
    feed.replica.feeding.lock().take_if(|of| *of == attempt);
    tracing::debug!(%shard, ended = ended.is_none(), "no more points are brought into new shards");
}

struct Feed {
    /// Tells it from those before it, whose notes are gone.
    id: Uuid,
    node: Arc<Shared>,
    replica: Arc<Replica>,
    /// The first of the new shards.
    attempt: ShardId,
    /// What new shards are shown.
    token: u64,
}

/// The resharding as this node knows it.
struct View {
    shards: Vec<ShardId>,
    phase: Phase,
    round: u64,
    feed: super::resharding::Feed,
}

impl Feed {
    fn view(&self) -> Option<View> {
        let state = self.node.agreed();
        let (_, collection, shard) = state.shard(self.replica.shard)?;
        let running = collection.feeds_from(shard).filter(|running| running.attempt() == Some(self.attempt))?;
        let here = shard.primary == self.node.me && !self.node.is_stopping();
        here.then(|| View {
            shards: running.shards.iter().map(|shard| shard.id).collect(),
            phase: running.phase,
            round: running.round,
            feed: running.feeds.get(&self.replica.shard.shard).copied().unwrap_or_default(),
        })
    }

    /// Says how far it is; true when that was taken note of.
    fn say(&self, progress: Progress) -> Option<bool> {
        let epoch = self.replica.acting_epoch()?;
        let command = Command::Feed { shard: self.replica.shard, epoch, attempt: self.attempt, progress };
        let said = self.node.wait_for(self.node.propose(command));
        Some(matches!(said, Ok((Ok(_), _))))
    }

    /// Has a new token agreed on: what is on its way does not count any more.
    fn begin(&mut self) -> Option<()> {
        loop {
            let token = self.view()?.feed.token + 1;
            if self.say(Progress::Begun { feed: self.id, token })? {
                self.token = token;
                return Some(());
            }
            std::thread::sleep(AFTER_FAILURE);
        }
    }

    fn work(&mut self) -> Option<()> {
        self.begin()?;
        let since = self.replica.track(self.attempt)?;
        // What was written before must be seen by whoever copies; what is written from now on is noted.
        while self.replica.data().log_position().published < since {
            self.view()?;
            std::thread::sleep(PAUSE);
        }
        self.copy()?;
        loop {
            let view = self.view()?;
            let changed = self.replica.changed(self.attempt, PAGE)?;
            if !changed.ids.is_empty()
                && let Err(error) = self.take_over(&view.shards, &changed.ids)
            {
                self.replica.note_again(self.attempt, changed.ids);
                self.fail(&error)?;
                continue;
            }
            let idle = changed.ids.is_empty();
            match view.phase {
                Phase::Copying if changed.left <= FEW && !view.feed.near => {
                    self.say(Progress::Near { token: self.token })?;
                }
                // The view is older than the look at what is left: nothing was written since.
                Phase::Holding if idle && changed.left == 0 && changed.is_shown && !view.feed.drained => {
                    self.say(Progress::Drained { token: self.token, round: view.round })?;
                }
                _ if idle => std::thread::sleep(PAUSE),
                _ => {}
            }
        }
    }

    /// Brings all points over.
    fn copy(&mut self) -> Option<()> {
        let mut page = whole_points(PAGE);
        loop {
            let view = self.view()?;
            let read = self.replica.data().scroll(&page).map_err(ServiceError::from);
            let brought = read.and_then(|read| {
                self.send(taken_over(read.records, &[], &view.shards), &view.shards)?;
                Ok(read.next_offset)
            });
            match brought {
                Ok(None) => return Some(()),
                Ok(next) => page.offset = next,
                Err(error) => self.fail(&error)?,
            }
        }
    }

    /// Some message was not heard, or its answer was not: it must not count later.
    fn fail(&mut self, error: &ServiceError) -> Option<()> {
        tracing::debug!(shard = %self.replica.shard, %error, "points could not be brought into new shards now");
        std::thread::sleep(AFTER_FAILURE);
        self.begin()
    }

    fn take_over(&self, shards: &[ShardId], ids: &[PointId]) -> Result<(), ServiceError> {
        let records = self.replica.data().retrieve(ids, &PayloadSelector::All, &VectorSelector::All)?;
        self.send(taken_over(records, ids, shards), shards)
    }

    /// Sends each new shard its part; all of them have theirs when it returns.
    fn send(&self, parts: Vec<Vec<Update>>, shards: &[ShardId]) -> Result<(), ServiceError> {
        let ShardRef { uid, shard: from } = self.replica.shard;
        let pass = Pass { from, token: self.token };
        let send = |shard: ShardId, updates: Vec<Update>| {
            let shard = ShardRef { uid, shard };
            let route = Route { shard, node: Arc::downgrade(&self.node), consistency: Consistency::Usual, deadline: None };
            match route.change(&Change::Carried { pass, updates })? {
                Sent::Done(_) => Ok(()),
                Sent::Moved => Err(ServiceError::request("that resharding is over")),
            }
        };
        let work: Vec<(ShardId, Vec<Update>)> = shards.iter().copied().zip(parts).filter(|(_, part)| !part.is_empty()).collect();
        std::thread::scope(|scope| {
            let send = &send;
            let threads: Vec<_> = work.into_iter().map(|(shard, part)| scope.spawn(move || send(shard, part))).collect();
            let join =
                |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            threads.into_iter().try_for_each(join)
        })
    }
}
