//! Copies the log of a primary to one other node, for as long as the epoch lasts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::PeerError;
use super::node::Shared;
use super::replica::{AppendReply, Outgoing, Replica};
use super::route::Reply;
use super::state::{Command, PeerId};
use vectordb_core::Lsn;

/// How often a backup hears of its primary when there is nothing to copy.
const BEAT: Duration = Duration::from_millis(300);
/// How long one message may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member may be silent while writes wait for it.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until the epoch ends, or the peer is to have no replica any more.
pub(super) async fn run(node: Arc<Shared>, replica: Arc<Replica>, peer: PeerId, epoch: u64) {
    let mut sender = Sender { node, replica, peer, epoch, after: None, failing: None };
    let mut news = sender.replica.news();
    while let Some(waits) = sender.step().await {
        if waits {
            // Nothing to send: until there is, or the backup should hear that we live.
            drop(tokio::time::timeout(BEAT, news.changed()).await);
        }
        news.mark_unchanged();
    }
}

struct Sender {
    node: Arc<Shared>,
    replica: Arc<Replica>,
    peer: PeerId,
    epoch: u64,
    /// The last batch that the peer is thought to have.
    after: Option<Lsn>,
    failing: Option<Instant>,
}

impl Sender {
    /// Sends once. True when there is nothing more to send, nothing when all is over.
    async fn step(&mut self) -> Option<bool> {
        if self.node.is_stopping() || !self.is_wanted() {
            return None;
        }
        let (replica, epoch, after) = (Arc::clone(&self.replica), self.epoch, self.after);
        let outgoing = tokio::task::spawn_blocking(move || replica.outgoing(epoch, after)).await.ok()?;
        match outgoing {
            Ok(Outgoing::Nothing) => None,
            Ok(Outgoing::Message(message)) => {
                let Some(uri) = self.node.uri_of(self.peer) else { return Some(true) };
                let end = Lsn(message.after.0 + message.frames.len() as u64);
                let all = end == message.last;
                let begun = Instant::now();
                let reply: Result<Reply<AppendReply>, PeerError> = self.node.client.call(&uri, "/replica/append", &message, TIMEOUT).await;
                self.heard(reply, all, begun).await
            }
            Ok(Outgoing::Files) => self.send_files().await,
            Err(error) => {
                tracing::warn!(shard = %self.replica.shard, peer = self.peer, %error, "the log cannot be read");
                tokio::time::sleep(PAUSE).await;
                Some(false)
            }
        }
    }

    /// Whether the peer is to have a replica; it may have been dismissed, and counts until its epoch is over all the same.
    fn is_wanted(&self) -> bool {
        let state = self.node.agreed();
        let assigned = state.shard(self.replica.shard).is_some_and(|(_, _, shard)| shard.replicas.contains(&self.peer));
        assigned || self.replica.counts(self.peer).is_some()
    }

    async fn heard(&mut self, reply: Result<Reply<AppendReply>, PeerError>, all: bool, begun: Instant) -> Option<bool> {
        match reply {
            Ok(Reply::Done(AppendReply::Has { member, upto, shown })) => {
                self.failing = None;
                self.after = Some(upto);
                let state = self.node.agreed();
                let wanted = state.shard(self.replica.shard).is_some_and(|(_, _, shard)| shard.replicas.contains(&self.peer));
                let admits = self.replica.acknowledged(self.epoch, member, upto, shown, wanted);
                if admits {
                    let command = Command::Expand { shard: self.replica.shard, epoch: self.epoch, member };
                    self.node.propose_quietly(command);
                }
                Some(all)
            }
            Ok(Reply::Done(AppendReply::Wants { after })) => {
                self.failing = None;
                self.after = Some(after);
                Some(false)
            }
            Ok(Reply::Done(AppendReply::Stale { .. } | AppendReply::Absent) | Reply::NotHere | Reply::Failed(_)) | Err(_) => {
                self.complain(begun);
                self.after = None;
                tokio::time::sleep(PAUSE).await;
                Some(false)
            }
        }
    }

    /// A member that writes wait for and that stays silent has to leave the set. It was asked when this `begun`.
    fn complain(&mut self, begun: Instant) {
        let since = *self.failing.get_or_insert(begun);
        if since.elapsed() < SILENCE {
            return;
        }
        if let Some(member) = self.replica.counts(self.peer) {
            tracing::warn!(shard = %self.replica.shard, peer = self.peer, "a replica stays silent and leaves the in-sync set");
            let command = Command::Shrink { shard: self.replica.shard, epoch: self.epoch, member };
            self.node.propose_quietly(command);
            // Another time, if this one is not heard.
            self.failing = Some(Instant::now());
        }
    }

    /// Sends the files of the shard; the log follows.
    async fn send_files(&mut self) -> Option<bool> {
        let uri = self.node.uri_of(self.peer)?;
        match self.node.send_files(&self.replica, &uri, self.epoch).await {
            Ok(()) => self.failing = None,
            Err(error) => {
                tracing::warn!(shard = %self.replica.shard, peer = self.peer, %error, "files could not be sent");
                // While they come it is not silent.
                self.complain(Instant::now());
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.after = None;
        Some(false)
    }
}
