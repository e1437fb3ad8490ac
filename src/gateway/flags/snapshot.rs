//! The flags in a file, so that a gateway which starts while the database is down has them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Loaded;

/// The form of the file; another one is not read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File1 {
    format: u32,
    sets: Vec<Saved>,
}

/// A set as it was saved.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    /// The name that it was asked for by.
    pub asked: String,
    /// When it was loaded, in Unix seconds.
    at: u64,
    /// What was loaded.
    pub loaded: Loaded,
}

impl Saved {
    /// A set that was loaded at a time.
    pub fn new(asked: String, at: SystemTime, loaded: Loaded) -> Self {
        Self { asked, at: at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()), loaded }
    }

    /// When it was loaded.
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.at)
    }
}

/// Reads the file; none where there is none.
pub fn read(path: &Path) -> io::Result<Option<Vec<Saved>>> {
    let text = match fs::read(path) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let file: File1 = serde_json::from_slice(&text)?;
    if file.format != FORMAT {
        return Err(io::Error::other(format!("format {} is not read, {FORMAT} is", file.format)));
    }
    Ok(Some(file.sets))
}

/// Writes the file: whole or not at all, and for its owner alone.
pub fn write(path: &Path, sets: Vec<Saved>) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    // Of this process alone, should another one keep the same file.
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    // What a crash has left behind may have other rights.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(&File1 { format: FORMAT, sets })?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_comes_back() {
        let folder = std::env::temp_dir().join(format!("flagscope-gateway-snapshot-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("flags.json");
        assert!(read(&path).unwrap().is_none());
        let loaded = super::super::set::tests::set(5, serde_json::json!([])).loaded;
        let at = UNIX_EPOCH + Duration::from_secs(1000);
        for _ in 0..2 {
            write(&path, vec![Saved::new("prod".to_owned(), at, loaded.clone())]).unwrap();
        }
        let saved = read(&path).unwrap().unwrap();
        assert_eq!((saved.len(), &saved[0].loaded, saved[0].at()), (1, &loaded, at));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{\"format\":2,\"sets\":[]}").unwrap();
        assert!(read(&path).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
