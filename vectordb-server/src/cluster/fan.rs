//! One question to several shards: a message for each node, and not for each shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use vectordb_service::{Answer, Fault, Question, ServiceError, on_each};

use super::client::{PeerError, encode};
use super::node::Shared;
use super::route::{Ask, PATIENCE, Reply, Route, SLOW};
use super::state::PeerId;

/// Asks several shards the same: those that are here, and each other node about all that it has in one message. Who does not answer,
/// or not well, is asked about each of its shards by itself, behind those that have them too.
pub(super) fn ask(node: &Arc<Shared>, routes: &[&Route], question: &Question) -> Vec<Result<Answer, ServiceError>> {
    let began = Instant::now();
    let given_up = question.deadline().or_else(|| routes.first()?.deadline);
    let deadline = given_up.unwrap_or(began + PATIENCE);
    let (mut here, mut there) = (Vec::new(), BTreeMap::<PeerId, (String, Vec<usize>)>::new());
    let mut asked: Vec<Option<PeerId>> = vec![None; routes.len()];
    let mut patience = deadline.saturating_duration_since(began).min(PATIENCE);
    for (at, route) in routes.iter().enumerate() {
        if route.replica_here(node).is_some() {
            here.push(at);
            continue;
        }
        let readers = node.readers(route.shard, route.consistency);
        if readers.len() > 1 {
            patience = patience.min(SLOW);
        }
        if let Some((peer, uri)) = readers.into_iter().next() {
            asked[at] = Some(peer);
            there.entry(peer).or_insert((uri, Vec::new())).1.push(at);
        }
    }
    let within = given_up.map(|deadline| deadline.saturating_duration_since(began).as_millis().try_into().unwrap_or(u64::MAX));
    let messages = there.into_values().map(|(uri, places)| {
        let shards = places.iter().map(|&at| routes[at].shard).collect();
        let message = encode(&Ask { shards, within, consistency: routes[places[0]].consistency, question });
        let calling = Arc::clone(node);
        node.spawn(async move {
            let body = message.map_err(PeerError::Unreachable);
            let answered = match body {
                Ok(body) => calling.client.send::<Vec<Reply<Answer>>>(&uri, "/shard/ask", body, patience).await,
                Err(error) => Err(error),
            };
            (places, answered)
        })
    });
    // Others begin before this node does, which may have to be sure first that it is the primary.
    let messages: Vec<_> = messages.collect();
    let mut answers: Vec<Option<Result<Answer, ServiceError>>> = routes.iter().map(|_| None).collect();
    let answer_here = |at: usize| routes[at].data_here(node, deadline).ok().flatten().map(|data| question.answer(&data));
    for (at, answer) in on_each(here, |at| (at, answer_here(at))) {
        answers[at] = answer;
    }
    for message in messages {
        // What did not come back is asked for again below.
        let Ok((places, Ok(replies))) = node.wait_for(message) else { continue };
        for (at, reply) in places.into_iter().zip(replies) {
            answers[at] = match reply {
                Reply::Done(answer) => Some(Ok(answer)),
                Reply::Failed(error) if error.fault != Fault::Unavailable => Some(Err(error)),
                Reply::Failed(_) | Reply::NotHere => None,
            };
        }
    }
    let left: Vec<usize> = (0..routes.len()).filter(|&at| answers[at].is_none()).collect();
    for (at, answer) in on_each(left, |at| (at, routes[at].ask_but(question, asked[at]))) {
        answers[at] = Some(answer);
    }
    answers.into_iter().flatten().collect()
}
