//! Files of a shard on their way to a replica that lacks more than the log holds.
//!
//! They travel piece by piece, as one long row of bytes. Whoever takes them says how far they have come, so what is cut off goes on where
//! it was, also in another epoch of the same primary. Nothing is packed: they are links to files that never change on one side, and lie
//! where the replica takes them over on the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectordb_service::{Fault, ServiceError, ShardId};

use super::client::PeerError;
use super::files::{Scratch, TIMEOUT};
use super::node::Shared;
use super::replica::{Replica, Standing};
use super::route::Reply;
use super::state::{PeerId, ShardRef};

/// Bytes of a piece.
const PIECE: usize = 4 << 20;
/// How long a piece may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long is kept what nobody goes on with.
const KEPT: Duration = Duration::from_secs(600);

/// A file of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// Below the directory of the parcel.
    path: PathBuf,
    bytes: u64,
}

/// What there is to take.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    shard: ShardRef,
    epoch: u64,
    parcel: Uuid,
    files: Vec<Listed>,
}

/// Which piece of what is sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Piece {
    uid: u64,
    shard: u32,
    epoch: u64,
    parcel: Uuid,
    at: u64,
}

impl Piece {
    pub(super) fn shard(&self) -> ShardRef {
        ShardRef { uid: self.uid, shard: ShardId(self.shard) }
    }
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Parcel {
    name: Uuid,
    /// Of the primary; what it has in another one may be something else.
    reign: u64,
    scratch: Scratch,
    files: Vec<Listed>,
    used: Mutex<Instant>,
}

impl Parcel {
    fn of(root: &Path, replica: &Replica, reign: u64) -> Result<Self, ServiceError> {
        let failed = |error: io::Error| ServiceError::internal(error.to_string());
        let scratch = Scratch::new(root).map_err(failed)?;
        replica.snapshot(&scratch.path())?;
        let mut files = Vec::new();
        list(&scratch.path(), Path::new(""), &mut files).map_err(failed)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { name: Uuid::new_v4(), reign, scratch, files, used: Mutex::new(Instant::now()) })
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What follows on so many bytes, at most a piece.
    fn piece(&self, mut at: u64) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        for file in &self.files {
            if at >= file.bytes {
                at -= file.bytes;
                continue;
            }
            let wanted = (file.bytes - at).min((PIECE - piece.len()) as u64);
            let mut open = File::open(self.scratch.path().join(&file.path))?;
            open.seek(SeekFrom::Start(at))?;
            let read = open.take(wanted).read_to_end(&mut piece)?;
            if read as u64 != wanted {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} is shorter than it was", file.path.display())));
            }
            at = 0;
            if piece.len() == PIECE {
                break;
            }
        }
        Ok(piece)
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<Listed>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let meta = entry.metadata()?;
        if meta.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(Listed { path, bytes: meta.len() });
        }
    }
    Ok(())
}

/// What has come of a parcel.
#[derive(Debug)]
pub(super) struct Arriving {
    parcel: Uuid,
    epoch: u64,
    /// Of the replica when it was offered last.
    standing: Standing,
    scratch: Scratch,
    files: Vec<Listed>,
    /// Files that are whole, and bytes of the next one.
    whole: usize,
    of_next: u64,
    open: Option<File>,
    moved: Instant,
}

impl Arriving {
    fn new(root: &Path, offer: Offer, standing: Standing) -> io::Result<Self> {
        let is_plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if let Some(file) = offer.files.iter().find(|file| !is_plain(&file.path) || file.path.as_os_str().is_empty()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is no plain file", file.path.display())));
        }
        let Offer { parcel, epoch, files, .. } = offer;
        let scratch = Scratch::new(root)?;
        std::fs::create_dir_all(scratch.path())?;
        let mut new = Self { parcel, epoch, standing, scratch, files, whole: 0, of_next: 0, open: None, moved: Instant::now() };
        new.finish_files()?;
        Ok(new)
    }

    fn has(&self) -> u64 {
        self.files[..self.whole].iter().map(|file| file.bytes).sum::<u64>() + self.of_next
    }

    fn is_whole(&self) -> bool {
        self.whole == self.files.len()
    }

    /// Takes a piece, if it is the next one; how far it is then. What fails half way is taken once more.
    fn take(&mut self, at: u64, mut piece: &[u8]) -> io::Result<u64> {
        self.moved = Instant::now();
        if at != self.has() {
            return Ok(self.has());
        }
        while !piece.is_empty() && !self.is_whole() {
            let missing = self.files[self.whole].bytes - self.of_next;
            let (now, rest) = piece.split_at(usize::try_from(missing).unwrap_or(usize::MAX).min(piece.len()));
            let of_next = self.of_next;
            let file = self.next_file()?;
            file.seek(SeekFrom::Start(of_next))?;
            file.write_all(now)?;
            self.of_next += now.len() as u64;
            piece = rest;
            self.finish_files()?;
        }
        Ok(self.has())
    }

    fn next_file(&mut self) -> io::Result<&mut File> {
        let file = match self.open.take() {
            Some(file) => file,
            None => {
                let place = self.scratch.path().join(&self.files[self.whole].path);
                std::fs::create_dir_all(place.parent().unwrap_or(&place))?;
                File::create(place)?
            }
        };
        Ok(self.open.insert(file))
    }

    /// Goes on to the next file that lacks something.
    fn finish_files(&mut self) -> io::Result<()> {
        while self.files.get(self.whole).is_some_and(|file| file.bytes == self.of_next) {
            // They become the replica's own by links.
            self.next_file()?.sync_all()?;
            self.open = None;
            self.whole += 1;
            self.of_next = 0;
        }
        Ok(())
    }
}

/// Parcels that a node sends and takes.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    sent: Mutex<BTreeMap<(ShardRef, PeerId), Arc<Parcel>>>,
    arriving: Mutex<BTreeMap<ShardRef, Arc<Mutex<Arriving>>>>,
}

impl Parcels {
    /// Gives up what nobody goes on with.
    pub(super) fn forget_old(&self) {
        self.sent.lock().retain(|_, parcel| parcel.used.lock().elapsed() < KEPT);
        // What is in somebody's hands is no old one.
        self.arriving.lock().retain(|_, arriving| arriving.try_lock().is_none_or(|arriving| arriving.moved.elapsed() < KEPT));
    }

    fn known(&self, shard: ShardRef, peer: PeerId, reign: u64) -> Option<Arc<Parcel>> {
        self.sent.lock().get(&(shard, peer)).filter(|parcel| parcel.reign == reign).cloned()
    }

    /// What arrives of a parcel, which has to be the one that was offered last.
    fn arriving(&self, shard: ShardRef, parcel: Uuid) -> Result<Arc<Mutex<Arriving>>, ServiceError> {
        let found = self.arriving.lock().get(&shard).cloned();
        let found = found.filter(|arriving| arriving.lock().parcel == parcel);
        found.ok_or_else(|| ServiceError::new(Fault::Unavailable, "nobody offered these files"))
    }
}

impl Shared {
    /// Sends the files of a shard, from where they were cut off if they were on their way already.
    pub(super) async fn send_files(&self, replica: &Arc<Replica>, peer: PeerId, uri: &str, epoch: u64) -> Result<(), ServiceError> {
        let over = || ServiceError::new(Fault::Unavailable, "this node is not the primary any more");
        let parcel = self.parcel(replica, peer).await?.ok_or_else(over)?;
        let shard = replica.shard;
        let offer = Offer { shard, epoch, parcel: parcel.name, files: parcel.files.clone() };
        let offered: Result<Reply<u64>, PeerError> = self.client.call(uri, "/replica/offer", &offer, PATIENCE).await;
        let (mut at, whole) = (settled(offered)?, parcel.bytes());
        if at > 0 {
            tracing::info!(%shard, peer, at, whole, "files of a shard go on where they were cut off");
        }
        while at < whole {
            if self.is_stopping() || replica.acting_epoch() != Some(epoch) {
                return Err(over());
            }
            *parcel.used.lock() = Instant::now();
            let source = Arc::clone(&parcel);
            let read = tokio::task::spawn_blocking(move || source.piece(at)).await;
            let piece = read.map_err(io::Error::other).flatten().map_err(|error| ServiceError::internal(error.to_string()))?;
            self.transfers.pass(piece.len()).await;
            let path = format!("/replica/piece?uid={}&shard={}&epoch={epoch}&parcel={}&at={at}", shard.uid, shard.shard, parcel.name);
            let sent: Result<Reply<u64>, PeerError> = self.client.send(uri, &path, piece, PATIENCE).await;
            let before = std::mem::replace(&mut at, settled(sent)?);
            if at == before {
                return Err(ServiceError::internal("the peer has as much of the files as before"));
            }
        }
        let installed: Result<Reply<()>, PeerError> =
            self.client.call(uri, "/replica/install", &(shard, epoch, parcel.name), TIMEOUT).await;
        // The next epoch may go on with it.
        if installed.is_ok() && replica.acting_epoch() == Some(epoch) {
            self.parcels.sent.lock().remove(&(shard, peer));
        }
        settled(installed)
    }

    /// What is on its way to a peer, or is to be; nothing when this is not the primary.
    async fn parcel(&self, replica: &Arc<Replica>, peer: PeerId) -> Result<Option<Arc<Parcel>>, ServiceError> {
        let Some(reign) = replica.reign() else { return Ok(None) };
        if let Some(known) = self.parcels.known(replica.shard, peer, reign) {
            return Ok(Some(known));
        }
        let (root, source) = (self.scratch_path.clone(), Arc::clone(replica));
        let made = tokio::task::spawn_blocking(move || Parcel::of(&root, &source, reign)).await;
        let made = Arc::new(made.map_err(|error| ServiceError::internal(error.to_string()))??);
        self.parcels.sent.lock().insert((replica.shard, peer), Arc::clone(&made));
        Ok(Some(made))
    }

    /// Says how much of a parcel is here.
    pub(super) fn offered(&self, offer: Offer) -> Reply<u64> {
        let Some(replica) = self.replica(offer.shard) else { return Reply::NotHere };
        let (shard, standing) = (offer.shard, replica.standing());
        let mut all = self.parcels.arriving.lock();
        if let Some(known) = all.get(&shard) {
            let Some(mut known) = known.try_lock() else {
                return Reply::Failed(ServiceError::new(Fault::Unavailable, "a piece of them is being taken"));
            };
            if offer.epoch < known.epoch {
                return Reply::Failed(ServiceError::new(Fault::Unavailable, "files of a later epoch are on their way"));
            }
            if known.parcel == offer.parcel && known.files == offer.files {
                (known.epoch, known.standing) = (offer.epoch, standing);
                return Reply::Done(known.has());
            }
        }
        match Arriving::new(&self.scratch_path, offer, standing) {
            Ok(new) => {
                let has = new.has();
                all.insert(shard, Arc::new(Mutex::new(new)));
                Reply::Done(has)
            }
            Err(error) => Reply::Failed(ServiceError::internal(format!("the files cannot be taken: {error}"))),
        }
    }

    /// Takes a piece, and says how much is here then.
    pub(super) fn arrives(&self, piece: Piece, bytes: &[u8]) -> Reply<u64> {
        let taken = self.parcels.arriving(piece.shard(), piece.parcel).and_then(|arriving| {
            let taken = arriving.lock().take(piece.at, bytes);
            taken.map_err(|error| ServiceError::internal(format!("the files did not come: {error}")))
        });
        taken.map_or_else(Reply::Failed, Reply::Done)
    }

    /// Puts a parcel that is whole in the place of a replica's data.
    pub(super) fn install(&self, shard: ShardRef, epoch: u64, parcel: Uuid) -> Reply<()> {
        let Some(replica) = self.replica(shard) else { return Reply::NotHere };
        let arriving = match self.parcels.arriving(shard, parcel) {
            Ok(arriving) => arriving,
            Err(error) => return Reply::Failed(error),
        };
        let installed = {
            let arriving = arriving.lock();
            if arriving.epoch != epoch {
                return Reply::Failed(ServiceError::new(Fault::Unavailable, "the files come in another epoch by now"));
            }
            let whole = if arriving.is_whole() { Ok(()) } else { Err(ServiceError::internal("some of the files did not come")) };
            whole.and_then(|()| replica.install(epoch, &arriving.scratch.path(), arriving.standing))
        };
        // Whatever came of it, it would not be otherwise the next time.
        self.parcels.arriving.lock().retain(|of, arriving| *of != shard || arriving.lock().parcel != parcel);
        installed.map_or_else(Reply::Failed, Reply::Done)
    }
}

fn settled<T>(reply: Result<Reply<T>, PeerError>) -> Result<T, ServiceError> {
    match reply {
        Ok(Reply::Done(done)) => Ok(done),
        Ok(Reply::Failed(error)) => Err(error),
        Ok(Reply::NotHere) => Err(ServiceError::internal("the peer has no such replica")),
        Err(error) => Err(ServiceError::internal(error.to_string())),
    }
}

/// Lets so many bytes pass in a second, of all transfers of a node together.
#[derive(Debug)]
pub(super) struct Throttle {
    /// All that come, if there are none.
    bytes_per_sec: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_sec: u64) -> Self {
        Self { bytes_per_sec, free_at: Mutex::new(None) }
    }

    /// Returns when so many bytes may pass.
    async fn pass(&self, bytes: usize) {
        let wait = self.wait(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes the next free time for so many bytes; how long it is until then.
    fn wait(&self, bytes: usize, now: Instant) -> Duration {
        if self.bytes_per_sec == 0 {
            return Duration::ZERO;
        }
        let mut free_at = self.free_at.lock();
        let begins = free_at.map_or(now, |at| at.max(now));
        *free_at = Some(begins + Duration::from_secs_f64(bytes as f64 / self.bytes_per_sec as f64));
        begins.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(root: &Path, files: &[(&str, usize)]) -> Parcel {
        let scratch = Scratch::new(root).expect("a directory");
        for (number, (path, bytes)) in files.iter().enumerate() {
            let path = scratch.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
            let content: Vec<u8> = (0..*bytes).map(|at| (at * 7 + number) as u8).collect();
            std::fs::write(path, content).expect("a file");
        }
        std::fs::create_dir_all(scratch.path()).expect("a directory");
        let mut listed = Vec::new();
        list(&scratch.path(), Path::new(""), &mut listed).expect("files");
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Parcel { name: Uuid::new_v4(), reign: 1, scratch, files: listed, used: Mutex::new(Instant::now()) }
    }

    fn offer(files: Vec<Listed>) -> Offer {
        Offer { shard: ShardRef { uid: 1, shard: ShardId(0) }, epoch: 1, parcel: Uuid::new_v4(), files }
    }

    #[test]
    fn what_is_cut_off_goes_on_where_it_was() {
        let root = tempfile::tempdir().expect("a directory");
        let parcel = parcel(root.path(), &[("a/one", 5 << 20), ("a/none", 0), ("b", 3), ("c/d/e", 9 << 20), ("z", 0)]);
        let mut arriving = Arriving::new(root.path(), offer(parcel.files.clone()), Standing::default()).expect("plain files");
        let mut at = arriving.has();
        while at < parcel.bytes() {
            let piece = parcel.piece(at).expect("it is read");
            // A part of it comes, then what has come before, then the rest.
            let half = piece.len() / 2;
            assert_eq!(arriving.take(at, &piece[..half]).expect("it is written"), at + half as u64);
            assert_eq!(arriving.take(at, &piece).expect("it is left alone"), at + half as u64);
            at = arriving.take(at + half as u64, &piece[half..]).expect("it is written");
        }
        assert!(arriving.is_whole());
        assert_eq!(at, (14 << 20) + 3);
        for file in &parcel.files {
            let read = |root: PathBuf| std::fs::read(root.join(&file.path)).expect("a file");
            assert!(read(parcel.scratch.path()) == read(arriving.scratch.path()), "{}", file.path.display());
        }
        assert_eq!(arriving.take(at, b"more").expect("nothing is written"), at);
    }

    #[test]
    fn nothing_is_a_whole_parcel_and_paths_lead_nowhere_else() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(Arriving::new(root.path(), offer(Vec::new()), Standing::default()).expect("no files").is_whole());
        for path in ["../out", "/etc/passwd", "a/../../b", "./a", ""] {
            let files = vec![Listed { path: path.into(), bytes: 1 }];
            assert!(Arriving::new(root.path(), offer(files), Standing::default()).is_err(), "{path}");
        }
    }

    #[test]
    fn all_transfers_together_are_no_faster_than_is_said() {
        let (throttle, now) = (Throttle::new(1000), Instant::now());
        let waits: Vec<u128> = [500, 250, 1000, 1].into_iter().map(|bytes| throttle.wait(bytes, now).as_millis()).collect();
        assert_eq!(waits, [0, 500, 750, 1750]);
        assert_eq!(throttle.wait(100, now + Duration::from_secs(9)), Duration::ZERO, "what was not used is not made up for");
        assert_eq!(Throttle::new(0).wait(usize::MAX, now), Duration::ZERO);
    }
}
