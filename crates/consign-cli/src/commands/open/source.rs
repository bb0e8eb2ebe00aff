//! Where something sealed lies: a file, standard input, or an object.
//!
//! An object is first fetched into a nameless file on this machine, sealed as it is: opening can
//! then begin, look around, and begin again, and what is fetched is one version of it. Only objects of
//! the Amazon S3 Encryption Client are left where they are: what opens them lies beside them.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;

use consign_cloud::Cloud;
use consign_cloud::s3::{GetObject, Head, ListRequest};
use consign_seal::s3ec;
use consign_seal::sniff::{Format, SNIFF_BYTES, sniff, sniff_metadata};

use crate::commands::interrupt::{Flag, Stoppable};
use crate::commands::object_address::ObjectAddress;
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;

const RANGE_BYTES: u64 = 8 * 1024 * 1024;
const COPY_BYTES: u64 = 1024 * 1024;
/// What the manifest of a consignment is called, before the ending of its seal.
const MANIFEST: &str = "manifest.json";

/// Something sealed, of known format, not read yet.
pub(crate) struct SealedSource {
    /// As the person named it.
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) bytes: Option<u64>,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    /// Can be read again.
    File(File),
    /// Comes once.
    Stream(Box<dyn Read + Send>),
    /// Still where it is.
    Object(Box<Object>),
}

pub(crate) struct Object {
    pub(crate) cloud: Cloud,
    pub(crate) at: GetObject,
}

impl SealedSource {
    /// Finds a file, standard input (`-`) or `s3://BUCKET/KEY`.
    pub(crate) async fn find(
        named: &Path,
        settings: &Settings,
        stop: &Flag,
    ) -> Result<SealedSource, CommandError> {
        if named == Path::new("-") {
            let input = Stoppable::start(|| Ok(io::stdin()), stop);
            return SealedSource::stream("standard input", Box::new(input));
        }
        let Some(address) = ObjectAddress::unless_file(named.as_os_str())? else {
            return SealedSource::local(named, stop);
        };
        let cloud = connect::connect(settings, None).await?;
        SealedSource::object(&address.to_string(), cloud, address.to_get(), stop).await
    }

    fn local(path: &Path, stop: &Flag) -> Result<SealedSource, CommandError> {
        let what = &path.display().to_string();
        let cannot = |e: io::Error| {
            let kind = match e.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                _ => Kind::Usage,
            };
            CommandError::new(kind, format!("cannot read {what}")).caused_by(e)
        };
        // Before it is opened: a pipe does not open before somebody writes.
        let metadata = std::fs::metadata(path).map_err(cannot)?;
        if metadata.is_dir() {
            return Err(folder(what, holds_manifest(path)));
        }
        if !metadata.is_file() {
            let path = path.to_path_buf();
            let input = Stoppable::start(move || File::open(path), stop);
            return SealedSource::stream(what, Box::new(input));
        }
        let mut file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        let start = beginning(&mut file, SNIFF_BYTES).map_err(cannot)?;
        Ok(SealedSource {
            name: what.to_owned(),
            format: sniff(&start),
            bytes: Some(metadata.len()),
            body: Body::File(file),
        })
    }

    fn stream(name: &str, mut reader: Box<dyn Read + Send>) -> Result<SealedSource, CommandError> {
        let mut start = Vec::new();
        reader
            .by_ref()
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(|e| CommandError::failed(format!("cannot read {name}")).caused_by(e))?;
        Ok(SealedSource {
            name: name.to_owned(),
            format: sniff(&start),
            bytes: None,
            body: Body::Stream(Box::new(Cursor::new(start).chain(reader))),
        })
    }

    async fn object(
        what: &str,
        cloud: Cloud,
        mut at: GetObject,
        stop: &Flag,
    ) -> Result<SealedSource, CommandError> {
        let head = match cloud.s3().head_object(&at).await {
            Ok(head) => head,
            Err(error) => {
                let is_folder = error.kind() == consign_cloud::ErrorKind::NotFound
                    && begins_consignment(&cloud, &at).await;
                return Err(if is_folder { folder(what, true) } else { error.into() });
            }
        };
        let in_place = |format, cloud, at| SealedSource {
            name: what.to_owned(),
            format,
            bytes: Some(head.bytes),
            body: Body::Object(Box::new(Object { cloud, at })),
        };
        if let Some(format) = sniff_metadata(head.metadata.keys().map(String::as_str)) {
            return Ok(in_place(format, cloud, at));
        }
        // All ranges are of this one, or the fetching fails.
        let named = at.clone();
        at.version_id.clone_from(&head.version_id);
        at.if_match.clone_from(&head.etag);
        let mut start = vec![0; usize::try_from(head.bytes.min(SNIFF_BYTES as u64)).unwrap_or(0)];
        if !start.is_empty() {
            let range = 0..start.len() as u64;
            cloud.s3().get_range(&at, range, &mut start).await?;
        }
        let format = match sniff(&start) {
            Format::Unknown => beside(&cloud, &named).await?,
            format => format,
        };
        if matches!(format, Format::S3Encryption { .. } | Format::Unknown) {
            return Ok(in_place(format, cloud, named));
        }
        let file = fetch(&cloud, &at, &head, stop).await?;
        Ok(SealedSource {
            name: what.to_owned(),
            format,
            bytes: Some(head.bytes),
            body: Body::File(file),
        })
    }

    /// All of it, from the first byte on.
    pub(crate) fn into_reader(self) -> Result<Box<dyn Read + Send>, CommandError> {
        match self.body {
            Body::File(file) => Ok(Box::new(file)),
            Body::Stream(reader) => Ok(reader),
            Body::Object(_) => Err(CommandError::failed("the object was not fetched")),
        }
    }

    /// All of it in a file that can be read twice; a pipe is copied, sealed as it is, into one that is
    /// gone when it is closed.
    pub(crate) fn into_file(self, stop: &Flag) -> Result<File, CommandError> {
        match self.body {
            Body::File(file) => Ok(file),
            Body::Stream(mut reader) => private_copy(&mut reader, stop),
            Body::Object(_) => Err(CommandError::failed("the object was not fetched")),
        }
    }
}

/// A copy that nobody else can change.
pub(crate) fn private_copy(from: &mut impl Read, stop: &Flag) -> Result<File, CommandError> {
    let mut file = tempfile::tempfile().map_err(cannot_spool)?;
    copy(from, &mut file, stop, cannot_spool)?;
    file.rewind().map_err(cannot_spool)?;
    Ok(file)
}

/// Copies everything; errors of reading that are of what is sealed stay such.
pub(crate) fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    stop: &Flag,
    cannot_write: impl Fn(io::Error) -> CommandError,
) -> Result<u64, CommandError> {
    let mut piece = zeroize::Zeroizing::new(Vec::new());
    let mut total = 0;
    loop {
        if stop.is_raised() {
            return Err(CommandError::new(Kind::Interrupted, "interrupted"));
        }
        piece.clear();
        from.by_ref()
            .take(COPY_BYTES)
            .read_to_end(&mut piece)
            .map_err(consign_seal::Error::from_io)?;
        if piece.is_empty() {
            return Ok(total);
        }
        to.write_all(&piece).map_err(&cannot_write)?;
        total += piece.len() as u64;
    }
}

/// Up to so many of the first bytes; the file is at its start again.
pub(crate) fn beginning(file: &mut File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::by_ref(file).take(bytes_max as u64).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start)
}

pub(crate) fn cannot_spool(error: io::Error) -> CommandError {
    CommandError::failed("cannot write a temporary file").caused_by(error)
}

/// Objects of V1 and V2 may say nothing of themselves: then all is in an instruction file.
async fn beside(cloud: &Cloud, at: &GetObject) -> Result<Format, CommandError> {
    match consign::s3ec::header(cloud, at, None).await {
        Ok(header) => Ok(Format::S3Encryption {
            version: match header.format() {
                s3ec::Format::V1 => 1,
                s3ec::Format::V2 => 2,
                s3ec::Format::V3 => 3,
            },
        }),
        Err(error) => match error.seal_kind() {
            Some(consign_seal::ErrorKind::NotSealed) => Ok(Format::Unknown),
            _ => Err(error.into()),
        },
    }
}

/// The object as it is now, in a file that is gone when it is closed.
async fn fetch(
    cloud: &Cloud,
    object: &GetObject,
    head: &Head,
    stop: &Flag,
) -> Result<File, CommandError> {
    let mut file = tempfile::tempfile().map_err(cannot_spool)?;
    let mut at = 0;
    while at < head.bytes {
        if stop.is_raised() {
            return Err(CommandError::new(Kind::Interrupted, "interrupted"));
        }
        let end = head.bytes.min(at + RANGE_BYTES);
        let mut buffer = vec![0; usize::try_from(end - at).unwrap_or_default()];
        cloud.s3().get_range(object, at..end, &mut buffer).await?;
        file.write_all(&buffer).map_err(cannot_spool)?;
        at = end;
    }
    file.rewind().map_err(cannot_spool)?;
    Ok(file)
}

fn folder(what: &str, is_consignment: bool) -> CommandError {
    if is_consignment {
        return CommandError::usage(format!("{what} is a consignment: its files belong together"))
            .hint("consign receive --lane LANE --into FOLDER; consign list names what there is");
    }
    CommandError::usage(format!("{what} is a folder"))
        .hint("consign open opens single files; consign receive opens what was sent on a lane")
}

fn holds_manifest(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_str().is_some_and(|name| name.starts_with(MANIFEST)))
}

/// Whoever may not list learns that there is no such object, which is true.
async fn begins_consignment(cloud: &Cloud, at: &GetObject) -> bool {
    let prefix = format!("{}/{MANIFEST}", at.key.trim_end_matches('/'));
    let request = ListRequest { bucket: at.bucket.clone(), prefix, ..ListRequest::default() };
    cloud.s3().list_objects(&request).await.is_ok_and(|page| !page.entries.is_empty())
}
