//! The end of what is done to a lane that is closed to its parties meanwhile.

use consign_model::Lane;
use consign_provision::Maintenance;

use crate::error::CommandError;
use crate::terminal::Terminal;

/// Opens the lane again, however `done` ended; of two errors the first is told.
pub(super) async fn open_again<T>(
    maintenance: Maintenance<'_>,
    lane: &Lane,
    done: Result<T, CommandError>,
    terminal: &Terminal,
) -> Result<T, CommandError> {
    let ended = maintenance.end().await;
    if ended.is_ok() {
        terminal.say(&format!("Lane {} is open again.", lane.name));
    }
    let done = done?;
    ended?;
    Ok(done)
}
