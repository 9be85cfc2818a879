//! Copies the log of a primary to one other node, for as long as the epoch lasts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::PeerError;
use super::node::Shared;
use super::replica::{Append, AppendReply, Matched, Outgoing, Replica};
use super::route::Reply;
use super::state::{ClusterState, Command, Member, PeerId};
use vectordb_core::Lsn;
use vectordb_service::ServiceError;

/// How often a backup hears of its primary when there is nothing to copy.
pub(super) const BEAT: Duration = Duration::from_millis(300);
/// How long one message may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member may be silent while writes wait for it.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long to wait before a proposal is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait before a peer whose disk is full, or that did not take files, is sent as much once more.
pub(super) const REST: Duration = Duration::from_secs(2);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more to send.
    More,
    /// Nothing to send, until there is news or the peer should hear that we live.
    News,
    /// Something is wrong, and nothing else would come of it now.
    Pause,
    /// Nor soon.
    Rest,
}

/// What a primary knows of one of its peers, without the ways to it.
#[derive(Debug, Clone)]
pub(super) struct Copying {
    pub(super) replica: Arc<Replica>,
    pub(super) peer: PeerId,
    pub(super) epoch: u64,
    /// The last batch that the peer is thought to have.
    after: Option<Lsn>,
    failing: Option<Instant>,
    /// When it was proposed that the peer leaves, as it says that it does not keep up.
    seen_off: Option<Instant>,
}

impl Copying {
    pub(super) fn new(replica: Arc<Replica>, peer: PeerId, epoch: u64) -> Self {
        Self { replica, peer, epoch, after: None, failing: None, seen_off: None }
    }

    /// Whether the peer is to have a replica; it may have been dismissed, and counts until its epoch is over all the same.
    pub(super) fn is_wanted(&self, state: &ClusterState) -> bool {
        self.is_assigned(state) || self.replica.counts(self.peer).is_some()
    }

    fn is_assigned(&self, state: &ClusterState) -> bool {
        state.shard(self.replica.shard).is_some_and(|(_, _, shard)| shard.replicas.contains(&self.peer))
    }

    pub(super) fn outgoing(&self) -> Result<Outgoing, ServiceError> {
        self.replica.outgoing(self.epoch, self.after)
    }

    /// What to make of the answer to a message, and what to propose. None came if there is no `reply`.
    pub(super) fn heard(
        &mut self,
        sent: &Sent,
        reply: Option<&AppendReply>,
        state: &ClusterState,
        now: Instant,
    ) -> (Next, Option<Command>) {
        match reply {
            Some(&AppendReply::Has { member, upto, shown, leaving }) => {
                self.failing = None;
                self.after = Some(upto);
                let known = Matched { upto, shown, question: sent.question, whole: sent.all };
                let admits = self.replica.acknowledged(self.epoch, member, known, self.is_assigned(state) && !leaving, now);
                let command = if leaving && self.sees_off(member, now) {
                    Some(self.without(member))
                } else {
                    admits.then_some(Command::Expand { shard: self.replica.shard, epoch: self.epoch, member })
                };
                (if sent.all { Next::News } else { Next::More }, command)
            }
            Some(&AppendReply::Wants { after }) => {
                // Whether it can take that, too, is yet to be seen.
                self.after = Some(after);
                (Next::More, None)
            }
            Some(&AppendReply::Full { member, after }) => {
                self.after = Some(after);
                (Next::Rest, self.sees_off(member, now).then(|| self.without(member)))
            }
            Some(AppendReply::Stale { .. } | AppendReply::Absent) | None => {
                self.after = None;
                (Next::Pause, self.complaint(sent.begun, now))
            }
        }
    }

    /// What to make of files that were sent, or were not; the log follows. While they come, a peer is not silent.
    pub(super) fn sent_files(&mut self, arrived: bool, now: Instant) -> (Next, Option<Command>) {
        self.after = None;
        if arrived {
            self.failing = None;
            return (Next::More, None);
        }
        (Next::Rest, self.complaint(now, now))
    }

    fn without(&self, member: Member) -> Command {
        Command::Shrink { shard: self.replica.shard, epoch: self.epoch, member }
    }

    /// Whether to propose now that a member leaves, for it says that it does not keep up. This is the primary, so another one has
    /// everything; nobody else can know that.
    fn sees_off(&mut self, member: Member, now: Instant) -> bool {
        let is_due = self.seen_off.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN);
        let leaves = is_due && self.replica.counts(self.peer) == Some(member);
        if leaves {
            self.seen_off = Some(now);
        }
        leaves
    }

    /// A member that writes wait for and that stays silent has to leave the set. It was asked when this `begun`.
    fn complaint(&mut self, begun: Instant, now: Instant) -> Option<Command> {
        let since = *self.failing.get_or_insert(begun);
        if now.saturating_duration_since(since) < SILENCE {
            return None;
        }
        let member = self.replica.counts(self.peer)?;
        tracing::warn!(shard = %self.replica.shard, peer = self.peer, "a replica stays silent and leaves the in-sync set");
        // Another time, if this one is not heard.
        self.failing = Some(now);
        Some(self.without(member))
    }
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    begun: Instant,
    /// Whether it holds everything that there was.
    all: bool,
    /// The last question that its answer is an answer to.
    question: u64,
}

impl Sent {
    pub(super) fn new(message: &Append, begun: Instant) -> Self {
        let all = Lsn(message.after.0 + message.frames.len() as u64) == message.last;
        Self { begun, all, question: message.question }
    }
}

/// Runs until the epoch ends, or the peer is to have no replica any more.
pub(super) async fn run(node: Arc<Shared>, replica: Arc<Replica>, peer: PeerId, epoch: u64) {
    let mut sender = Sender { node, copying: Copying::new(replica, peer, epoch) };
    let mut news = sender.copying.replica.news();
    while let Some(next) = sender.step().await {
        match next {
            Next::More => {}
            Next::News => drop(tokio::time::timeout(BEAT, news.changed()).await),
            Next::Pause => tokio::time::sleep(PAUSE).await,
            Next::Rest => tokio::time::sleep(REST).await,
        }
        news.mark_unchanged();
    }
}

struct Sender {
    node: Arc<Shared>,
    copying: Copying,
}

impl Sender {
    /// Sends once. Nothing when all is over.
    async fn step(&mut self) -> Option<Next> {
        if self.node.is_stopping() || !self.copying.is_wanted(&self.node.agreed()) {
            return None;
        }
        let copying = self.copying.clone();
        let outgoing = tokio::task::spawn_blocking(move || copying.outgoing()).await.ok()?;
        match outgoing {
            Ok(Outgoing::Nothing) => None,
            Ok(Outgoing::Message(message)) => {
                let Some(uri) = self.node.uri_of(self.copying.peer) else { return Some(Next::News) };
                let sent = Sent::new(&message, Instant::now());
                let reply: Result<Reply<AppendReply>, PeerError> = self.node.client.call(&uri, "/replica/append", &message, TIMEOUT).await;
                let reply = if let Ok(Reply::Done(reply)) = &reply { Some(reply) } else { None };
                let heard = self.copying.heard(&sent, reply, &self.node.agreed(), Instant::now());
                Some(self.propose(heard))
            }
            Ok(Outgoing::Files) => self.send_files().await,
            Err(error) => {
                tracing::warn!(shard = %self.copying.replica.shard, peer = self.copying.peer, %error, "the log cannot be read");
                Some(Next::Pause)
            }
        }
    }

    fn propose(&self, (next, command): (Next, Option<Command>)) -> Next {
        if let Some(command) = command {
            self.node.propose_quietly(command);
        }
        next
    }

    /// Sends the files of the shard.
    async fn send_files(&mut self) -> Option<Next> {
        let uri = self.node.uri_of(self.copying.peer)?;
        let sent = self.node.send_files(&self.copying.replica, self.copying.peer, &uri, self.copying.epoch).await;
        if let Err(error) = &sent {
            tracing::warn!(shard = %self.copying.replica.shard, peer = self.copying.peer, %error, "files could not be sent");
        }
        let heard = self.copying.sent_files(sent.is_ok(), Instant::now());
        Some(self.propose(heard))
    }
}
