//! What a download does next, decided without doing it. See [`crate::upload::machine`] for the
//! manner; here only three facts are kept: which object it is, its entity tag, and which parts the
//! sink has.

use serde::{Deserialize, Serialize};

use crate::layout::PartLayout;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The transfer exists. Always the first.
    Begun {
        /// Bucket of the object.
        bucket: String,
        /// Key of the object.
        key: String,
        /// Version, if one was named.
        version_id: Option<String>,
        /// How it is cut.
        layout: PartLayout,
    },
    /// A run begins; events before it are an earlier run's.
    Started {
        /// Parts to have in hand at once.
        window: u32,
    },
    /// The object's entity tag, from the first answer.
    Pinned {
        /// With its quotes.
        etag: String,
    },
    /// A part is in memory.
    Fetched {
        /// Which, from 0.
        part: u32,
        /// Entity tag that came with it.
        etag: Option<String>,
        /// Size of the whole object that came with it.
        object_bytes: u64,
    },
    /// The sink has a part.
    Written {
        /// Which, from 0.
        part: u32,
    },
    /// The sink no longer has a part that an earlier run wrote.
    Missing {
        /// Which, from 0.
        part: u32,
    },
}

impl Event {
    /// True for events that a later run must know.
    pub fn is_kept(&self) -> bool {
        match self {
            Event::Begun { .. }
            | Event::Pinned { .. }
            | Event::Written { .. }
            | Event::Missing { .. } => true,
            Event::Started { .. } | Event::Fetched { .. } => false,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fetch a part; answer with `Fetched`.
    Fetch(u32),
    /// Answer with `Pinned`.
    Pin(String),
    /// Give a fetched part to the sink; answer with `Written`.
    Write(u32),
    /// All parts are there.
    Finish,
    /// This is another object than the one begun with.
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    Waiting,
    InHand,
    Written,
}

/// A download at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Download {
    object_bytes: u64,
    parts: Vec<PartState>,
    etag: Option<String>,
    /// `None` while an earlier run's events are replayed.
    window: Option<u32>,
}

impl Download {
    /// The state after an earlier run's events.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Download {
        events.into_iter().fold(Download::default(), |state, event| state.step(event.clone()).0)
    }

    /// The state after `event`, and what to do.
    #[must_use]
    pub fn step(mut self, event: Event) -> (Download, Vec<Effect>) {
        let effects = match event {
            Event::Begun { layout, .. } => {
                self.object_bytes = layout.object_bytes();
                self.parts = vec![PartState::Waiting; layout.parts() as usize];
                Vec::new()
            }
            Event::Started { window } => {
                self.window = Some(window.max(1));
                self.advance()
            }
            Event::Pinned { etag } => {
                self.etag = Some(etag);
                Vec::new()
            }
            Event::Fetched { part, etag, object_bytes } => self.fetched(part, etag, object_bytes),
            Event::Written { part } => {
                self.set(part, PartState::Written);
                self.advance()
            }
            Event::Missing { part } => {
                self.set(part, PartState::Waiting);
                Vec::new()
            }
        };
        (self, effects)
    }

    fn set(&mut self, number: u32, state: PartState) {
        if let Some(part) = self.parts.get_mut(number as usize) {
            *part = state;
        }
    }

    fn fetched(&mut self, number: u32, etag: Option<String>, object_bytes: u64) -> Vec<Effect> {
        if object_bytes != self.object_bytes {
            return vec![Effect::Changed];
        }
        match (&self.etag, etag) {
            (Some(known), Some(etag)) if *known != etag => vec![Effect::Changed],
            (None, Some(etag)) => vec![Effect::Pin(etag), Effect::Write(number)],
            _ => vec![Effect::Write(number)],
        }
    }

    fn advance(&mut self) -> Vec<Effect> {
        let Some(window) = self.window else { return Vec::new() };
        if self.parts.iter().all(|part| *part == PartState::Written) {
            return vec![Effect::Finish];
        }
        let in_hand = self.parts.iter().filter(|part| **part == PartState::InHand).count();
        let room = (window as usize).saturating_sub(in_hand);
        let waiting =
            (0..).zip(&mut self.parts).filter(|(_, part)| **part == PartState::Waiting).take(room);
        waiting
            .map(|(number, part)| {
                *part = PartState::InHand;
                Effect::Fetch(number)
            })
            .collect()
    }

    /// The entity tag that every answer must have, once one is known.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Parts that the sink has.
    pub fn written(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.parts).filter(|(_, p)| **p == PartState::Written).map(|(n, _)| n)
    }
}
