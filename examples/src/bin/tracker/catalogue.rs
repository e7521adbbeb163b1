//! Which torrents are allowed, and what is known of them: a list of hashes, a folder of torrents.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use examples::info_hash::InfoHash;
use examples::metainfo;

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
    let (contents, torrent) = metainfo::read(path).ok()?;
    (torrent.info_hash == *info_hash).then_some(contents)
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
        match metainfo::read(&file) {
            Ok((_, torrent)) => {
                let name = torrent.name.to_string_lossy().into_owned();
                let file = Some(file);
                listed.insert(torrent.info_hash, Listed { name, file });
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
    Ok(())
}

fn about(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

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
