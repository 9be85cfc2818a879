//! The way to the other members.

use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Types;
use crate::cluster::client::{PeerClient, PeerError};
use crate::cluster::state::PeerId;

/// Makes connections.
#[derive(Debug, Clone)]
pub(crate) struct Network(PeerClient);

impl Network {
    pub(crate) fn new(client: PeerClient) -> Self {
        Self(client)
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: PeerId, node: &BasicNode) -> Connection {
        Connection { client: self.0.clone(), target, uri: node.addr.clone() }
    }
}

/// The way to one member.
#[derive(Debug)]
pub(crate) struct Connection {
    client: PeerClient,
    target: PeerId,
    uri: String,
}

impl Connection {
    async fn call<Q: Serialize, A: DeserializeOwned, E: DeserializeOwned + std::error::Error>(
        &self,
        path: &str,
        request: &Q,
        option: &RPCOption,
    ) -> Result<A, RPCError<PeerId, BasicNode, RaftError<PeerId, E>>> {
        // With its name on it: at the address of a member that is gone there may be another by now.
        let addressed = (self.target, request);
        let answer: Result<Result<A, RaftError<PeerId, E>>, PeerError> =
            self.client.call(&self.uri, path, &addressed, option.hard_ttl()).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RPCError::RemoteError(RemoteError::new(self.target, error))),
            Err(error @ PeerError::Unreachable(_)) => Err(RPCError::Unreachable(Unreachable::new(&error))),
            Err(error) => Err(RPCError::Network(NetworkError::new(&error))),
        }
    }
}

impl RaftNetwork<Types> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<PeerId>, RPCError<PeerId, BasicNode, RaftError<PeerId>>> {
        self.call("/raft/append", &request, &option).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<PeerId>, RPCError<PeerId, BasicNode, RaftError<PeerId, InstallSnapshotError>>> {
        self.call("/raft/snapshot", &request, &option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<PeerId>,
        option: RPCOption,
    ) -> Result<VoteResponse<PeerId>, RPCError<PeerId, BasicNode, RaftError<PeerId>>> {
        self.call("/raft/vote", &request, &option).await
    }
}
