//! What is measured, as the lines a person would type.
//!
//! The scripts run under `bash -o pipefail` and see: `FROM`, `TO` (an empty folder), `RUN` (an empty
//! folder for state), `NAME` (of the input), `KEY` and `RECIPIENT` (age), and the configuration of
//! each tool in its environment. Tools run as they come; where one needs a number (parts in flight,
//! transfers), it gets the one that consign uses.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Send,
    Receive,
}

/// The folder or file under the stage's input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Large,
    Small,
}

pub(super) const LARGE_BYTES: u64 = 1 << 30;
pub(super) const SMALL_FILES: u64 = 10_000;
pub(super) const SMALL_BYTES: u64 = 10 << 10;

pub(super) struct Job {
    pub(super) title: &'static str,
    pub(super) direction: Direction,
    pub(super) input: Input,
    pub(super) tools: Vec<Tool>,
}

pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Run once, unmeasured, before a receiving job: puts there what will be fetched.
    pub(super) before: &'static str,
    pub(super) script: &'static str,
}

const CONSIGN_SEND: &str =
    r#"exec "$CONSIGN" send "$FROM" --lane to-client --as acme --state "$RUN" --quiet"#;
const CONSIGN_RECEIVE: &str =
    r#"exec "$CONSIGN" receive --lane to-client --as globex --into "$TO" --state "$RUN" --quiet"#;
const AGE_SEND: &str = r#"age -r "$RECIPIENT" "$FROM" | "$S5CMD" pipe "s3://age/$NAME""#;
const AGE_RECEIVE: &str = r#""$S5CMD" cat "s3://age/$NAME" | age -d -i "$KEY" -o "$TO/$NAME""#;
const TAR_SEND: &str =
    r#"tar -C "$FROM" -c . | age -r "$RECIPIENT" | "$S5CMD" pipe "s3://age/$NAME""#;
const TAR_RECEIVE: &str = r#""$S5CMD" cat "s3://age/$NAME" | age -d -i "$KEY" | tar -C "$TO" -x"#;
const RCLONE_SEND: &str =
    r#"exec "$RCLONE" copy --transfers 16 --checkers 16 "$FROM" "crypt:$NAME""#;
const RCLONE_RECEIVE: &str =
    r#"exec "$RCLONE" copy --transfers 16 --checkers 16 "crypt:$NAME" "$TO""#;
const S5CMD_SEND: &str = r#"exec "$S5CMD" cp "$FROM" "s3://plain/$NAME""#;
const S5CMD_RECEIVE: &str = r#"exec "$S5CMD" cp "s3://plain/$NAME" "$TO/""#;
const S5CMD_SEND_MANY: &str = r#"exec "$S5CMD" --log error cp "$FROM/" "s3://plain/$NAME/""#;
const S5CMD_RECEIVE_MANY: &str = r#"exec "$S5CMD" --log error cp "s3://plain/$NAME/*" "$TO/""#;

pub(super) fn all() -> Vec<Job> {
    use Direction::{Receive, Send};
    use Input::{Large, Small};
    let sending = |name, script| Tool { name, before: "", script };
    let receiving = |name, before, script| Tool { name, before, script };
    vec![
        Job {
            title: "Send 1 GiB",
            direction: Send,
            input: Large,
            tools: vec![
                sending("consign send", CONSIGN_SEND),
                sending("age \\| s5cmd pipe", AGE_SEND),
                sending("rclone crypt", RCLONE_SEND),
                sending("s5cmd cp, no encryption", S5CMD_SEND),
            ],
        },
        Job {
            title: "Receive 1 GiB",
            direction: Receive,
            input: Large,
            tools: vec![
                receiving("consign receive", CONSIGN_SEND, CONSIGN_RECEIVE),
                receiving("s5cmd cat \\| age -d", AGE_SEND, AGE_RECEIVE),
                receiving("rclone crypt", RCLONE_SEND, RCLONE_RECEIVE),
                receiving("s5cmd cp, no encryption", S5CMD_SEND, S5CMD_RECEIVE),
            ],
        },
        Job {
            title: "Send 10,000 files of 10 KiB",
            direction: Send,
            input: Small,
            tools: vec![
                sending("consign send", CONSIGN_SEND),
                sending("tar \\| age \\| s5cmd pipe", TAR_SEND),
                sending("rclone crypt", RCLONE_SEND),
                sending("s5cmd cp, no encryption", S5CMD_SEND_MANY),
            ],
        },
        Job {
            title: "Receive 10,000 files of 10 KiB",
            direction: Receive,
            input: Small,
            tools: vec![
                receiving("consign receive", CONSIGN_SEND, CONSIGN_RECEIVE),
                receiving("s5cmd cat \\| age -d \\| tar x", TAR_SEND, TAR_RECEIVE),
                receiving("rclone crypt", RCLONE_SEND, RCLONE_RECEIVE),
                receiving("s5cmd cp, no encryption", S5CMD_SEND_MANY, S5CMD_RECEIVE_MANY),
            ],
        },
    ]
}

impl Job {
    /// Files and bytes that a receiver must end up with.
    pub(super) fn expected(&self) -> (u64, u64) {
        match self.input {
            Input::Large => (1, LARGE_BYTES),
            Input::Small => (SMALL_FILES, SMALL_FILES * SMALL_BYTES),
        }
    }
}
