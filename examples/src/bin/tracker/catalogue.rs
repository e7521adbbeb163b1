//! Which torrents are allowed, and what is known of them: a list of hashes, a folder of torrents.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use examples::info_hash::InfoHash;
use examples::metainfo::Metainfo;

/// Without a list and a folder, every torrent is allowed.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    listed: Option<HashMap<InfoHash, Listed>>,
}

/// What is known of a torrent on the list: nothing, or what its file says.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) file: Option<PathBuf>,
}

impl Catalogue {
    /// Reads both; what is wrong with a line or a torrent is logged, and costs only that one.
    ///
    /// Blocks. An error means that the list or the folder itself cannot be read.
    pub(crate) fn load(sources: &Sources) -> io::Result<Catalogue> {
        if sources.allow_file.is_none() && sources.folder.is_none() {
            return Ok(Catalogue::default());
        }
        let mut listed = HashMap::new();
        if let Some(path) = &sources.allow_file {
            let list = fs::read_to_string(path).map_err(|error| about(path, error))?;
            read_list(&list, path, &mut listed);
        }
        if let Some(path) = &sources.folder {
            read_folder(path, &mut listed).map_err(|error| about(path, error))?;
        }
        Ok(Catalogue {
            listed: Some(listed),
        })
    }

    pub(crate) fn allows(&self, info_hash: &InfoHash) -> bool {
        let listed = self.listed.as_ref();
        listed.is_none_or(|listed| listed.contains_key(info_hash))
    }

    /// Whether it is allowed by name, and not because everything is.
    pub(crate) fn lists(&self, info_hash: &InfoHash) -> bool {
        self.get(info_hash).is_some()
    }

    pub(crate) fn get(&self, info_hash: &InfoHash) -> Option<&Listed> {
        self.listed.as_ref()?.get(info_hash)
    }

    /// How many torrents are allowed, if not all.
    pub(crate) fn len(&self) -> Option<usize> {
        self.listed.as_ref().map(HashMap::len)
    }
}

/// Where a catalogue is read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// A hash in hexadecimal on each line; lines that are empty or begin with `#` say nothing.
    pub(crate) allow_file: Option<PathBuf>,
    /// With files that end in `.torrent`.
    pub(crate) folder: Option<PathBuf>,
}

/// The contents of a torrent's file, if it still is the one with this hash. Blocks.
pub(crate) fn torrent(path: &Path, info_hash: &InfoHash) -> Option<Vec<u8>> {
    let (contents, metainfo) = read_torrent(path).ok()?;
    (metainfo.info_hash == *info_hash).then_some(contents)
}

fn read_list(list: &str, path: &Path, listed: &mut HashMap<InfoHash, Listed>) {
    for (line, text) in list.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match text.parse() {
            Ok(info_hash) => {
                listed.insert(info_hash, Listed::default());
            }
            Err(error) => {
                tracing::warn!("{}, line {}: {error}", path.display(), line + 1);
            }
        }
    }
}

fn read_folder(path: &Path, listed: &mut HashMap<InfoHash, Listed>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file
            .extension()
            .is_none_or(|extension| extension != "torrent")
        {
            continue;
        }
        match read_torrent(&file) {
            Ok((_, metainfo)) => {
                let name = metainfo.name.to_string_lossy().into_owned();
                let torrent = Listed {
                    name,
                    file: Some(file),
                };
                listed.insert(metainfo.info_hash, torrent);
            }
            Err(error) => tracing::warn!("{}: {error}", file.display()),
        }
    }
    Ok(())
}

fn read_torrent(path: &Path) -> io::Result<(Vec<u8>, Metainfo)> {
    let mut contents = Vec::new();
    let file = File::open(path)?;
    file.take(TORRENT_MAX + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > TORRENT_MAX {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    let metainfo = Metainfo::parse(&contents).map_err(io::Error::other)?;
    Ok((contents, metainfo))
}

fn about(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Room for 800,000 pieces; clients take no more than about as much.
const TORRENT_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> InfoHash {
        InfoHash([byte; 20])
    }

    #[test]
    fn without_a_list_everything_is_allowed_and_nothing_is_listed() {
        let catalogue = Catalogue::load(&Sources::default()).unwrap();
        assert!(catalogue.allows(&hash(1)) && !catalogue.lists(&hash(1)));
        assert_eq!(catalogue.len(), None);
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        let mut listed = HashMap::new();
        let list = format!("# mine\n\n {}\r\nnonsense\n{}", hash(0xab), "CD".repeat(20));
        read_list(&list, Path::new("list"), &mut listed);
        let mut hashes: Vec<_> = listed.keys().copied().collect();
        hashes.sort_unstable();
        assert_eq!(hashes, [hash(0xab), hash(0xcd)]);
    }

    #[test]
    fn a_list_that_is_not_there_does_not_allow_everything() {
        let sources = Sources {
            allow_file: Some(PathBuf::from("/nowhere/list")),
            folder: None,
        };
        let error = Catalogue::load(&sources).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/list: "), "{error}");
    }
}
