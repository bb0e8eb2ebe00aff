//! Where the objects of a consignment lie below its folder, and what else lies there.
//!
//! In consign's own layout an object goes by its number. On a lane of shares it goes by the name of its
//! file, as `s3s2 decrypt` looks for it, and two objects are put after the signed manifest: s3s2's
//! manifest, and the trigger that says that the share is complete. `s3s2 decrypt` fetches what its
//! manifest names and nothing else, so consign's manifest and signature beside it are in nobody's way.

use crate::error::{Error, ErrorKind, Result};
use crate::office::{key, manifest_names};
use crate::survey::Survey;
use consign_model::{ConsignmentId, Lane, Layout, Manifest, ObjectName, RelativePath};
use consign_s3s2::{MANIFEST, Place, SEALED, TRIGGER};

/// S3 takes no longer key.
const KEY_BYTES_MAX: usize = 1024;

/// What an object is called below its consignment's folder; `path` is that of the file in it, or of the
/// first.
pub(crate) fn name(lane: &Lane, object: &ObjectName, path: &RelativePath) -> String {
    match lane.layout {
        Layout::Consign => object.to_string(),
        Layout::S3s2 => format!("{path}{SEALED}"),
    }
}

/// Whether this object of a consignment holds files.
pub(crate) fn is_content(lane: &Lane, name: &str) -> bool {
    let (manifest, signature) = manifest_names(lane);
    let of_s3s2 = lane.layout == Layout::S3s2 && (name == MANIFEST || name == TRIGGER);
    name != manifest && name != signature && !of_s3s2
}

/// An error that names the first file whose key would be too long.
pub(crate) fn check_keys(lane: &Lane, id: &ConsignmentId, survey: &Survey) -> Result<()> {
    let too_long = |path: &RelativePath| {
        lane.layout == Layout::S3s2
            && key(lane, id, &format!("{path}{SEALED}")).len() > KEY_BYTES_MAX
    };
    match survey.files.iter().find(|found| too_long(&found.path)) {
        None => Ok(()),
        Some(found) => Err(Error::new(
            ErrorKind::Source,
            format!(
                "`{}` would have a key of more than {KEY_BYTES_MAX} bytes, which S3 does not take: on \
                 lane `{}` (layout = \"s3s2\") keys hold the names of files",
                found.path, lane.name
            ),
        )
        .hinting("shorten the names of its folders, or send it by itself")),
    }
}

/// Positions in the survey of the files that go first: those with one of these names.
pub(crate) fn first(lane: &Lane, survey: &Survey, metadata_files: &[String]) -> Result<Vec<bool>> {
    if lane.layout != Layout::S3s2 && !metadata_files.is_empty() {
        let message =
            format!("metadata files go first on lanes of s3s2, and `{}` is none", lane.name);
        return Err(Error::new(ErrorKind::Configuration, message)
            .hinting("leave --metadata-files out: here a receiver sees all files at once"));
    }
    let own = |path: &RelativePath| path.segments().last().map(str::to_owned).unwrap_or_default();
    let first = |path: &RelativePath| metadata_files.contains(&own(path));
    let first: Vec<bool> = survey.files.iter().map(|found| first(&found.path)).collect();
    if !metadata_files.is_empty() && !first.contains(&true) {
        let names = metadata_files.join(", ");
        let message = format!("none of the metadata files is there: {names}");
        return Err(Error::new(ErrorKind::Source, message));
    }
    Ok(first)
}

/// The text of s3s2's manifest beside ours, on a lane that has one. `first` says of each file whether it
/// is among those that s3s2 lists first.
pub(crate) fn share(lane: &Lane, manifest: &Manifest, first: &[bool]) -> Result<Option<Vec<u8>>> {
    let Some((organization, before)) = lane.organization() else { return Ok(None) };
    let place = Place::new(organization, &format!("{before}{}", manifest.id))?;
    let (mut paths, mut later) = (Vec::new(), Vec::new());
    for (file, first) in manifest.files.iter().zip(first) {
        if *first { paths.push(&file.path) } else { later.push(&file.path) }
    }
    paths.extend(later);
    Ok(Some(consign_s3s2::Manifest::text(&place, &manifest.created.to_string(), &paths)?))
}
