//! From what a queue or a listing tells to what there is to do: the exchange's routes, with the
//! buckets, owners and keys that a request needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consign_model::{
    Arrival, Date, Exchange, Inbox, InboxName, Labels, Repository, RepositoryName, RouteName,
};

use crate::event::{Happening, Malformed, Notice};
use crate::record::{Cause, Reason, Source, Target, Task};

/// The routes that leave one repository.
#[derive(Clone, Debug)]
pub struct Routing {
    exchange: Arc<Exchange>,
    repository: Repository,
    /// Full ARNs of the inboxes' KMS keys, as far as they were told.
    kms_keys: BTreeMap<InboxName, String>,
}

/// What one message tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Objects that arrived, each once.
    pub objects: Vec<Source>,
    /// What cannot be delivered whatever happens.
    pub refused: Vec<Reason>,
    /// Events about which there is nothing to do: deletions, tests, and so on.
    pub ignored: usize,
}

impl Routing {
    /// None if the exchange has no such repository.
    pub fn new(
        exchange: Arc<Exchange>,
        repository: &RepositoryName,
        kms_keys: BTreeMap<InboxName, String>,
    ) -> Option<Routing> {
        let repository = exchange.repository(repository)?.clone();
        Some(Routing { exchange, repository, kms_keys })
    }

    /// The exchange.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Where objects come from.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The inboxes that a route leads to, each once.
    pub fn inboxes(&self) -> Vec<&Inbox> {
        let routes = self.exchange.routes_from(&self.repository.name);
        let names: BTreeSet<&InboxName> = routes.flat_map(|route| &route.to).collect();
        names.into_iter().filter_map(|name| self.exchange.inbox(name)).collect()
    }

    /// Whether where an object goes depends on its tags.
    pub fn wants_tags(&self) -> bool {
        self.exchange.routes_by_tags(&self.repository.name)
    }

    /// Whether a copy takes some of the object's tags along.
    pub fn carries_tags(&self) -> bool {
        self.exchange.carries_tags(&self.repository.name)
    }

    /// What of a source's labels goes along by this route.
    pub fn carried(&self, route: &RouteName, source: &Labels) -> Labels {
        let mut routes = self.exchange.routes_from(&self.repository.name);
        let route = routes.find(|it| it.name == *route);
        route.map(|route| route.carry.choose(source)).unwrap_or_default()
    }

    /// Whether where an object goes depends on its day.
    pub fn wants_day(&self) -> bool {
        let mut routes = self.exchange.routes_from(&self.repository.name);
        routes.any(|route| route.key.to_string().contains("{date}"))
    }

    /// Whether each version has a place of its own by this route.
    pub fn names_version(&self, route: &RouteName) -> bool {
        let mut routes = self.exchange.routes_from(&self.repository.name);
        routes.any(|it| it.name == *route && it.key.to_string().contains("{version}"))
    }

    /// An object of the repository.
    pub fn source(&self, key: &str, version_id: Option<&str>) -> Source {
        Source {
            bucket: self.repository.bucket.to_string(),
            owner: self.account(&self.repository.owner),
            key: key.to_owned(),
            version_id: version_id.map(str::to_owned),
        }
    }

    /// What a message tells.
    pub fn told(&self, notice: Result<Notice, Malformed>) -> Told {
        let mut told = Told::default();
        let unreadable = |why: Malformed| Cause::Unreadable { why: why.to_string() };
        let events = match notice {
            Ok(Notice::Events(events)) => events,
            Ok(Notice::Test) => {
                told.ignored = 1;
                Vec::new()
            }
            Err(why) => {
                told.refused.push(Reason::of_message(unreadable(why)));
                Vec::new()
            }
        };
        for event in events {
            match event {
                Err(why) => told.refused.push(Reason::of_message(unreadable(why))),
                Ok(event) if event.bucket != self.repository.bucket.as_ref() => {
                    told.refused.push(Reason::of_message(Cause::Foreign));
                }
                Ok(event) if event.happening == Happening::Created => {
                    let source = self.source(&event.key, event.version_id.as_deref());
                    if !told.objects.contains(&source) {
                        told.objects.push(source);
                    }
                }
                Ok(_) => told.ignored += 1,
            }
        }
        told
    }

    /// Where an object goes, and why it does not where a route would have it.
    pub fn tasks(
        &self,
        source: &Source,
        day: Date,
        tags: &BTreeMap<String, String>,
    ) -> (Vec<Task>, Vec<Cause>) {
        let version = source.lasting_version();
        let arrival = Arrival { key: &source.key, version, tags, day };
        let (mut tasks, mut refused) = (Vec::new(), Vec::new());
        for destination in self.exchange.destinations(&self.repository.name, &arrival) {
            match destination {
                Ok(to) => {
                    let Some(inbox) = self.exchange.inbox(&to.inbox) else { continue };
                    let target = Target {
                        bucket: inbox.bucket.to_string(),
                        owner: self.account(&inbox.owner),
                        key: to.key,
                        kms_key: self.kms_keys.get(&to.inbox).cloned(),
                        inbox: to.inbox,
                    };
                    tasks.push(Task { source: source.clone(), target, route: to.route });
                }
                Err(error) => refused.push(Cause::Unroutable { why: error.to_string() }),
            }
        }
        (tasks, refused)
    }

    /// The account of a party.
    pub fn account(&self, party: &consign_model::PartyName) -> String {
        self.exchange.party(party).map(|party| party.account.to_string()).unwrap_or_default()
    }
}
