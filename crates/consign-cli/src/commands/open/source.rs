//! Where something sealed lies: a file, standard input, or an object.
//!
//! An object is first fetched into a nameless file on this machine, sealed as it is: opening can
//! then begin, look around, and begin again, and what is fetched is one version of it.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};

use consign_cloud::Cloud;
use consign_cloud::s3::GetObject;
use consign_seal::sniff::{Format, SNIFF_BYTES, sniff, sniff_metadata};

use super::interrupt::Flag;
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;

const RANGE_BYTES: u64 = 8 * 1024 * 1024;

/// Something sealed, read up to where its format is known.
pub(crate) struct SealedSource {
    /// As the person named it.
    pub(crate) name: String,
    pub(crate) format: Format,
    /// What S3 keeps beside an object.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bytes: Option<u64>,
    /// All of it, from the first byte on.
    pub(crate) reader: Box<dyn Read + Send>,
}

impl SealedSource {
    /// Opens a file, standard input (`-`) or `s3://BUCKET/KEY`.
    pub(crate) async fn find(
        what: &str,
        settings: &Settings,
        stop: &Flag,
    ) -> Result<SealedSource, CommandError> {
        if what == "-" {
            return SealedSource::sniffed("standard input", None, Box::new(std::io::stdin()));
        }
        let Some(address) = what.strip_prefix("s3://") else {
            let cannot = |e: std::io::Error| {
                let kind = match e.kind() {
                    std::io::ErrorKind::NotFound => Kind::NotFound,
                    _ => Kind::Usage,
                };
                CommandError::new(kind, format!("cannot read {what}")).caused_by(e)
            };
            let file = std::fs::File::open(what).map_err(cannot)?;
            let metadata = file.metadata().map_err(cannot)?;
            if metadata.is_dir() {
                return Err(CommandError::usage(format!("{what} is a folder")));
            }
            let bytes = metadata.is_file().then_some(metadata.len());
            return SealedSource::sniffed(what, bytes, Box::new(file));
        };
        let (bucket, key) = address
            .split_once('/')
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .ok_or_else(|| {
                CommandError::usage(format!("{what} names no object")).hint("s3://BUCKET/KEY")
            })?;
        let cloud = Cloud::connect(&connect::cloud_settings(settings, None)).await?;
        let object =
            GetObject { bucket: bucket.to_owned(), key: key.to_owned(), ..GetObject::default() };
        let (file, bytes, metadata) = fetch(&cloud, object, stop).await?;
        let mut source = SealedSource::sniffed(what, Some(bytes), Box::new(file))?;
        if let Some(format) = sniff_metadata(metadata.keys().map(String::as_str)) {
            source.format = format;
        }
        source.metadata = metadata;
        Ok(source)
    }

    fn sniffed(
        name: &str,
        bytes: Option<u64>,
        mut reader: Box<dyn Read + Send>,
    ) -> Result<SealedSource, CommandError> {
        let mut start = Vec::new();
        reader
            .by_ref()
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(|e| CommandError::failed(format!("cannot read {name}")).caused_by(e))?;
        Ok(SealedSource {
            name: name.to_owned(),
            format: sniff(&start),
            metadata: BTreeMap::new(),
            bytes,
            reader: Box::new(std::io::Cursor::new(start).chain(reader)),
        })
    }
}

/// The object as it is now, in a file that is gone when it is closed.
async fn fetch(
    cloud: &Cloud,
    mut object: GetObject,
    stop: &Flag,
) -> Result<(std::fs::File, u64, BTreeMap<String, String>), CommandError> {
    let head = cloud.s3().head_object(&object).await?;
    // All ranges are of this one, or the fetching fails.
    object.version_id = head.version_id;
    object.if_match = head.etag;
    let cannot =
        |e: std::io::Error| CommandError::failed("cannot write a temporary file").caused_by(e);
    let mut file = tempfile::tempfile().map_err(cannot)?;
    let mut at = 0;
    while at < head.bytes {
        if stop.is_raised() {
            return Err(CommandError::new(Kind::Interrupted, "interrupted"));
        }
        let end = head.bytes.min(at + RANGE_BYTES);
        let mut buffer = vec![0; usize::try_from(end - at).unwrap_or_default()];
        cloud.s3().get_range(&object, at..end, &mut buffer).await?;
        file.write_all(&buffer).map_err(cannot)?;
        at = end;
    }
    file.rewind().map_err(cannot)?;
    Ok((file, head.bytes, head.metadata))
}
