//! The state on disk: read at the start, written now and then, and at the end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use event_listener::Event;
use futures_lite::future::{or, yield_now};
use ioloop::{IoLoop, sleep};

use crate::app::App;
use crate::state;
use crate::tracker::Tracker;

/// Reads a state, if there is one. What is damaged is left out, and said.
///
/// # Errors
/// The file is there but cannot be read: going on would overwrite it.
pub(crate) fn load(path: &Path, tracker: &mut Tracker) -> io::Result<()> {
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let what = format!("{}: {error}", path.display());
            return Err(io::Error::new(error.kind(), what));
        }
    };
    if let Err(damage) = state::restore(&file, tracker, 0) {
        let swarms = tracker.swarm_count();
        tracing::warn!(swarms, "{} is damaged: {damage}", path.display());
    }
    Ok(())
}

/// Saves after each `pause` until `stop`, and then once more.
pub(crate) async fn keep(app: Rc<App>, path: PathBuf, pause: Duration, stop: Rc<Event>) {
    // From the beginning, so that a stop while it saves is not missed.
    let mut stopped = stop.listen();
    loop {
        let pause = async {
            sleep(pause).await;
            false
        };
        let stopped = async {
            (&mut stopped).await;
            true
        };
        let is_last = or(stopped, pause).await;
        save(&app, &path).await;
        if is_last {
            return;
        }
    }
}

async fn save(app: &App, path: &Path) {
    let contents = contents(app).await;
    let target = path.to_owned();
    let written = IoLoop::current().run_blocking(move || replace(&target, &contents));
    if let Err(error) = written.await {
        tracing::error!(%error, "cannot save the state in {}", path.display());
    }
}

/// Written down a few swarms at a time, with turns for others between. The last swarm first: one
/// that is moved into the gap of another is then there already, twice at worst.
async fn contents(app: &App) -> Vec<u8> {
    let mut contents = Vec::new();
    state::begin(&mut contents);
    let mut place = app.tracker.borrow().swarm_count();
    while place > 0 {
        place = append(app, &mut contents, place);
        yield_now().await;
    }
    contents
}

/// Returns what is left.
fn append(app: &App, contents: &mut Vec<u8>, mut place: usize) -> usize {
    let tracker = app.tracker.borrow();
    let now = app.now();
    let enough = contents.len() + BYTES_PER_TURN;
    while place > 0 && contents.len() < enough {
        place -= 1;
        if let Some((info_hash, swarm)) = tracker.swarm_at(place) {
            state::append(contents, info_hash, swarm, now);
        }
    }
    place
}

/// There is always a whole file, the old one or the new one. Blocks.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(contents)?;
    // Or the name might be there before the bytes, if the machine stops.
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Some 100 microseconds of work.
const BYTES_PER_TURN: usize = 256 << 10;
