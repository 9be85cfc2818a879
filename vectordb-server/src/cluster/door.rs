//! What other nodes call. Every call needs the cluster's secret, if it has one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use futures_util::future::join_all;
use openraft::BasicNode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use uuid::Uuid;
use vectordb_service::{Answer, Consistency, Fault, Question, ServiceError, SnapshotScope};

use super::client::{SECRET_HEADER, decode, encode};
use super::cut::{Cut, Step};
use super::leader::{Beat, is_leader, known_to_be_agreed};
use super::node::Shared;
use super::parcel::{Offer, Piece};
use super::placement::only_copies;
use super::raft::Types;
use super::replica::Append;
use super::route::{Ask, CONFIRMING, Reply, Write};
use super::state::{CollectionMeta, Command, Outcome, PeerId, ShardRef};
use super::verify::Sum;
use crate::lane::{self, Place};

type Node = Arc<Shared>;

/// Largest message; files have none.
const MESSAGE_BYTES: usize = 1 << 30;

/// Answers other nodes until told to stop.
pub(super) async fn serve(
    listener: impl Listener<Addr: std::fmt::Debug>,
    node: Node,
    secret: Option<String>,
    mut stopped: watch::Receiver<bool>,
) {
    let secret = secret.map(|secret| Sha256::digest(secret.as_bytes()));
    let guard = middleware::from_fn(move |headers: HeaderMap, request: Request<Body>, next: Next| async move {
        let given = headers.get(SECRET_HEADER).map(|given| Sha256::digest(given.as_bytes()));
        let open = match (secret, given) {
            (None, _) => true,
            (Some(secret), Some(given)) => secret.ct_eq(&given).into(),
            (Some(_), None) => false,
        };
        if open { next.run(request).await } else { (StatusCode::FORBIDDEN, "not a node of this cluster").into_response() }
    });
    let router = Router::new()
        .route("/raft/append", post(append_entries))
        .route("/raft/vote", post(vote))
        .route("/raft/snapshot", post(install_snapshot))
        .route("/standing", post(standing))
        .route("/join", post(join))
        .route("/propose", post(propose))
        .route("/beat", post(beat))
        .route("/settled", post(settled))
        .route("/sizes", post(sizes))
        .route("/replica/append", post(append))
        .route("/replica/offer", post(offer))
        .route("/replica/piece", post(piece))
        .route("/replica/install", post(install))
        .route("/shard/files", post(shard_files))
        .route("/shard/cut", post(cut))
        .route("/shard/kept", post(kept))
        .route("/shard/keep", post(keep))
        .route("/shard/sum", post(sum))
        .route("/snapshots/list", post(list_snapshots))
        .route("/snapshots/open", post(open_snapshot))
        .route("/snapshots/delete", post(delete_snapshot))
        .route("/shard/ask", post(ask))
        .route("/shard/write", post(write))
        .layer(guard)
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES))
        // Whoever only looks whether somebody is there needs no secret.
        .route("/healthz", get(|| async { "a peer of a cluster" }))
        .with_state(node);
    let told = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    // What is under way gets a moment; the data is closed after that.
    let serving = axum::serve(listener, router).with_graceful_shutdown(told);
    if let Err(error) = serving.await {
        tracing::error!(%error, "the door for peers closed");
    }
}

fn reply<T: Serialize>(answer: &T) -> Response {
    match encode(answer) {
        Ok(bytes) => bytes.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Why a message is not taken.
type Refused = (StatusCode, String);

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    decode(body).map_err(|error| (StatusCode::BAD_REQUEST, error))
}

/// Does blocking work in its place and answers with what came of it.
async fn working_in<T: Serialize + Send + 'static>(place: Place, work: impl FnOnce() -> Reply<T> + Send + 'static) -> Response {
    match place.work(work).await {
        Some(answer) => reply(&answer),
        None => (StatusCode::INTERNAL_SERVER_ERROR, "the work was cut short").into_response(),
    }
}

/// Does blocking work on which what waits depends, and answers with what came of it.
async fn working<T: Serialize + Send + 'static>(work: impl FnOnce() -> Reply<T> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => reply(&answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn told<T>(result: Result<T, ServiceError>) -> Reply<T> {
    match result {
        Ok(value) => Reply::Done(value),
        Err(error) => Reply::Failed(error),
    }
}

/// A message of the group that is meant for this node, and not for one that was here before.
fn addressed<T: DeserializeOwned>(node: &Node, body: &Bytes) -> Result<T, Refused> {
    let (to, message): (PeerId, T) = read(body)?;
    if to == node.me.peer { Ok(message) } else { Err((StatusCode::CONFLICT, format!("this is not peer {to}"))) }
}

async fn append_entries(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let request: openraft::raft::AppendEntriesRequest<Types> = addressed(&node, &body)?;
    Ok(reply(&node.group.raft.append_entries(request).await))
}

async fn vote(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let request = addressed(&node, &body)?;
    Ok(reply(&node.group.raft.vote(request).await))
}

async fn install_snapshot(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let request: openraft::raft::InstallSnapshotRequest<Types> = addressed(&node, &body)?;
    Ok(reply(&node.group.raft.install_snapshot(request).await))
}

/// What a node says that wants to be let in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Join {
    pub(super) introduction: Command,
    /// Whether it takes the place of the peer at its address, whose data is lost.
    pub(super) replaces: bool,
}

/// Whether this node is part of a cluster.
async fn standing(State(node): State<Node>) -> Response {
    reply(&node.group.raft.is_initialized().await.unwrap_or(false))
}

/// Lets a node in, or hands its wish on to the leader.
async fn join(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let wish: Join = read(&body)?;
    if !is_leader(&node) {
        let answer: Outcome = match node.leader() {
            Some((id, uri)) if id != node.me.peer => {
                let asked = node.client.call(&uri, "/join", &wish, Duration::from_secs(10)).await;
                asked.unwrap_or_else(|error| Err(ServiceError::new(Fault::Unavailable, error.to_string())))
            }
            _ => Err(ServiceError::new(Fault::Unavailable, "there is no leader now")),
        };
        return Ok(reply(&answer));
    }
    Ok(reply(&let_in(&node, wish).await))
}

async fn let_in(node: &Node, wish: Join) -> Outcome {
    let Join { introduction: command, replaces } = wish;
    let Command::AddPeer { id, uri, disk, .. } = &command else { return Err(ServiceError::request("that is no way to join")) };
    let state = node.agreed();
    if let Some(known) = state.peers.get(id).filter(|known| known.disk != *disk) {
        let message = format!("peer {id} is known at {} with other data: remove it first, or let this node choose a number", known.uri);
        return Err(ServiceError::request(message));
    }
    let holds = |id: u64| state.collections.values().flat_map(CollectionMeta::all_shards).any(|shard| shard.replicas.contains(&id));
    if let Some((other, _)) = state.peers.iter().find(|(other, peer)| *other != id && peer.uri == *uri && holds(**other)) {
        let message = format!(
            "{uri} is the address of peer {other}, which has shards, and this node has other data or none: remove that peer first, \
                or set `cluster.replace_lost_peer`"
        );
        // What only the lost disk had, nobody can make good; someone should look before it is given up.
        if !replaces || !only_copies(&state, *other).is_empty() {
            return Err(ServiceError::request(message));
        }
        tracing::warn!(peer = other, by = id, "a peer that lost its data is replaced");
        let (removed, _) = node.propose(Command::RemovePeer { id: *other, force: true }).await?;
        removed?;
    }
    let unavailable = |error: String| ServiceError::new(Fault::Unavailable, error);
    let learner = node.group.raft.add_learner(*id, BasicNode::new(uri), false).await;
    learner.map_err(|error| unavailable(error.to_string()))?;
    let (outcome, _) = node.propose(command).await?;
    outcome
}

async fn propose(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let command: Command = read(&body)?;
    if !is_leader(&node) {
        return Ok(reply(&None::<(Outcome, u64)>));
    }
    let done = node.group.raft.client_write(command).await.ok();
    Ok(reply(&done.map(|done| (done.data.0.unwrap_or(Ok(false)), done.log_id.index))))
}

/// Notes that a node lives, and tells it what is agreed on, if this one leads.
async fn beat(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let beat: Beat = read(&body)?;
    node.beats.lock().note(beat, Instant::now());
    Ok(reply(&known_to_be_agreed(&node)))
}

async fn settled(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    node.reconciled_to(read(&body)?, Duration::from_secs(5)).await;
    Ok(reply(&()))
}

async fn sizes(State(node): State<Node>) -> Response {
    working(move || Reply::Done(node.sizes_here())).await
}

async fn append(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let message: Append = read(&body)?;
    let Some(replica) = node.replica(message.shard) else { return Ok(reply(&Reply::<super::replica::AppendReply>::NotHere)) };
    let work = move || told(replica.append(&message, Instant::now()).map(|reply| reply.by_one_that(node.is_stepping_aside())));
    Ok(working(work).await)
}

/// What a replica here answers.
async fn answered(node: &Node, shard: ShardRef, within: Option<u64>, consistency: Consistency, question: Arc<Question>) -> Reply<Answer> {
    let Some(replica) = node.replica(shard).filter(|_| node.is_in_sync(shard)) else { return Reply::NotHere };
    let latest = Instant::now() + CONFIRMING;
    let deadline = within.map_or(latest, |within| latest.min(Instant::now() + Duration::from_millis(within)));
    let work = move || {
        let confirmed = match consistency {
            Consistency::Usual => Ok(()),
            Consistency::Confirmed(least) => replica.confirm(least as usize, deadline),
        };
        told(confirmed.and_then(|()| replica.ask(&question)))
    };
    let cut_short = || Reply::Failed(ServiceError::internal("the work was cut short"));
    lane::PEERS_READS.place().await.work(work).await.unwrap_or_else(cut_short)
}

/// Answers about each shard by itself.
async fn ask(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let Ask { shards, within, consistency, mut question }: Ask = read(&body)?;
    question.set_deadline(within.map(|within| Instant::now() + Duration::from_millis(within)));
    let question = Arc::new(question);
    let answers = shards.into_iter().map(|shard| answered(&node, shard, within, consistency, Arc::clone(&question)));
    Ok(reply(&join_all(answers).await))
}

async fn write(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let Write { shard, within, change } = read(&body)?;
    let within = Duration::from_millis(within);
    let deadline = Instant::now() + within;
    let Ok(place) = tokio::time::timeout(within, lane::PEERS_WRITES.place()).await else {
        return Ok(reply(&Reply::<(u64, u64)>::NotHere));
    };
    let work = move || match node.write_here(shard, change, deadline) {
        None => Reply::NotHere,
        Some(result) => told(result.map(|done| (done.lsn.0, done.points))),
    };
    Ok(working_in(place, work).await)
}

/// Says how much of the files of a shard is here that another node brings.
async fn offer(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let offer: Offer = read(&body)?;
    Ok(working(move || node.offered(offer)).await)
}

async fn piece(State(node): State<Node>, Query(piece): Query<Piece>, body: Bytes) -> Response {
    working(move || node.arrives(piece, &body)).await
}

async fn install(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let (shard, epoch, parcel): (ShardRef, u64, Uuid) = read(&body)?;
    Ok(working(move || node.install(shard, epoch, parcel)).await)
}

/// Gives the files of a shard away.
async fn shard_files(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let shard: ShardRef = read(&body)?;
    let replica = node.replica(shard).filter(|replica| node.is_in_sync(shard) && replica.readable().is_some());
    let Some(replica) = replica else { return Err((StatusCode::CONFLICT, "no replica here that is in sync".to_owned())) };
    let files = node.files_of(replica).await;
    files.map(Body::into_response).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Takes part in a cut through the shards of a collection.
async fn cut(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let (cut, step): (Cut, Step) = read(&body)?;
    Ok(working(move || node.step_here(cut, step).map_or(Reply::NotHere, told)).await)
}

/// Keeps the files of a shard, so that they are added up afterwards.
async fn keep(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let cut: Cut = read(&body)?;
    Ok(working(move || node.keep_here(cut)).await)
}

async fn sum(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let sum: Sum = read(&body)?;
    Ok(working(move || node.sum_here(sum)).await)
}

/// Gives the files of a shard away that were kept for a cut.
async fn kept(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    match node.kept_files(read(&body)?).await {
        Ok(Some(files)) => Ok(files.into_response()),
        Ok(None) => Err((StatusCode::CONFLICT, "these files are not kept".to_owned())),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn service(node: &Node) -> Result<Arc<vectordb_service::Service>, Refused> {
    node.service().ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, "the node is stopping".to_owned()))
}

async fn list_snapshots(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let scope: SnapshotScope = read(&body)?;
    let service = service(&node)?;
    let listed = tokio::task::spawn_blocking(move || service.snapshots_here(&scope)).await;
    let listed = listed.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(reply(&listed.unwrap_or_default()))
}

async fn open_snapshot(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let (scope, name): (SnapshotScope, String) = read(&body)?;
    let service = service(&node)?;
    let opened = tokio::task::spawn_blocking(move || service.open_snapshot_here(&scope, &name)).await;
    let opened = opened.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let opened = opened.map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(Body::from_stream(tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(opened.file))).into_response())
}

async fn delete_snapshot(State(node): State<Node>, body: Bytes) -> Result<Response, Refused> {
    let (scope, name): (SnapshotScope, String) = read(&body)?;
    let service = service(&node)?;
    Ok(working(move || told(service.delete_snapshot_here(&scope, &name))).await)
}
