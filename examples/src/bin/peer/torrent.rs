//! A torrent's life: its files are checked, it is downloaded, it is seeded, it ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use examples::info_hash::InfoHash;
use examples::metainfo;
use futures_lite::future::{or, pending, zip};
use ioloop::{IoLoop, sleep};
use tcpserver::BoxError;

use crate::announcer::Announcer;
use crate::bitfield::Bitfield;
use crate::layout::{Layout, PIECE_LENGTH_MAX};
use crate::session::Session;
use crate::storage::Storage;
use crate::swarm::Swarm;

/// One of those that were named on the command line.
pub(crate) struct Torrent {
    pub(crate) name: String,
    info_hash: InfoHash,
    pub(crate) layout: Layout,
    storage: Arc<Storage>,
    trackers: Vec<String>,
    phase: RefCell<Phase>,
    announcer: RefCell<Option<Rc<Announcer>>>,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// So many pieces on disk have been looked at.
    Checking(u32),
    Running(Rc<Swarm>),
    Failed(String),
}

/// What the command line says of every torrent.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) announces: bool,
    /// Peers to connect to.
    pub(crate) connect: Vec<SocketAddr>,
    /// How long to go on when everything is here; for ever if none.
    pub(crate) seed_time: Option<Duration>,
}

impl Torrent {
    /// Reads a torrent file. It blocks: the loop does not run yet.
    pub(crate) fn open(file: &Path, folder: &Path) -> Result<Torrent, BoxError> {
        let (_, metainfo) = metainfo::read(file)?;
        let layout = Layout::new(metainfo.length, metainfo.piece_length.into());
        let layout = layout.ok_or_else(|| {
            let file = file.display();
            format!("{file}: no bytes, too many pieces, or pieces of more than {PIECE_LENGTH_MAX}")
        })?;
        Ok(Torrent {
            name: metainfo.name.display().to_string(),
            info_hash: metainfo.info_hash,
            layout,
            storage: Arc::new(Storage::open(&metainfo, layout, folder)?),
            trackers: metainfo.trackers.concat(),
            phase: RefCell::new(Phase::Checking(0)),
            announcer: RefCell::default(),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    fn set(&self, phase: Phase) {
        let before = self.phase.replace(phase);
        // Behind the borrow: the last of a swarm may go here.
        drop(before);
    }

    /// Ends when it was seeded for long enough, or failed.
    pub(crate) async fn run(
        self: Rc<Self>,
        session: Rc<Session>,
        plan: Rc<Plan>,
    ) -> Result<(), BoxError> {
        let result = self.live(&session, &plan).await;
        if let Err(error) = &result {
            tracing::error!("{}: {error}", self.name);
            self.set(Phase::Failed(error.to_string()));
        }
        result
    }

    /// Tells the trackers that we leave.
    pub(crate) async fn leave(&self) {
        let announcer = self.announcer.take();
        if let Some(announcer) = announcer {
            announcer.leave().await;
        }
    }

    async fn live(&self, session: &Rc<Session>, plan: &Plan) -> Result<(), BoxError> {
        let have = self.check().await?;
        let swarm = Swarm::new(
            Rc::clone(session),
            self.info_hash,
            Arc::clone(&self.storage),
            self.layout,
            have,
        );
        self.set(Phase::Running(Rc::clone(&swarm)));
        session.add(&swarm);
        swarm.add_candidates(plan.connect.iter().copied(), true);
        let announcer = (plan.announces && !self.trackers.is_empty())
            .then(|| Rc::new(Announcer::new(Rc::clone(&swarm), self.trackers.clone())));
        self.announcer.replace(announcer.clone());
        let announcing = async {
            match &announcer {
                Some(announcer) => announcer.run().await,
                None => pending().await,
            }
        };
        let rounds = zip(
            Rc::clone(&swarm).run_rounds(),
            Rc::clone(&swarm).run_dialling(),
        );
        let work = zip(rounds, announcing);
        let download = async {
            let was_complete = swarm.is_complete();
            swarm.completed().await;
            if let Some(announcer) = announcer.as_ref().filter(|_| !was_complete) {
                announcer.completed();
            }
            match plan.seed_time {
                Some(time) => sleep(time).await,
                None => pending().await,
            }
            Ok(())
        };
        let working = async {
            work.await;
            Ok(())
        };
        let failing = async { Err(swarm.failed().await.into()) };
        let result = or(failing, or(download, working)).await;
        session.remove(&swarm);
        swarm.part_from(|_| true);
        result
    }

    /// Finds out what is on disk already. Several pieces at a time: reading and hashing are work
    /// for a disk and a processor each.
    async fn check(&self) -> Result<Bitfield, BoxError> {
        let io_loop = IoLoop::current();
        let storage = Arc::clone(&self.storage);
        io_loop
            .run_blocking(move || storage.make_empty_files())
            .await?;
        let have = RefCell::new(Bitfield::new(self.layout.pieces()));
        let next = Cell::new(0);
        let some = || async {
            while next.get() < self.layout.pieces() {
                let piece = next.replace(next.get() + 1);
                let storage = Arc::clone(&self.storage);
                if io_loop.run_blocking(move || storage.is_right(piece)).await {
                    have.borrow_mut().add(piece);
                }
                self.set(Phase::Checking(piece + 1));
            }
        };
        zip(zip(some(), some()), zip(some(), some())).await;
        Ok(have.into_inner())
    }
}
