//! Whose hands we have: administrator credentials by account.
//!
//! Each party applies its own half. An account without hands is not looked at and not touched;
//! what would have to be done there is reported as left to its owner.

use crate::error::{Error, ErrorKind};
use consign_cloud::Cloud;
use consign_model::AccountId;
use std::collections::BTreeMap;

/// Administrator credentials by account. Start with [`Hands::of`] or [`Hands::with`].
#[derive(Clone, Debug, Default)]
pub struct Hands {
    clouds: BTreeMap<AccountId, Cloud>,
}

impl Hands {
    /// No credentials: everything is hidden.
    pub fn none() -> Hands {
        Hands::default()
    }

    /// The hands of whoever `cloud` signs as; asks STS which account that is.
    ///
    /// # Errors
    /// [`ErrorKind::Service`] when STS does not say.
    pub async fn of(cloud: Cloud) -> Result<Hands, Error> {
        let identity = cloud.sts().caller_identity().await.map_err(|error| {
            Error::new(ErrorKind::Service, "cannot tell whose credentials these are")
                .with_source(error)
        })?;
        let account = AccountId::parse(&identity.account).map_err(|error| {
            Error::new(ErrorKind::Service, "STS names no account").with_source(error)
        })?;
        Ok(Hands::none().with(account, cloud))
    }

    /// The same with credentials for one more account.
    #[must_use]
    pub fn with(mut self, account: AccountId, cloud: Cloud) -> Hands {
        self.clouds.insert(account, cloud);
        self
    }

    /// Only those for this account: one party's half.
    #[must_use]
    pub fn only(mut self, account: &AccountId) -> Hands {
        self.clouds.retain(|known, _| known == account);
        self
    }

    /// The credentials for an account.
    pub fn in_account(&self, account: &AccountId) -> Option<&Cloud> {
        self.clouds.get(account)
    }

    /// The accounts there are credentials for.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        self.clouds.keys()
    }
}
