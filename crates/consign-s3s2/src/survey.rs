//! Which files of a folder, or of a list, are shared.
//!
//! s3s2 passes over what it takes for its own leavings (`….zip`, `….zip.gpg`, `…manifest.json`) and over
//! hidden files, and says so in a debug line; here the same files are passed over, and named. Links are
//! not followed: what they lead to was not named by anybody.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use consign_model::RelativePath;

use crate::error::{Error, ErrorKind, Result};

/// The files to share, metadata files apart, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Shared first, and in every batch.
    pub metadata: Vec<Found>,
    /// All others.
    pub files: Vec<Found>,
    /// Passed over.
    pub skipped: Vec<Skipped>,
}

/// A file to share.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name in the share.
    pub name: RelativePath,
    /// Where it is.
    pub source: PathBuf,
    /// Its size when it was found.
    pub bytes: u64,
    pub(crate) executable: bool,
}

/// A file that is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

impl Survey {
    /// Everything below a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Source`] when something cannot be read or named, when there is nothing, or when no
    /// metadata file is found where some were named.
    pub fn of_folder(folder: &Path, metadata: &[String]) -> std::result::Result<Survey, Error> {
        let mut survey = Survey::default();
        let walk = walkdir::WalkDir::new(folder.join("")).min_depth(1).follow_links(false);
        for entry in walk.sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let text = format!("cannot read {}", folder.display());
                Error::new(ErrorKind::Source, text).because(error)
            })?;
            if entry.file_type().is_dir() {
                continue;
            }
            let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            survey.add(entry.path(), inner, metadata)?;
        }
        survey.checked(metadata)
    }

    /// The files that a list names: CSV, with the path in the second column. All of them go into one
    /// folder, named by the date.
    ///
    /// # Errors
    /// As [`Survey::of_folder`].
    pub fn of_list(
        list: &str,
        date_folder: &str,
        metadata: &[String],
    ) -> std::result::Result<Survey, Error> {
        let mut survey = Survey::default();
        for (number, line) in list.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let path = second_column(line).ok_or_else(|| {
                let text = format!("line {} of the list names no file", number + 1);
                Error::new(ErrorKind::Source, text).hinting(
                    "each line is `key,path`; put a path that contains a comma into quotes",
                )
            })?;
            if path == "file_path" {
                continue;
            }
            let path = PathBuf::from(path);
            let own = path.file_name().unwrap_or_default();
            survey.add(&path, &Path::new(date_folder).join(own), metadata)?;
        }
        survey.checked(metadata)
    }

    fn add(&mut self, source: &Path, name: &Path, metadata: &[String]) -> Result<()> {
        let cannot =
            |text: &str| Error::new(ErrorKind::Source, format!("{text} {}", source.display()));
        let stat =
            source.symlink_metadata().map_err(|error| cannot("cannot read").because(error))?;
        let own = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = match own.as_str() {
            _ if stat.is_symlink() => "a link",
            _ if stat.is_dir() => "a folder",
            _ if !stat.is_file() => "not a file",
            own if own.starts_with('.') => "hidden",
            own if own.ends_with("manifest.json") => "named like a manifest",
            own if own.ends_with(".zip") || own.ends_with(".zip.gpg") => "named like a sealed file",
            _ => "",
        };
        if !reason.is_empty() {
            self.skipped.push(Skipped { path: source.to_owned(), reason });
            return Ok(());
        }
        let name = name.to_str().ok_or_else(|| cannot("the name is not UTF-8:"))?;
        let name = RelativePath::parse(name)
            .map_err(|error| cannot("no receiver would take the name of").because(error))?;
        let found = Found {
            name,
            source: source.to_owned(),
            bytes: stat.len(),
            executable: stat.mode() & 0o111 != 0,
        };
        match metadata.contains(&own) {
            true => self.metadata.push(found),
            false => self.files.push(found),
        }
        Ok(())
    }

    fn checked(self, metadata: &[String]) -> Result<Survey> {
        if self.files.is_empty() && self.metadata.is_empty() {
            return Err(Error::new(ErrorKind::Source, "there is nothing to share"));
        }
        if self.metadata.is_empty() && !metadata.is_empty() {
            let text = format!("none of the metadata files is there: {}", metadata.join(", "));
            return Err(Error::new(ErrorKind::Source, text));
        }
        let mut names = std::collections::HashSet::new();
        for found in self.all() {
            if !names.insert(found.name.folded()) {
                let text = format!("two files would be `{}` at some receivers", found.name);
                return Err(Error::new(ErrorKind::Source, text));
            }
        }
        Ok(self)
    }

    /// Metadata files first.
    pub fn all(&self) -> impl Iterator<Item = &Found> {
        self.metadata.iter().chain(&self.files)
    }
}

impl Found {
    /// Opens the file, if it is still one: a link that took its place is not followed.
    pub(crate) fn open(&self) -> Result<File> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.source, flags, Mode::empty());
        opened.map(File::from).map_err(|error| {
            let text = format!("cannot read {}", self.source.display());
            Error::new(ErrorKind::Source, text).because(std::io::Error::from(error))
        })
    }
}

/// The second field of a line of CSV (RFC 4180); quoted fields may hold commas and doubled quotes.
fn second_column(line: &str) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then(|| fields.into_iter().nth(1)).flatten().filter(|field| !field.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_sorted_into_metadata_files_and_leavings() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in [
            "a.csv",
            "sub/b.csv",
            "sub/meta.json",
            ".hidden",
            ".dir/c",
            "old.zip",
            "a.csv.zip.gpg",
            "s3s2_manifest.json",
        ] {
            put(name);
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let names = |found: &[Found]| -> Vec<String> {
            found.iter().map(|found| found.name.to_string()).collect()
        };
        let survey = Survey::of_folder(folder.path(), &["meta.json".into()]).unwrap();
        assert_eq!(names(&survey.metadata), ["sub/meta.json"]);
        assert_eq!(names(&survey.files), [".dir/c", "a.csv", "sub/b.csv"]);
        assert_eq!(survey.skipped.len(), 5);
        let missing = Survey::of_folder(folder.path(), &["metaa.json".into()]).unwrap_err();
        assert!(missing.to_string().contains("metaa.json"));
        let list = format!(
            "key,file_path\n1,{0}/a.csv\n\"2\",\"{0}/sub/b.csv\"\n",
            folder.path().display()
        );
        let survey = Survey::of_list(&list, "20260131", &[]).unwrap();
        assert_eq!(names(&survey.files), ["20260131/a.csv", "20260131/b.csv"]);
        Survey::of_list(&format!("{list}3,{}/a.csv", folder.path().display()), "d", &[])
            .unwrap_err();
        Survey::of_list("just one column", "d", &[]).unwrap_err();
    }
}
